"""One of several processes (or the only one) that train a tiny model on the fast path.

Run as `python worker.py STORE RANK PROCESSES OUT CASE...`; rank 0 writes each case's losses and
weights to OUT. Every process sees its own rows; losses are scaled by the rows of all.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from tests.train.fast.making import make_model, make_row, make_rows, with_lora
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision

from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.batches import process_steps
from whyguard.train.fast.head import Frozen
from whyguard.train.fast.install import base_model, install
from whyguard.train.fast.losses import anchored_logps, hidden_states, row_sums, weighted_nll
from whyguard.train.segments import Encoded

STEPS = 2
ROWS = 7
BETA, LAM = 0.1, 0.7


class Case(NamedTuple):
    """`family-loss-wrapper-tuning`, for instance `llama-sft-ddp-full`."""

    family: str
    loss: str
    wrapper: str
    tuning: str


class Trained(NamedTuple):
    """Losses of all steps, and weights by name."""

    losses: list[float]
    weights: dict[str, Tensor]


class Triple(NamedTuple):
    chosen: Encoded
    rejected: Encoded
    anchor: Encoded


def main(store: str, rank: int, processes: int, out: Path, cases: Sequence[str]) -> None:
    """Join the others and run every case."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=processes)
    found = {case: train(case, rank, processes) for case in cases}
    if rank == 0:
        torch.save({case: result._asdict() for case, result in found.items()}, out)
    dist.barrier()
    dist.destroy_process_group()


def train(name: str, rank: int = 0, processes: int = 1) -> Trained:
    """Train this process's part of the case's batches."""
    case = Case(*name.split("-"))
    model = _model(case)
    reference = _reference(case, model)
    wrapped = _wrap(model, case) if processes > 1 else model
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.05)
    batches = [(0, 1, 2, 3, 4), (5, 6), (1, 3, 5)]  # unequal, and one process has none at the end
    losses = []
    for shares in process_steps(batches, rank, processes, accumulation=2 // processes):
        rows = sum(len(share.rows) for share in shares if share.counts)
        everywhere = _summed(torch.tensor(float(rows)), processes)
        total = torch.zeros(())
        for index, share in enumerate(shares):
            with ExitStack() as stack:
                if index + 1 < len(shares) and hasattr(wrapped, "no_sync"):
                    stack.enter_context(wrapped.no_sync())
                loss = _loss(wrapped, case, share.rows, reference)
                loss = loss * float(share.counts) / everywhere
                torch.autograd.backward(loss * processes)
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(_summed(total, processes)))
    return Trained(losses, _weights(wrapped))


def _model(case: Case) -> Any:
    extra: dict[str, Any] = {"tie_word_embeddings": True} if case.wrapper.endswith("tied") else {}
    model = make_model(case.family, **extra)
    if case.tuning == "lora":
        model = with_lora(model)
    if case.tuning == "checkpointing":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    install(model)
    return model


def _reference(case: Case, model: Any) -> tuple[list[Tensor], Frozen] | None:
    """Hidden states of another model on each anchor, and its head."""
    if case.loss != "cao":
        return None
    other = make_model(case.family, seed=9)
    install(other)
    with torch.no_grad():
        states = [hidden_states(other, make_batch([triple.anchor])) for triple in _triples()]
    return states, Frozen(other.lm_head.weight.detach().clone())


def _triples() -> list[Triple]:
    triples = []
    for number, row in enumerate(make_rows(ROWS, preamble=9, seed=3)):
        start = row.loss_weights.index(next(w for w in row.loss_weights if w))
        prompt, answer = row.input_ids[:start], row.input_ids[start:]
        english = [*prompt[:9], 60 + number, 3]
        even = [1 / len(answer)] * len(answer)
        triples.append(Triple(make_row(prompt, answer), make_row(prompt, [*answer[:1], 77, 2]),
                              make_row(english, answer, even)))  # fmt: skip
    return triples


def _loss(model: Any, case: Case, numbers: Sequence[int], reference: Any) -> Tensor:
    if case.loss == "sft":
        rows = make_rows(ROWS, preamble=9)
        return weighted_nll(model, make_batch([rows[n] for n in numbers])).total
    triples = [_triples()[n] for n in numbers]
    count = len(triples)
    batch = make_batch([getattr(t, part) for part in Triple._fields for t in triples])
    states = torch.cat([reference[0][n] for n in numbers])
    found = anchored_logps(model, batch, count, states, reference[1])
    sums = row_sums(found.logps_N, batch.counts[: 2 * count])
    margins = BETA * (sums[:count] - sums[count:])
    preference = -torch.nn.functional.logsigmoid(margins).sum()
    return preference + LAM * row_sums(found.kl.weighted_N, batch.counts[2 * count :]).sum()


def _wrap(model: Any, case: Case) -> Any:
    if case.wrapper.startswith("ddp"):
        return torch.nn.parallel.DistributedDataParallel(model)
    base = base_model(model)
    layers, narrow = list(base.get_decoder().layers), case.tuning == "bf16"
    parts = [*layers, base.lm_head] if case.wrapper.endswith("head") else layers
    if case.wrapper.startswith("fsdp2"):
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        policy = MixedPrecisionPolicy(torch.bfloat16 if narrow else None, torch.float32)
        for part in [*parts, model]:
            fully_shard(part, mesh=mesh, mp_policy=policy)
        assert all(type(p).__name__ == "DTensor" for p in model.parameters())
        return model
    from torch.distributed.fsdp.wrap import CustomPolicy

    chosen = {id(part) for part in parts}
    precision = MixedPrecision(torch.bfloat16, torch.float32) if narrow else None
    sharded = FullyShardedDataParallel(
        model, auto_wrap_policy=CustomPolicy(lambda module: id(module) in chosen),
        mixed_precision=precision, use_orig_params=True, device_id=torch.device("cpu"),
    )  # fmt: skip
    assert len(FullyShardedDataParallel.fsdp_modules(sharded)) == len(parts) + 1
    return sharded


def _summed(value: Tensor, processes: int) -> Tensor:
    if processes > 1:
        dist.all_reduce(value)
    return value


def _weights(model: Any) -> dict[str, Tensor]:
    if isinstance(model, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(model):
            return _plain_names(model)
    return _plain_names(model)


def _plain_names(model: Any) -> dict[str, Tensor]:
    weights = {}
    for name, parameter in model.named_parameters():
        full = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
        plain = name.replace("_fsdp_wrapped_module.", "").removeprefix("module.")
        weights[plain] = full.detach().clone()
    return weights


if __name__ == "__main__":
    store, rank, processes, out, *cases = sys.argv[1:]
    main(store, int(rank), int(processes), Path(out), cases)

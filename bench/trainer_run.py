"""One trainer on one model, in a process of its own: `python -m bench.trainer_run MODE MODEL KIND`.

Prints seconds of each optimiser step, losses and peak memory as one line of JSON. Every mode sees
the same rows in the same order, bf16 autocast, AdamW, gradients clipped at 1.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from bench.trainer_data import Data, guard_data, lora_config, make_model, with_lora
from bench.trainer_floor import floor_of

ROWS, PAIRS, BETA, LAM, RATE = 8, 4, 0.1, 0.5, 1e-6
_STEPS = {"sft": 4, "pref": 3}
"""Steps a process takes; the first one is left out of the median."""


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._from = 0.0

    def start(self) -> None:
        self._from = time.perf_counter()

    def stop(self) -> None:
        self.seconds.append(time.perf_counter() - self._from)


def _data(kind: str, model: Any) -> list[Data]:
    """A batch a step: rows, or chosen, rejected and anchors."""
    size = ROWS if kind == "sft" else PAIRS * 3
    return [guard_data(size, model.config.vocab_size, seed) for seed in range(_STEPS[kind])]


def _stock_args(kind: Any, folder: str, rows: int, **more: Any) -> Any:
    return kind(
        output_dir=folder, per_device_train_batch_size=rows, num_train_epochs=1, use_cpu=True,
        bf16=True, gradient_checkpointing=False, report_to=[], disable_tqdm=True,
        save_strategy="no", max_length=None, logging_steps=1, learning_rate=RATE,
        lr_scheduler_type="constant", max_grad_norm=1.0, **more,
    )  # fmt: skip


def _train_stock(trainer_kind: Any, model: Any, args: Any, rows: list[dict[str, Any]],
                 lora: bool) -> tuple[list[float], list[float]]:  # fmt: skip
    from datasets import Dataset
    from peft import LoraConfig
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    clock = Clock()

    class Timed(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.stop()

    class InOrder(trainer_kind):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *args: Any, **more: Any) -> Any:
            if "prompt_ids" in dataset.column_names:
                return dataset  # TRL would tokenize pairs anew
            return super()._prepare_dataset(dataset, *args, **more)

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    trainer = InOrder(model=model, args=args, train_dataset=Dataset.from_list(rows),
                      processing_class=_tokenizer(), callbacks=[Timed()],
                      peft_config=lora_config(LoraConfig) if lora else None)  # fmt: skip
    trainer.train()
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return clock.seconds, losses


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(WordLevel({f"w{i}": i for i in range(100)}, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="w0", eos_token="w1",
                                   unk_token="w3")  # fmt: skip


def sft_stock(model: Any, data: list[Data], folder: str, lora: bool) -> Any:
    """Stock SFTTrainer, loss on completions only."""
    from trl import SFTConfig, SFTTrainer

    rows = [
        {"input_ids": d.preamble + r.conversation + r.completion,
         "completion_mask": [0] * (len(d.preamble) + len(r.conversation)) + [1] * len(r.completion)}
        for d in data for r in d.rows
    ]  # fmt: skip
    args = _stock_args(SFTConfig, folder, ROWS, completion_only_loss=True)
    return _train_stock(SFTTrainer, model, args, rows, lora)


def dpo_stock(model: Any, data: list[Data], folder: str, lora: bool, *,
              precomputed: bool = False) -> Any:  # fmt: skip
    """Stock DPOTrainer, the reference live or its log-probabilities computed before."""
    from trl import DPOConfig, DPOTrainer

    rows = [
        {"prompt": "", "chosen": "", "rejected": "",
         "prompt_ids": d.preamble + d.rows[i].conversation, "chosen_ids": d.rows[i].completion,
         "rejected_ids": d.rows[PAIRS + i].completion}
        for d in data for i in range(PAIRS)
    ]  # fmt: skip
    folder_model = f"{folder}/model"
    model.save_pretrained(folder_model)
    args = _stock_args(DPOConfig, folder, PAIRS, beta=BETA, precompute_ref_log_probs=precomputed)
    model.to("meta")  # the caller holds it: its weights must not count beside the loaded ones
    return _train_stock(DPOTrainer, folder_model, args, rows, lora)


def _encoded(data: Data, conversation: int, completion: int, weight: float) -> Any:
    from whyguard.train.segments import IGNORED, Encoded

    prompt = data.preamble + data.rows[conversation].conversation
    answer = data.rows[completion].completion
    return Encoded(prompt + answer, [IGNORED] * len(prompt) + answer,
                   [0.0] * len(prompt) + [weight] * len(answer))  # fmt: skip


def _steps(model: Any, batches: list[Any], loss_of: Callable[[Any, Any], Any]
           ) -> tuple[list[float], list[float]]:  # fmt: skip
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, fused=True)  # the stock trainers' default
    clock, losses = Clock(), []
    model.train()
    for batch in batches:
        clock.start()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        clock.stop()
        losses.append(float(loss.detach()))
    return clock.seconds, losses


def sft_ours(model: Any, data: list[Data], folder: str, lora: bool) -> Any:
    """The fast path: mean loss over completion tokens, as the stock trainer's."""
    from whyguard.train.fast.batch import make_batch
    from whyguard.train.fast.install import install
    from whyguard.train.fast.losses import weighted_nll

    model = with_lora(model) if lora else model
    install(model)
    batches = []
    for d in data:
        tokens = sum(len(r.completion) for r in d.rows)
        batches.append(make_batch([_encoded(d, i, i, 1 / tokens) for i in range(len(d.rows))]))
    return _steps(model, batches, lambda m, batch: weighted_nll(m, batch).total)


def _pair_rows(d: Data) -> list[Any]:
    """Chosen on x_t, rejected on x_t, anchors: chosen on x_e (another conversation)."""
    chosen = [_encoded(d, i, i, 1.0) for i in range(PAIRS)]
    rejected = [_encoded(d, i, PAIRS + i, 1.0) for i in range(PAIRS)]
    anchors = [_encoded(d, 2 * PAIRS + i, i, 1 / len(d.rows[i].completion)) for i in range(PAIRS)]
    return [*chosen, *rejected, *anchors]


def cao_ours(model: Any, data: list[Data], folder: str, lora: bool) -> Any:
    """A CAO step on the fast path, the reference cached; computing the cache is not timed."""
    import torch

    from whyguard.train.fast.batch import make_batch
    from whyguard.train.fast.head import Frozen
    from whyguard.train.fast.install import install
    from whyguard.train.fast.losses import anchored_logps, hidden_states, row_sums, token_logps

    model = with_lora(model) if lora else model
    install(model)
    batches = []
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for d in data:
            rows = _pair_rows(d)
            both, anchors = make_batch(rows[: 2 * PAIRS]), make_batch(rows[2 * PAIRS :])
            reference_B = row_sums(token_logps(model, both), both.counts)
            hidden_M_D = hidden_states(model, anchors).to(torch.bfloat16)
            batches.append((make_batch(rows), reference_B, hidden_M_D))
    head = Frozen(model.get_output_embeddings().weight.detach().to(torch.bfloat16))

    def loss_of(policy: Any, batch: Any) -> Any:
        rows, reference_B, hidden_M_D = batch
        found = anchored_logps(policy, rows, PAIRS, hidden_M_D, head)
        gain_B = row_sums(found.logps_N, rows.counts[: 2 * PAIRS]) - reference_B
        margins = BETA * (gain_B[:PAIRS] - gain_B[PAIRS:])
        preference = -torch.nn.functional.logsigmoid(margins).mean()
        return preference + LAM * found.kl.total / PAIRS

    return _steps(model, batches, loss_of)


def cao_plain(model: Any, data: list[Data], folder: str, lora: bool) -> Any:
    """The published three-way forward of policy and reference, with true distributions."""
    import copy

    import torch

    reference = copy.deepcopy(model).eval().requires_grad_(False)
    model = with_lora(model) if lora else model
    batches = [_padded(_pair_rows(d)) for d in data]

    def logps(net: Any, batch: Any) -> Any:
        ids_B_T, mask_B_T, _ = batch
        return net(input_ids=ids_B_T, attention_mask=mask_B_T, use_cache=False).logits.float()

    def loss_of(policy: Any, batch: Any) -> Any:
        ids_B_T, _, answer_B_T = batch
        ours = torch.log_softmax(logps(policy, batch)[:, :-1], -1)
        with torch.no_grad():
            theirs = torch.log_softmax(logps(reference, batch)[:, :-1], -1)

        def sums(table: Any) -> Any:
            picked = table.gather(2, ids_B_T[:, 1:, None])[..., 0]
            return (picked * answer_B_T[:, 1:]).sum(1)

        gain_B = sums(ours) - sums(theirs)
        margins = BETA * (gain_B[:PAIRS] - gain_B[PAIRS : 2 * PAIRS])
        anchor = slice(2 * PAIRS, None)
        kl_B_T = (theirs[anchor].exp() * (theirs[anchor] - ours[anchor])).sum(-1)
        mask_B_T = answer_B_T[anchor, 1:]
        kl_B = (kl_B_T * mask_B_T).sum(1) / mask_B_T.sum(1)
        return -torch.nn.functional.logsigmoid(margins).mean() + LAM * kl_B.mean()

    return _steps(model, batches, loss_of)


def _padded(rows: list[Any]) -> Any:
    import torch

    longest = max(len(row.input_ids) for row in rows)

    def table(lists: Iterator[list[float]], kind: Any) -> Any:
        return torch.tensor([[*x, *[0] * (longest - len(x))] for x in lists], dtype=kind)

    ids = table(iter(row.input_ids for row in rows), torch.long)
    mask = table(iter([1] * len(row.input_ids) for row in rows), torch.long)
    answer = table(iter([float(w > 0) for w in row.loss_weights] for row in rows), torch.float32)
    return ids, mask, answer


def dpo_precomputed(model: Any, data: list[Data], folder: str, lora: bool) -> Any:
    """Stock DPOTrainer with `precompute_ref_log_probs`."""
    return dpo_stock(model, data, folder, lora, precomputed=True)


MODES: dict[str, tuple[str, Callable[..., Any]]] = {
    "sft_stock": ("sft", sft_stock), "sft_ours": ("sft", sft_ours),
    "dpo_stock": ("pref", dpo_stock), "dpo_precomputed": ("pref", dpo_precomputed),
    "cao_plain": ("pref", cao_plain), "cao_ours": ("pref", cao_ours),
}  # fmt: skip


def _rows_of(mode: str) -> Callable[[Data], list[Any]]:
    """The rows that our trainer runs for the same batch."""
    if mode.startswith("sft"):
        return lambda d: [_encoded(d, i, i, 1.0) for i in range(len(d.rows))]
    return _pair_rows


def main(mode: str, model_kind: str, trained: str, folder: str) -> None:
    """Run one mode, and print what it took."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    kind, run = MODES[mode]
    model = make_model(model_kind)
    data = _data(kind, model)
    seconds, losses = run(model, data, folder, trained == "lora")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    floor = floor_of(model, data, _rows_of(mode), trained == "lora")
    shared = sum(d.shared() for d in data) / len(data)
    facts = {"seconds": seconds, "losses": losses, "peak_gb": peak, "shared": shared,
             "floor": floor.seconds, "rate": floor.rate, "load": os.getloadavg()[0]}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])

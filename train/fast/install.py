"""Teaches a model's own `forward` to run a `GuardBatch`.

`install(model)` binds a `forward` that understands one more keyword, `guard_call`, and is the old
one without it. So a wrapped model (DDP, FSDP, PEFT, accelerate) is called as ever and its hooks
stay in force: `DDP(model)(guard_call=...)` reduces gradients, `FSDP(model)(guard_call=...)`
gathers weights. The output layer is taught the same way, so that its weight is used only inside of
its own `forward`, where a wrapper of that layer alone has gathered it.

Differences from the plain forward of transformers:
1. the batch is one flat sequence without padding (batch.py); equal beginnings run once;
2. no key-value cache: activation checkpointing works as ever;
3. only hidden states before predicted tokens go through the output layer;
4. dropout, where a config has any, draws once for what rows share.

Exactness is a matter of the model passing keywords on to its attention function, as the decoders
of transformers 5 do: each call counts the layers that followed the layout, and `verify` compares
with the plain forward.
"""

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from whyguard.core.errors import ConfigError, fail
from whyguard.generation.teachers.local_cache import can_share
from whyguard.train.fast.attention import PREFIX, Layout, shared_attention
from whyguard.train.fast.batch import GuardBatch, make_batch
from whyguard.train.fast.head import Head, LinearHead, ModuleHead
from whyguard.train.segments import Encoded

_ATTENTIONS = ("sdpa", "eager")
_SCALES = ("logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")
"""Config fields by which some models multiply their logits: not built here."""

_DO = "train this model with shared_preamble: false"

Task = Callable[[Head, Tensor], Any]
"""What is computed of the output head and the N hidden states (N, D); returns tensors."""


class Call:
    """A batch and what is wanted of it.

    A plain class on purpose: wrappers that cast or copy the tensors they are handed (FSDP with
    mixed precision casts floats) leave it alone.
    """

    def __init__(self, batch: GuardBatch, task: Task) -> None:
        self.batch = batch
        self.task = task


class Difference(NamedTuple):
    """Largest absolute difference of log-probabilities from the plain forward, and what is due."""

    found: float
    allowed: float


def install(model: Any) -> None:
    """Let `model` (a causal LM of transformers, or a PEFT model of one) run guard batches.

    Call it before wrapping the model for several processes. Doing it twice changes nothing.

    Raises:
        ConfigError: the model's attention or output is of a kind that is not supported.
    """
    base = base_model(model)
    config = base.config.get_text_config(decoder=True)
    if "_guard_plain" in base.__dict__:
        return
    _check(base, config)
    name = PREFIX + config._attn_implementation
    _register(config._attn_implementation, name)
    config._attn_implementation = name
    base._guard_plain = base.__dict__.get("forward")
    base.forward = MethodType(_taught(type(base).forward), base)
    output = base.get_output_embeddings()
    if type(output) is torch.nn.Linear:
        setattr(output, "forward", MethodType(_head_forward, output))  # noqa: B010


def base_model(model: Any) -> Any:
    """The transformers model inside of a PEFT model."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def run(model: Any, batch: GuardBatch, task: Task) -> Any:
    """`task` of the batch's N hidden states, through the model's (or its wrapper's) forward."""
    return model(guard_call=Call(batch, task))


def verify(model: Any) -> Difference:
    """Compare with the plain forward on a few made-up rows.

    For a model on one process (before FSDP shards it); takes two short forward passes.

    Raises:
        ConfigError: log-probabilities differ by more than the weights' type explains.
    """
    base = base_model(model)
    rows = _made_up_rows(base.config.get_text_config(decoder=True))
    batch = make_batch(rows).to(base.device)
    training = base.training
    base.eval()
    with torch.no_grad():
        ours_N = run(base, batch, lambda head, hidden: head.logps(hidden, batch.targets_N))
        plain_N = torch.cat([_plain_logps(base, row) for row in rows])
    base.train(training)
    allowed = 1e-3 if ours_N.dtype == plain_N.dtype == base.dtype else 0.3
    found = float((ours_N - plain_N).abs().max())
    if not found <= allowed:
        fail(ConfigError, where=f"fast path on {type(base).__name__}",
             expected=f"the plain forward's log-probabilities, within {allowed:g}",
             found=f"a difference of {found:g}", do=_DO)  # fmt: skip
    return Difference(found, allowed)


def _check(base: Any, config: Any) -> None:
    if config._attn_implementation not in _ATTENTIONS:
        _refuse(base, f"attn_implementation {' or '.join(_ATTENTIONS)}",
                config._attn_implementation,
                "load the model with attn_implementation sdpa")  # fmt: skip
    if base.config.is_encoder_decoder or not can_share(base):
        types = sorted(set(getattr(config, "layer_types", None) or ["unknown"]))
        _refuse(base, "a decoder of full and sliding-window attention layers",
                f"layer types {', '.join(types)}")  # fmt: skip
    if getattr(config, "use_bidirectional_attention", None):
        _refuse(base, "causal attention", "use_bidirectional_attention")
    scales = [name for name in _SCALES if getattr(config, name, None) not in (None, 1, 1.0)]
    if scales:
        _refuse(base, "logits that are not scaled", ", ".join(scales))


def _refuse(base: Any, expected: str, found: str,
            do: str = _DO) -> None:  # fmt: skip
    fail(ConfigError, where=f"fast path on {type(base).__name__}", expected=expected, found=found,
         do=do)  # fmt: skip


def _register(original: str, name: str) -> None:
    """Attention and masks under a name of their own; without a layout they are the original's."""
    if name not in ALL_ATTENTION_FUNCTIONS:
        function = None if original == "eager" else ALL_ATTENTION_FUNCTIONS[original]
        AttentionInterface.register(name, shared_attention(function))
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[original])


def _taught(plain: Any) -> Any:
    """A forward with the plain one's signature and one more keyword."""

    def forward(self: Any, *args: Any, guard_call: Call | None = None, **kwargs: Any) -> Any:
        if guard_call is not None:
            return _run(self, guard_call)
        bound = self._guard_plain or type(self).forward.__get__(self)
        return bound(*args, **kwargs)

    signature = inspect.signature(plain)
    extra = inspect.Parameter("guard_call", inspect.Parameter.KEYWORD_ONLY, default=None)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    rest = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    forward.__signature__ = signature.replace(parameters=[*named, extra, *rest])  # type: ignore[attr-defined]
    return forward


def _run(model: Any, call: Call) -> Any:
    batch, layout = call.batch, Layout(call.batch)
    seen = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=batch.ids_S.device)
    hidden_1_S_D = model.get_decoder()(
        input_ids=batch.ids_S[None], position_ids=batch.positions_S[None], use_cache=False,
        attention_mask=seen,  # four dimensions: taken as it is, and not looked at by our attention
        guard_layout=layout,
    ).last_hidden_state  # fmt: skip
    layers = model.config.get_text_config(decoder=True).num_hidden_layers
    if layout.calls != layers:
        _refuse(model, f"{layers} attention layers that follow the batch's layout",
                f"{layout.calls}: attn_implementation was changed after install(), or this "
                "model does not pass keywords on to its attention function")  # fmt: skip
    return _apply_head(model, hidden_1_S_D[0][batch.before_N], call.task)


def _apply_head(model: Any, hidden_N_D: Tensor, task: Task) -> Any:
    output = model.get_output_embeddings()
    config = model.config.get_text_config(decoder=True)
    cap = getattr(config, "final_logit_softcapping", None)
    inner = output.module if isinstance(output, FullyShardedDataParallel) else output
    if getattr(inner.__dict__.get("forward"), "__func__", None) is _head_forward:
        return output(hidden_N_D, guard_task=task, guard_cap=cap)
    return task(ModuleHead(output, config.vocab_size, cap), hidden_N_D)


def _head_forward(self: torch.nn.Linear, input: Tensor, guard_task: Task | None = None,
                  guard_cap: float | None = None) -> Any:  # fmt: skip
    if guard_task is None:
        return type(self).forward(self, input)
    return guard_task(LinearHead(self.weight, self.bias, guard_cap), input)


def _made_up_rows(config: Any) -> list[Encoded]:
    """Three rows: a common beginning longer than a small window, and one shared prompt."""
    window = getattr(config, "sliding_window", None) or 0
    start = [(7 * i + 3) % config.vocab_size for i in range(window + 6 if window <= 64 else 24)]
    tails = ([5, 9, 2], [5, 9, 8, 4, 1], [6, 3])
    rows = []
    for tail in tails:
        ids = [*start, *(t % config.vocab_size for t in tail)]
        cut = len(ids) - 2
        rows.append(Encoded(ids, [-100] * cut + ids[cut:], [0.0] * cut + [1.0] * 2))
    return rows


def _plain_logps(model: Any, row: Encoded) -> Tensor:
    ids_1_T = torch.tensor([row.input_ids], device=model.device)
    logps_T_V = model(input_ids=ids_1_T, use_cache=False).logits[0].log_softmax(-1)
    at = [t for t, weight in enumerate(row.loss_weights) if weight]
    return torch.stack([logps_T_V[t - 1, row.input_ids[t]] for t in at])

"""The floor of a training step: floating point operations that cannot be saved.

Counted from a config and the lengths of rows: one multiply-add = 2 operations; norms, activations,
softmax and the optimiser are left out (they are bound by memory, not arithmetic). Divide by the
machine's measured matmul rate for the fewest seconds a step can take.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple


class Trained(StrEnum):
    """What gets gradients."""

    FULL = "full"
    """All weights: backward = 2 x forward."""
    ADAPTERS = "adapters"
    """Low-rank adapters: gradients of states only, backward = 1 x forward (adapters left out)."""
    NOTHING = "nothing"
    """A forward pass alone."""


class Shape(NamedTuple):
    """What of a decoder its operations depend on."""

    linear_weights: int
    """Weights of all linear layers of the decoder, without embedding and output layer."""
    head_weights: int
    """V x D of the output layer."""
    attention_width: int
    """Query heads x head dimension."""
    windows: tuple[int | None, ...]
    """The sliding window of each layer, None = all tokens."""


class RowLengths(NamedTuple):
    """Tokens of one row."""

    shared: int
    """The preamble that all rows of the batch begin with."""
    own: int
    """The rest: conversation and completion."""
    predicted: int
    """Tokens that are predicted, part of `own`."""


class Cost(NamedTuple):
    """Operations of one step."""

    linear: float
    attention: float
    head: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.linear + self.attention + self.head


def model_shape(config: Any) -> Shape:
    """The shape of a Llama-like config (gated MLP; Gemma, Qwen and Mistral are built alike)."""
    text = config.get_text_config(decoder=True)
    heads, width = text.num_attention_heads, text.hidden_size
    dim = getattr(text, "head_dim", None) or width // heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    layer = width * dim * (2 * heads + 2 * groups) + 3 * width * text.intermediate_size
    types = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    window = getattr(text, "sliding_window", None)
    windows = tuple(window if kind == "sliding_attention" else None for kind in types)
    return Shape(layer * text.num_hidden_layers, text.vocab_size * width, heads * dim, windows)


def step_cost(shape: Shape, rows: Iterable[RowLengths], trained: Trained = Trained.FULL, *,
              share: bool = True, every_position: bool = False) -> Cost:  # fmt: skip
    """Operations of one step, forward and backward.

    Args:
        shape: of the model.
        rows: the batch.
        trained: what gets gradients.
        share: the preamble runs once a batch; False: once a row.
        every_position: the output layer runs on all tokens (as stock trainers do on the CPU).
    """
    batch = list(rows)
    preamble = max((row.shared for row in batch), default=0)
    once = [RowLengths(preamble, 0, 0)] if share else []
    tokens = sum(row.own if share else row.shared + row.own for row in batch)
    tokens += preamble if share else 0
    pairs = sum(_pairs(row, window, skip=share) for row in batch for window in shape.windows)
    pairs += sum(_pairs(row, window, skip=False) for row in once for window in shape.windows)
    projected = tokens if every_position else sum(row.predicted for row in batch)
    passes = {Trained.FULL: 3, Trained.ADAPTERS: 2, Trained.NOTHING: 1}[trained]
    # attention has no weights: its backward pass is 2 x forward whatever is trained
    attention = 1 if trained is Trained.NOTHING else 3
    return Cost(2.0 * passes * shape.linear_weights * tokens,
                4.0 * attention * shape.attention_width * pairs,
                2.0 * passes * shape.head_weights * projected)  # fmt: skip


def _pairs(row: RowLengths, window: int | None, *, skip: bool) -> int:
    """Query-key pairs of a row; `skip`: the queries of its preamble are another row's."""
    first, end = (row.shared if skip else 0), row.shared + row.own
    if window is None:
        return (end * (end + 1) - first * (first + 1)) // 2
    return sum(min(position + 1, window) for position in range(first, end))

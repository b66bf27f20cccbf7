"""The floor of a training step: floating point operations that cannot be saved, and what is kept.

Counted from a config and the lengths of rows: one multiply-add = 2 operations; norms, activations,
softmax and the optimiser are left out (they are bound by memory, not arithmetic). Divide by the
machine's measured matmul rate for the fewest seconds a step can take.

Kept are the tensors that a forward pass leaves for its backward pass, as autograd keeps them in
decoders of transformers (pre-norm, gated MLP).
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.optional import require
from whyguard.train.segments import Encoded


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


class Widths(NamedTuple):
    """What of a decoder the size of its activations depends on."""

    hidden: int
    inner: int
    """Of the MLP."""
    queries: int
    """Query heads x head dimension."""
    keys: int
    """Key heads x head dimension."""
    heads: int
    layers: int
    vocabulary: int
    norms: int
    """Norms of hidden states a layer."""
    normed_heads: bool
    """Queries and keys are normed too."""
    tied: bool
    """The output layer is the embedding."""

    @property
    def outputs(self) -> int:
        """Of all linear layers of a layer together."""
        return self.queries + 2 * self.keys + 2 * self.hidden + 2 * self.inner


class PassTokens(NamedTuple):
    """One forward pass, counted in tokens."""

    run: int
    """Tokens that linear layers see."""
    asked: int
    """Query positions of attention, with their padding."""
    seen: int
    """Key positions, with their padding; a row's own copy of what rows share counts."""
    scores: int
    """Attention probabilities that are kept a head; 0 where the kernel keeps none."""
    predicted: int
    anchored: int = 0
    """Predicted tokens whose divergence from the reference is taken; part of `predicted`."""


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


def model_widths(config: Any, shapes: Mapping[str, Sequence[int]]) -> Widths:
    """The widths of a Llama-like config, and what its weights' names and shapes say of norms."""
    text = config.get_text_config(decoder=True)
    heads, hidden = text.num_attention_heads, text.hidden_size
    dim = getattr(text, "head_dim", None) or hidden // heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    first = {name: list(shape) for name, shape in shapes.items() if ".layers.0." in name}
    norms = sum("norm" in name and shape == [hidden] for name, shape in first.items())
    return Widths(hidden, text.intermediate_size, heads * dim, groups * dim, heads,
                  text.num_hidden_layers, text.vocab_size, norms or 2,
                  any("q_norm" in name for name in first), bool(text.tie_word_embeddings)
                  )  # fmt: skip


def weight_shapes(folder: Path) -> dict[str, list[int]]:
    """Names and shapes of a folder's safetensors, by their headers."""
    safetensors = require("safetensors", "train")
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return shapes


def pass_tokens(rows: Sequence[Sequence[Encoded]], *, share: bool) -> PassTokens:
    """What a forward pass of these rows runs: on the fast path, or (`share` False) padded.

    A row is a sequence, or chosen, rejected and perhaps an anchor.
    """
    from whyguard.train.fast.batch import make_batch

    width = len(rows[0])
    batch = make_batch([row[at] for at in range(width) for row in rows], share=share)
    predicted = len(batch.targets_N)
    anchored = sum(batch.counts[2 * len(rows) :]) if width > 2 else 0
    if not share:
        padded = len(batch.counts) * (int(batch.positions_S.max()) + 1)
        return PassTokens(padded, padded, padded, 0, predicted, anchored)
    front, (asking, queries) = batch.preamble, batch.queries_A_Q.shape
    keys = front + batch.keys_A_K.shape[1]
    asked, seen = front + asking * queries, front + asking * keys
    scores = front**2 + asking * queries * keys
    return PassTokens(len(batch.ids_S), asked, seen, scores, predicted, anchored)


def kept_bytes(at: Widths, tokens: PassTokens, trained: Trained, *, low: bool,
               checkpointing: bool) -> int:  # fmt: skip
    """Bytes that a forward pass keeps for its backward pass, output layer left out.

    Args:
        at: the model.
        tokens: of the pass.
        trained: a norm whose weight is frozen keeps its input only.
        low: bf16 autocast: linear layers and attention keep bf16, norms and the sum of layers fp32;
            each linear layer keeps a bf16 copy of its input of its own.
        checkpointing: one state a token and layer is kept, and one layer is computed again.
    """
    from whyguard.train.fast.dense import ROOM_BYTES

    size = 2 if low else 4
    of_norm = 1 if trained is Trained.ADAPTERS else 2
    normed = at.norms * at.hidden + (at.queries + at.keys if at.normed_heads else 0)
    inputs = (5 if low else 2) * at.hidden + at.queries + 4 * at.inner
    scores = tokens.scores * at.heads
    if scores * size > ROOM_BYTES:  # torch's kernel runs, which keeps none
        scores = 0
    attention = 2 * tokens.asked * at.queries + 2 * tokens.seen * at.keys + scores
    layer = tokens.run * (normed * of_norm * 4 + inputs * size) + attention * size
    if not checkpointing:
        return layer * at.layers
    return tokens.run * at.hidden * 4 * at.layers + layer


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

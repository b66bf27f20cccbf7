"""What a stage would do and cost, from its rows and its model's shape: no weights, no training.

Memory is the peak of one process on a CPU; `Memory` says what each term is, and how well the sum
fits real runs.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from whyguard.core.optional import require
from whyguard.generation.models import Located, Precision, locate_model
from whyguard.train.config import LEARNS_FROM_PAIRS, LoraSettings, StageConfig
from whyguard.train.fast.floor import (
    Cost,
    PassTokens,
    RowLengths,
    Trained,
    Widths,
    kept_bytes,
    model_shape,
    model_widths,
    pass_tokens,
    step_cost,
    weight_shapes,
)
from whyguard.train.segments import Encoded
from whyguard.train.stages.plan import StepPlan
from whyguard.train.stages.run import StageJob

_FLOAT = 4
_ADAPTED = 2
"""Outputs of a linear layer with adapters that the heap keeps beside the one that is used; with
checkpointing, half as many."""
_SCATTERED, _SCATTERED_LOW, _SCATTERED_LOW_MANY = 0.25, 0.45, 0.9
"""Heap that is lost a byte of tensors that come and go: in fp32; in bf16; in bf16 with several
passes a step. Measured, as is how many passes it takes to lose half of that."""
_HALF_LOST = 4
_HANDED_BACK = 1 << 25
"""Bytes from which on glibc hands a freed tensor back at once, whatever came before."""
_CANDIDATES = 8
"""Batches with the most tokens, of which the largest trie is looked for."""
_TILE_TOKENS, _TILE_WORDS, _TILES = 4096, 32768, 9
"""TRL's tiles of logits, and how many of them its backward pass holds on a CPU."""


class Weights(NamedTuple):
    """Numbers of a model."""

    all: int
    trained: int


class Memory(NamedTuple):
    """Bytes of one process at its peak, beside what Python and the packages take (0.6 to 0.7 GB).

    In 55 real runs on a CPU (Llama, Gemma3 and SmolLM2 shapes, 17 to 135 million weights; sft, dpo,
    cao and grpo; all weights and adapters; fp32 and bf16; with and without checkpointing and
    sharing; 2 to 25 steps; glibc) the total was 0.85 to 1.29 of the measured peak. The factors of
    `heap` were chosen by these very runs; the other terms are counted, not fitted. Of five others,
    on pairs in passes of up to 8192 tokens: 1.01 to 1.12 on the fast path, 0.77 and 1.33 without.
    """

    weights: int
    """In fp32."""
    gradients: int
    """In fp32. At their fullest when activations are gone; the allocator has not given those back,
    so both count."""
    optimiser: int
    """AdamW's two numbers a trained weight."""
    reference: int
    """Of dpo and cao: the copy of the output layer, and what computing the reference takes beyond
    the rest of the sum (without the fast path it holds V numbers a token of 256 pairs); of grpo
    with `beta`: a copy of the weights, but not of adapters."""
    activations: int
    """Of the largest forward pass (`floor.kept_bytes`): a trie on the fast path, else padded rows.
    Of grpo: whole padded rows of the longest prompt and completion, or the cache of keys and values
    while completions are written, whichever is larger."""
    casts: int
    """Of bf16: the copies of weights that linear layers multiply with."""
    logits: int
    """A chunk of logits with what is computed of it, and gradients of the output layer, which wait
    for those of a tied embedding. Without the fast path: logits of all positions. Of grpo: TRL's
    tiles over all positions, of which it holds nine on a CPU."""
    heap: int
    """What the C library keeps of freed tensors, too scattered to be used again: two outputs of a
    layer with adapters, and a share of all that comes and goes, which grows over the first dozen of
    passes. Of glibc: a GPU's allocator is another."""
    saving: int
    """The copy of the weights that is loaded to be saved, as far as it finds no room that large
    logits have handed back."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)


class Passes(NamedTuple):
    """The largest forward passes of a stage."""

    step: PassTokens
    passes: int
    """Of the training, in so many"""
    steps: int
    """optimiser steps."""
    reference: PassTokens | None = None
    """Of dpo and cao, before training."""
    parts: int = 0
    """Such passes whose results are held until they are stored."""
    cache: int = 0
    """Bytes of keys and values while completions are written (grpo)."""


class Model(NamedTuple):
    """What is known of a model from its config and the headers of its weights."""

    config: Any
    widths: Widths
    weights: Weights


class Forecast(NamedTuple):
    """What a dry run prints."""

    stage: str
    rows: int
    dev_rows: int
    dropped: int
    steps: int
    passes: int
    tokens: int
    """Input tokens over all steps; of grpo, at most."""
    memory: Memory
    operations: float
    """Floating point operations of all steps, reference included."""

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return self._asdict() | {"memory": self.memory._asdict() | {"total": self.memory.total}}


class StageRows(NamedTuple):
    """Rows of a stage, each with the sequences that a forward pass runs for it."""

    sequences: Sequence[Sequence[Encoded]]
    """One a row; of pairs: chosen, rejected, and the anchor where there is one."""
    lengths: Sequence[int]
    train: int
    dev: int = 0
    dropped: int = 0


def forecast(job: StageJob, processes: int = 1) -> Forecast:
    """Say what the stage would do; reads the tokenizer and the headers of the weights.

    Raises:
        ConfigError, DataError: what a run would raise before it trains.
    """
    located = locate_model(job.reference, role="base", progress=job.progress)
    config = job.config
    if config.stage == "none":
        return Forecast("none", 0, 0, 0, 0, 0, 0, Memory(0, 0, 0, 0, 0, 0, 0, 0, 0), 0.0)
    model, tokenizer = read_model(located, config.lora), read_tokenizer(located)
    if config.stage == "grpo":
        return _grpo(job, model, tokenizer)
    from whyguard.train.stages.arguments import KINDS, check_fields

    check_fields(config, KINDS[config.stage])
    return forecast_rows(config, model, _rows(job, tokenizer), processes)


def forecast_rows(config: StageConfig, model: Model, rows: StageRows,
                  processes: int = 1) -> Forecast:  # fmt: skip
    """Say what sft, dpo or cao would do with these rows."""
    steps = _plan(config, rows, processes)
    batches = _batches(steps)
    cost = sum((_pass_cost(model, config, rows, batch) for batch in batches), 0.0)
    passes = Passes(largest_pass(config, rows, batches), len(batches), len(steps),
                    *_reference_passes(config, rows))  # fmt: skip
    return Forecast(
        config.stage, rows.train, rows.dev, rows.dropped, len(steps), len(batches),
        sum(_tokens(rows.sequences[row]) for step in steps for row in step.rows),
        memory_of(model, config, passes), cost + _reference_cost(model, config, rows),
    )  # fmt: skip


def read_model(located: Located, lora: LoraSettings | None) -> Model:
    """Config, widths and numbers of a model, by its config and the headers of its weights."""
    config = require("transformers", "train").AutoConfig.from_pretrained(
        located.folder, trust_remote_code=False)  # fmt: skip
    shapes = weight_shapes(located.folder)
    return Model(config, model_widths(config, shapes), count_weights(shapes, lora))


def read_tokenizer(located: Located) -> Any:
    """The tokenizer beside a model."""
    transformers = require("transformers", "train")
    return transformers.AutoTokenizer.from_pretrained(located.folder, trust_remote_code=False)


def count_weights(shapes: Mapping[str, Sequence[int]], lora: LoraSettings | None) -> Weights:
    """Numbers of these weights, and how many of them (or of adapters) are trained."""
    total = sum(math.prod(shape) for shape in shapes.values())
    if lora is None:
        return Weights(total, total)
    linear = [shape for name, shape in shapes.items() if ".layers." in name and len(shape) == 2]
    adapters = sum(lora.r * (rows + columns) for rows, columns in linear)
    return Weights(total + adapters, adapters)


def largest_pass(config: StageConfig, rows: StageRows,
                 batches: Sequence[tuple[int, ...]]) -> PassTokens:  # fmt: skip
    """The forward pass that runs the most tokens, among the batches with the longest rows."""

    def length(batch: tuple[int, ...]) -> int:
        return sum(rows.lengths[row] for row in batch)

    longest = sorted(set(batches), key=length)[-_CANDIDATES:]
    found = [pass_tokens([rows.sequences[row] for row in batch], share=config.shared_preamble)
             for batch in longest]  # fmt: skip
    return max(found, key=lambda tokens: tokens.run)


def _reference_passes(config: StageConfig, rows: StageRows) -> tuple[PassTokens | None, int]:
    """The largest pass of the reference, and how many of them a stored part is of."""
    if config.stage not in LEARNS_FROM_PAIRS:
        return None, 0
    from whyguard.train.fast.reference import PART_PAIRS
    from whyguard.train.stages.plan import reference_pairs

    at_once = reference_pairs(config.batch_tokens, rows.lengths)
    longest = heapq.nlargest(at_once, rows.sequences, key=_tokens)
    part = min(len(rows.sequences), PART_PAIRS)
    return pass_tokens(longest, share=config.shared_preamble), -(-part // at_once)


def memory_of(model: Model, config: StageConfig, passes: Passes) -> Memory:
    """Bytes of one process whose largest passes these are."""
    at, low = model.widths, config.precision is Precision.BF16
    kept = kept_bytes(at, passes.step, _trained(config), low=low,
                      checkpointing=config.activation_checkpointing)  # fmt: skip
    casts = 2 * model_shape(model.config).linear_weights if low else 0
    weights, each = model.weights.all * _FLOAT, model.weights.trained * _FLOAT
    logits = _logits(at, config, passes.step)
    before = _reference(model, config, passes)
    back = sum(piece.all for piece in logits if piece.each >= _HANDED_BACK)
    found = Memory(weights, each, 2 * each, before.kept, max(kept, passes.cache), casts,
                   sum(piece.all for piece in logits), 0, max(0, weights - back))  # fmt: skip
    moving = found.total - weights - found.reference - back - found.saving
    found = found._replace(heap=_heap(at, config, passes, moving))
    lacking = before.passing + weights + casts - found.total
    return found._replace(reference=before.kept + max(0, lacking))


def _heap(at: Widths, config: StageConfig, passes: Passes, moving: int) -> int:
    """Of so many bytes that come and go, what is lost."""
    low, adapted = config.precision is Precision.BF16, 0
    if config.lora is not None:
        outputs = passes.step.run * at.outputs * at.layers * (2 if low else _FLOAT)
        adapted = _ADAPTED * outputs // (2 if config.activation_checkpointing else 1)
    many = _SCATTERED_LOW_MANY if passes.passes > passes.steps else _SCATTERED_LOW
    grown = 1 - 0.5 ** ((passes.passes - 1) / _HALF_LOST)
    return adapted + int(grown * (many if low else _SCATTERED) * (moving + adapted))


class _Before(NamedTuple):
    """Bytes of the reference of a stage."""

    kept: int = 0
    """For the whole training."""
    passing: int = 0
    """While it is computed."""


def _reference(model: Model, config: StageConfig, passes: Passes) -> _Before:
    """dpo, cao: a copy of the output layer, and the passes that compute the reference."""
    at, tokens, low = model.widths, passes.reference, config.precision is Precision.BF16
    if tokens is None:
        kept = getattr(config, "beta", 0) and config.lora is None
        return _Before(model.weights.all * _FLOAT if kept else 0)
    from whyguard.train.fast.head import CHUNK_BYTES

    layer = kept_bytes(at._replace(layers=1), tokens, Trained.NOTHING, low=low, checkpointing=False)
    row = at.vocabulary * _FLOAT
    if config.shared_preamble:
        logits, held = 3 * min(tokens.predicted * row, CHUNK_BYTES), at.hidden * _FLOAT
    else:  # logits stand for hidden states
        logits, held = tokens.run * row // (2 if low else 1) + 2 * tokens.predicted * row, row
    return _Before(row * at.hidden, layer + logits + passes.parts * tokens.predicted * held)


class _Piece(NamedTuple):
    """Tensors of one kind around the output layer."""

    each: int
    """Bytes of the smallest of them."""
    all: int


def _logits(at: Widths, config: StageConfig, tokens: PassTokens) -> tuple[_Piece, ...]:
    low, full = config.precision is Precision.BF16, config.lora is None
    row, head = at.vocabulary * _FLOAT, at.vocabulary * at.hidden * _FLOAT
    if config.stage == "grpo":
        tile = min(tokens.run, _TILE_TOKENS) * min(at.vocabulary, _TILE_WORDS) * _FLOAT
        return _Piece(tile, _TILES * tile), _Piece(head, head * (1 + at.tied) * full)
    if not config.shared_preamble:
        whole = tokens.run * row // (2 if low else 1)
        terms = (3 * tokens.predicted + 4 * tokens.anchored) * row
        return _Piece(whole, whole), _Piece(terms // 4, terms), _Piece(head, head * full)
    from whyguard.train.fast.head import CHUNK_BYTES

    scored = min((tokens.predicted - tokens.anchored) * row, CHUNK_BYTES)
    anchored = min(tokens.anchored * row, CHUNK_BYTES)
    terms = max((3 if low else 2) * scored, 6 * anchored)
    copies = (4 if anchored else 1) if low else 0
    grads = (4 if anchored else 2) + at.tied if full else 0
    return (_Piece(anchored or scored, terms), _Piece(head // 2, copies * head // 2),
            _Piece(head, grads * head))  # fmt: skip


def _trained(config: StageConfig) -> Trained:
    return Trained.FULL if config.lora is None else Trained.ADAPTERS


def _rows(job: StageJob, tokenizer: Any) -> StageRows:
    if job.config.stage in LEARNS_FROM_PAIRS:
        from whyguard.train.stages.preference import pair_material

        found = pair_material(job, tokenizer)
        sequences = [[row for row in pair if row is not None] for pair in found.pairs]
        rows = found.rows
    else:
        from whyguard.train.stages.sft import sft_material

        rows, objective = sft_material(job, tokenizer)
        sequences = [[row] for row in objective.rows]
    return StageRows(sequences, rows.lengths, rows.train, rows.dev, len(rows.drops))


def _plan(config: StageConfig, rows: StageRows, processes: int) -> list[StepPlan]:
    from whyguard.train.stages.plan import Spread, plan_steps, training_order

    order = training_order(rows.train, config.epochs, config.seed)
    return plan_steps(order, rows.lengths, config.rows_a_step,
                      Spread(config.batch_tokens, processes), config.max_steps)  # fmt: skip


def _batches(steps: Sequence[StepPlan]) -> list[tuple[int, ...]]:
    return [share.rows for step in steps for hand in step.shares for share in hand if share.counts]


def _pass_cost(model: Model, config: StageConfig, rows: StageRows, batch: Sequence[int]) -> float:
    both = [row for at in batch for row in rows.sequences[at]]
    return _cost(model, config, both, _trained(config)).total


def _reference_cost(model: Model, config: StageConfig, rows: StageRows) -> float:
    if config.stage not in LEARNS_FROM_PAIRS:
        return 0.0
    return sum(_cost(model, config, pair, Trained.NOTHING).total for pair in rows.sequences)


def _cost(model: Model, config: StageConfig, rows: Sequence[Encoded], trained: Trained) -> Cost:
    from whyguard.train.stages.objective import completion_length, shared_length

    shared = shared_length(rows) if config.shared_preamble else 0
    lengths = [RowLengths(shared, len(row.input_ids) - shared, completion_length(row))
               for row in rows]  # fmt: skip
    return step_cost(model_shape(model.config), lengths, trained, share=config.shared_preamble)


def _grpo(job: StageJob, model: Model, tokenizer: Any) -> Forecast:
    """At most: every completion as long as it may be, sampled without a shared prefix."""
    from whyguard.train.stages.grpo import prompts_of, rollout_of
    from whyguard.train.stages.grpo_arguments import check_fields, shape_of
    from whyguard.train.stages.grpo_config import GrpoStage

    config = job.config
    assert isinstance(config, GrpoStage)  # noqa: S101 - the table of stages
    check_fields(config, use_cpu=False)
    prompts = prompts_of(job.data.rows, config, tokenizer)
    spread = shape_of(config, len(prompts.rows), prompts.longest, 1)
    a_step = config.rows_a_step * config.generations
    width = prompts.longest + config.completion_length
    row = RowLengths(0, width, config.completion_length)
    both = [step_cost(model_shape(model.config), [row] * a_step, kind)
            for kind in (_trained(config), Trained.NOTHING)]  # fmt: skip
    run = spread.forward_rows * width
    at, asked = model.widths, min(rollout_of(config, job).rows, a_step)
    cache = asked * width * 2 * at.keys * at.layers * _FLOAT
    count = spread.steps * spread.accumulation
    passes = Passes(PassTokens(run, run, run, 0, run), count, spread.steps, cache=cache)
    return Forecast("grpo", len(prompts.rows), 0, len(prompts.drops), spread.steps,
                    count, spread.steps * a_step * width,
                    memory_of(model, config, passes),
                    spread.steps * sum(cost.total for cost in both))  # fmt: skip


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row.input_ids) for row in rows)

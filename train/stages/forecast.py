"""What a stage would do and cost, from its rows and its model's shape: no weights, no training.

Memory is an estimate for one process: weights, gradients and AdamW's two moments in fp32, about
34 numbers a token and layer for activations (Korthikanti et al., arXiv 2205.05198, eq. 2 without
the attention scores, which the fast path does not keep), and a chunk of logits.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.optional import require
from whyguard.generation.models import Located, Precision, locate_model
from whyguard.train.config import LEARNS_FROM_PAIRS, LoraSettings, StageConfig
from whyguard.train.fast.floor import Cost, RowLengths, Trained, model_shape, step_cost
from whyguard.train.segments import Encoded
from whyguard.train.stages.plan import StepPlan
from whyguard.train.stages.run import StageJob

_FLOAT = 4
_OPTIMISER = 2
"""Numbers AdamW keeps a trained weight."""
_ACTIVATIONS = 34
"""Numbers of 2 bytes a token, layer and hidden unit, halved: with fp32 twice as many bytes."""
_CHUNK_BYTES = 1 << 28


class Weights(NamedTuple):
    """Numbers of a model."""

    all: int
    trained: int


class Memory(NamedTuple):
    """Bytes of one process."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)


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


class _Rows(NamedTuple):
    """Rows of a stage, each with the sequences that a forward pass runs for it."""

    sequences: list[list[Encoded]]
    lengths: Sequence[int]
    train: int
    dev: int
    dropped: int


def forecast(job: StageJob, processes: int = 1) -> Forecast:
    """Say what the stage would do; reads the tokenizer and the headers of the weights.

    Raises:
        ConfigError, DataError: what a run would raise before it trains.
    """
    located = locate_model(job.reference, role="base", progress=job.progress)
    config, shape = job.config, _config(located)
    if config.stage == "none":
        return Forecast("none", 0, 0, 0, 0, 0, 0, Memory(0, 0, 0, 0, 0), 0.0)
    weights = count_weights(located.folder, config.lora)
    if config.stage == "grpo":
        return _grpo(job, located, shape, weights)
    from whyguard.train.stages.arguments import KINDS, check_fields

    check_fields(config, KINDS[config.stage])
    rows = _rows(job, located)
    steps = _plan(config, rows, processes)
    cost = sum((_pass_cost(shape, config, rows, batch) for batch in _batches(steps)), 0.0)
    longest = max(sum(_tokens(rows.sequences[row]) for row in batch) for batch in _batches(steps))
    return Forecast(
        config.stage, rows.train, rows.dev, rows.dropped, len(steps), len(_batches(steps)),
        sum(_tokens(rows.sequences[row]) for step in steps for row in step.rows),
        memory_of(shape, config, weights, longest), cost + _reference_cost(shape, config, rows),
    )  # fmt: skip


def count_weights(folder: Path, lora: LoraSettings | None) -> Weights:
    """Numbers in a folder of safetensors, and how many of them (or of adapters) are trained."""
    safetensors = require("safetensors", "train")
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    total = sum(_product(shape) for shape in shapes.values())
    if lora is None:
        return Weights(total, total)
    linear = [shape for name, shape in shapes.items() if ".layers." in name and len(shape) == 2]
    adapters = sum(lora.r * (rows + columns) for rows, columns in linear)
    return Weights(total + adapters, adapters)


def memory_of(shape: Any, config: StageConfig, weights: Weights, tokens: int) -> Memory:
    """Bytes of one process whose longest forward pass has so many tokens."""
    text = shape.get_text_config(decoder=True)
    size = 2 if config.precision is Precision.BF16 else _FLOAT
    each = text.hidden_size * size
    layers = text.num_hidden_layers
    kept = _ACTIVATIONS // 2 * each
    if config.activation_checkpointing:
        activations = tokens * (each * layers + kept)
    else:
        activations = tokens * kept * layers
    return Memory(weights.all * _FLOAT, weights.trained * _FLOAT,
                  weights.trained * _FLOAT * _OPTIMISER, activations,
                  min(2 * _CHUNK_BYTES, 2 * tokens * text.vocab_size * _FLOAT))  # fmt: skip


def _config(located: Located) -> Any:
    transformers = require("transformers", "train")
    return transformers.AutoConfig.from_pretrained(located.folder, trust_remote_code=False)


def _tokenizer(located: Located) -> Any:
    transformers = require("transformers", "train")
    return transformers.AutoTokenizer.from_pretrained(located.folder, trust_remote_code=False)


def _rows(job: StageJob, located: Located) -> _Rows:
    tokenizer = _tokenizer(located)
    if job.config.stage in LEARNS_FROM_PAIRS:
        from whyguard.train.stages.preference import pair_material

        found = pair_material(job, tokenizer)
        sequences = [[row for row in pair if row is not None] for pair in found.pairs]
        rows = found.rows
    else:
        from whyguard.train.stages.sft import sft_material

        rows, objective = sft_material(job, tokenizer)
        sequences = [[row] for row in objective.rows]
    return _Rows(sequences, rows.lengths, rows.train, rows.dev, len(rows.drops))


def _plan(config: StageConfig, rows: _Rows, processes: int) -> list[StepPlan]:
    from whyguard.train.stages.plan import Spread, plan_steps, training_order

    order = training_order(rows.train, config.epochs, config.seed)
    return plan_steps(order, rows.lengths, config.rows_a_step,
                      Spread(config.batch_tokens, processes), config.max_steps)  # fmt: skip


def _batches(steps: Sequence[StepPlan]) -> list[tuple[int, ...]]:
    return [share.rows for step in steps for hand in step.shares for share in hand if share.counts]


def _pass_cost(shape: Any, config: StageConfig, rows: _Rows, batch: Sequence[int]) -> float:
    trained = Trained.FULL if config.lora is None else Trained.ADAPTERS
    return _cost(shape, config, [row for at in batch for row in rows.sequences[at]], trained).total


def _reference_cost(shape: Any, config: StageConfig, rows: _Rows) -> float:
    if config.stage not in LEARNS_FROM_PAIRS:
        return 0.0
    return sum(_cost(shape, config, pair, Trained.NOTHING).total for pair in rows.sequences)


def _cost(shape: Any, config: StageConfig, rows: Sequence[Encoded], trained: Trained) -> Cost:
    from whyguard.train.stages.objective import completion_length, shared_length

    shared = shared_length(rows) if config.shared_preamble else 0
    lengths = [RowLengths(shared, len(row.input_ids) - shared, completion_length(row))
               for row in rows]  # fmt: skip
    return step_cost(model_shape(shape), lengths, trained, share=config.shared_preamble)


def _grpo(job: StageJob, located: Located, shape: Any, weights: Weights) -> Forecast:
    """At most: every completion as long as it may be, sampled without a shared prefix."""
    from whyguard.train.stages.grpo import prompts_of
    from whyguard.train.stages.grpo_arguments import check_fields, shape_of
    from whyguard.train.stages.grpo_config import GrpoStage

    config = job.config
    assert isinstance(config, GrpoStage)  # noqa: S101 - the table of stages
    check_fields(config, use_cpu=False)
    prompts = prompts_of(job.data.rows, config, _tokenizer(located))
    spread = shape_of(config, len(prompts.rows), prompts.longest, 1)
    a_step = config.rows_a_step * config.generations
    width = prompts.longest + config.completion_length
    trained = Trained.FULL if config.lora is None else Trained.ADAPTERS
    row = RowLengths(0, width, config.completion_length)
    both = [step_cost(model_shape(shape), [row] * a_step, kind)
            for kind in (trained, Trained.NOTHING)]  # fmt: skip
    return Forecast("grpo", len(prompts.rows), 0, len(prompts.drops), spread.steps,
                    spread.steps * spread.accumulation, spread.steps * a_step * width,
                    memory_of(shape, config, weights, spread.forward_rows * width),
                    spread.steps * sum(cost.total for cost in both))  # fmt: skip


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row.input_ids) for row in rows)


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total

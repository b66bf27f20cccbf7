"""What the stages of a pipeline would do and cost, before any of them has run.

All stages have the shape of the pipeline's model: each is forecast from its config, and from the
pipeline's data. Two things are not there yet, and are counted at most:

- pairs: a family gives at most one in each target language, and at most `cap` a language; how many
  the guard gives shows when it is sampled;
- completions of pairs: each is taken to be as long as a sample may be (`max_new_tokens`; a chosen
  one with its explanation, where that is spliced in), as far as `max_length` has room.

So of dpo and cao on pairs of the pipeline, every figure is an upper bound; pairs that
`evaluate_every` would hold out count as trained on. Nothing is written, nothing is sampled.
"""

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.errors import DataError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.progress import Progress
from whyguard.core.steps import Estimate
from whyguard.core.values import Label
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template
from whyguard.generation.guard.scoring import encode_pieces
from whyguard.generation.models import is_here, locate_model
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.train.config import LEARNS_FROM_PAIRS, StageConfig
from whyguard.train.pair_choice import Both, askable, slots_of
from whyguard.train.pair_sampler import estimate_sampling, sampling_tasks
from whyguard.train.pairs import PairsConfig
from whyguard.train.pipeline import PAIRS, Pipeline, Planned, check_passed
from whyguard.train.sampling import THINK_OPEN, guard_prompt_ids
from whyguard.train.segments import IGNORED, Encoded
from whyguard.train.stages.data import StageData, find_data, read_examples, read_pairs
from whyguard.train.stages.forecast import (
    Forecast,
    StageRows,
    forecast,
    forecast_rows,
    read_model,
    read_tokenizer,
)
from whyguard.train.stages.run import StageJob


class PairsForecast(NamedTuple):
    """What `pairs` would ask, and could give."""

    stage: str
    families: int
    """Families that have an English prompt and one in a target language, of like label."""
    pairs: int
    """At most."""
    by_language: dict[str, int]
    """Pairs a language, at most."""
    estimate: Estimate
    """Completions to write, and their tokens at most."""

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        asked = self.estimate
        return {"stage": self.stage, "families": self.families, "pairs": self.pairs,
                "by_language": self.by_language, "completions": asked.calls,
                "prompt_tokens": asked.prompt_tokens,
                "completion_tokens": asked.completion_tokens}  # fmt: skip


class StageForecast(NamedTuple):
    """One stage of a pipeline."""

    id: str
    found: Forecast | PairsForecast | None
    """None: not known; `note` says why."""
    note: str = ""
    """That its figures are an upper bound, and of what it is made; empty: they are exact."""

    def facts(self) -> dict[str, Any]:
        """As JSON; without id and stage, which the plan of a pipeline names already."""
        known = {} if self.found is None else self.found.facts()
        known.pop("stage", None)
        return known | ({"note": self.note} if self.note else {})


class _Scene(NamedTuple):
    """What the stages of a pipeline share."""

    pipeline: Pipeline
    stages: dict[str, Planned]
    tokenizer: Any
    examples: StageData
    progress: Progress


def forecast_pipeline(pipeline: Pipeline, progress: Progress | None = None) -> list[StageForecast]:
    """Say what each stage would do, in order; reads data, tokenizer and headers of the weights.

    A model that would have to be downloaded or converted first is not: nothing is known then.

    Raises:
        ConfigError, DataError, MissingFileError: what a run would raise before it trains.
    """
    check_passed(pipeline)
    model = pipeline.file.model
    if not is_here(model):
        note = f"not known before the model {model} is here: a run gets it"
        return [StageForecast(stage.id, None, note) for stage in pipeline.stages]
    shown = progress or Progress.silent()
    located = locate_model(model, role="base", progress=shown)
    where = StageConfig(stage="forecast", data=pipeline.file.data, datasets=pipeline.file.datasets)
    scene = _Scene(pipeline, {stage.id: stage for stage in pipeline.stages},
                   read_tokenizer(located), read_examples(find_data(where)), shown)  # fmt: skip
    return [_stage(stage, scene) for stage in pipeline.stages]


def _stage(stage: Planned, scene: _Scene) -> StageForecast:
    if isinstance(stage.config, PairsConfig):
        return _pairs(stage.id, stage.config, scene)
    config = stage.config.model_copy(update={"model": scene.pipeline.file.model})
    if stage.pairs is not None and stage.kind != "none":
        return _aligned(stage, config, scene)
    if stage.pairs is not None:
        data = scene.examples  # passed on as it is: nothing is read
    elif stage.kind in LEARNS_FROM_PAIRS:
        data = read_pairs(find_data(config))
    else:
        data = read_examples(find_data(config))
    job = StageJob(config, data, Path(), "", Progress.silent())
    note = "at most: every completion as long as it may be" if stage.kind == "grpo" else ""
    return StageForecast(stage.id, forecast(job), note)


def _pairs(name: str, config: PairsConfig, scene: _Scene) -> StageForecast:
    both = _possible(config, scene)
    template = prompt_template(config.prompt or DEFAULT_TEMPLATE)
    tasks = sampling_tasks([row for each in both for row in each], config.samples,
                           _prefill(name, scene))  # fmt: skip
    teacher = config.model_copy(update={"model": scene.pipeline.file.model}).teacher
    asked = estimate_sampling(tasks, teacher, TeacherRuntime(resume="never"), template, Path())
    counts = _by_language(both, config.cap)
    found = PairsForecast(PAIRS, len({each.target["family_id"] for each in both}),
                          sum(counts.values()), counts, asked)  # fmt: skip
    return StageForecast(name, found, f"at most: one pair a family and language, completions of "
                         f"{config.max_new_tokens} tokens")  # fmt: skip


def _aligned(stage: Planned, config: StageConfig, scene: _Scene) -> StageForecast:
    """Alignment (dpo, cao) on pairs that are not made yet."""
    pairs = scene.stages[stage.pairs or ""].config
    assert isinstance(pairs, PairsConfig)  # noqa: S101 - the plan names a stage of that kind
    rows = _longest_rows(pairs, config, _prefill(stage.pairs or "", scene), scene)
    located = locate_model(scene.pipeline.file.model)
    found = forecast_rows(config, read_model(located, config.lora), rows)
    return StageForecast(stage.id, found, f"at most: {rows.train:,} pairs, one a family and "
                         f"language of {', '.join(pairs.languages)}, each completion of "
                         f"{pairs.max_new_tokens} tokens")  # fmt: skip


def _possible(config: PairsConfig, scene: _Scene) -> list[Both]:
    """Families in target languages that can have a pair."""
    rows = scene.examples.rows
    found = slots_of(rows.filter(rows["split"] == "train").to_dicts(), ENGLISH, config.languages)
    asked = (askable(slot, splice=config.explanation == "splice",
                     reviewed_only=config.reviewed_only) for slot in found)  # fmt: skip
    return [each for each in asked if isinstance(each, Both)]


def _by_language(both: Sequence[Both], cap: int | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in both:
        code = each.target["language"]
        counts[code] = counts.get(code, 0) + 1
    return {code: min(count, cap or count) for code, count in sorted(counts.items())}


def _prefill(name: str, scene: _Scene) -> str:
    """What prompts of the pairs `name` end with: as in the last grpo stage that they come from."""
    stage = scene.stages[name]
    assert isinstance(stage.config, PairsConfig)  # noqa: S101 - the callers' stage
    begun, at = stage.config.prefill_think, stage.after
    while begun is None and at is not None:
        begun = getattr(scene.stages[at].config, "prefill_think", None)
        at = scene.stages[at].after
    return THINK_OPEN if begun else ""


def _longest_rows(pairs: PairsConfig, config: StageConfig, prefill: str,
                  scene: _Scene) -> StageRows:  # fmt: skip
    """The pairs there could be, each completion as long as it may be; of too many, the longest."""
    both = _possible(pairs, scene)
    by_language: dict[str, list[list[Encoded]]] = {}
    dropped = 0
    for each in both:
        row = _row(each, pairs, config, prefill, scene.tokenizer)
        dropped += row is None
        if row is not None:
            by_language.setdefault(each.target["language"], []).append(row)
    kept = [row for _, rows in sorted(by_language.items())
            for row in heapq.nlargest(pairs.cap or len(rows), rows, key=_length)]  # fmt: skip
    return _as_rows(kept, dropped, share=config.shared_preamble)


def _row(both: Both, pairs: PairsConfig, config: StageConfig, prefill: str,
         tokenizer: Any) -> list[Encoded] | None:  # fmt: skip
    """Chosen, rejected and (cao) anchor; None where a prompt alone is too long."""
    template = prompt_template(config.prompt)
    english, target = (guard_prompt_ids(tokenizer, template, row["text"], prefill)
                       for row in both)  # fmt: skip
    if max(len(english), len(target)) >= config.max_length:
        return None
    more = 0
    if pairs.explanation == "splice" and both.target["label"] == Label.HARMFUL:
        more = len(encode_pieces(tokenizer, [both.target["explanation"]]))
    new = pairs.max_new_tokens
    rows = [(target, new + more), (target, new), *([(english, new)] * (config.stage == "cao"))]
    return [_encoded(prompt, min(count, config.max_length - len(prompt)), token)
            for token, (prompt, count) in enumerate(rows)]  # fmt: skip


def _encoded(prompt: Sequence[int], count: int, token: int) -> Encoded:
    """A row with a completion of `count` equal tokens: nothing but its length matters."""
    return Encoded([*prompt, *[token] * count], [IGNORED] * len(prompt) + [token] * count,
                   [0.0] * len(prompt) + [1.0] * count)  # fmt: skip


def _as_rows(kept: Sequence[Sequence[Encoded]], dropped: int, *, share: bool) -> StageRows:
    """All of them as train rows.

    Raises:
        DataError: there are none.
    """
    from whyguard.train.stages.objective import shared_length

    if not kept:
        fail(DataError, where="pipeline: pairs", expected="a family with an English and a local "
             "train prompt of like label that fits into max_length", found="none",
             do="check the languages and the split of the dataset, and max_length")  # fmt: skip
    shared = shared_length([row for pair in kept for row in pair]) if share else 0
    lengths = [sum(len(row.input_ids) - shared for row in pair) for pair in kept]
    return StageRows(kept, lengths, len(kept), dropped=dropped)


def _length(pair: Sequence[Encoded]) -> int:
    return sum(len(row.input_ids) for row in pair)

"""Steps that measure localised prompts and explanations; no row is changed but in its signals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, field_validator, model_validator

from whyguard.core.artefact import ModelUse
from whyguard.core.languages import ENGLISH
from whyguard.core.refs import DataFolder
from whyguard.core.schemas import Explanation, Prompt
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepConfig, StepResult, total
from whyguard.core.tables import Row, SchemaType, frame
from whyguard.generation.signals.costs import verdict_cost, way_back_cost
from whyguard.generation.signals.harm import JudgeConfig, open_judge
from whyguard.generation.signals.measure import Measured, Pair, Tools, coverage, measure
from whyguard.generation.signals.names import Signal
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig, open_backends

_EXPLANATIONS_ONLY = frozenset({Signal.PROMPT_REPEATED})
_PROMPTS_ONLY = frozenset({Signal.HARM_AGREEMENT, Signal.HARM_SHIFT})
"""An explanation speaks of harm whatever it explains: a verdict on it would say nothing."""


class ExplanationSignalsConfig(StepConfig):
    """Which signals, and what they are measured with."""

    signals: tuple[Signal, ...] = Field(default=tuple(s for s in Signal if s not in _PROMPTS_ONLY),
                                        min_length=1)  # fmt: skip
    back: tuple[BackendConfig, ...] = ()
    """The way back, from the row's language into its source's; without one, round trips are
    null. Engines only."""
    packs: DataFolder | None = None
    """Localisation packs that come before the shipped ones: their locked terms are counted."""
    classifier: DataFolder | None = None
    """What `whyguard langid train` wrote; None: the built-in classifier."""

    @field_validator("signals")
    @classmethod
    def _sorted(cls, names: tuple[Signal, ...]) -> tuple[Signal, ...]:
        """In the order of the list, each once: the order in a recipe changes nothing."""
        unfit = sorted(set(names) & cls._unfit())
        if unfit:
            raise ValueError(f"no signal of this step: {unfit[0]}")
        return tuple(name for name in Signal if name in names)

    @field_validator("back")
    @classmethod
    def _engines(cls, entries: tuple[BackendConfig, ...]) -> tuple[BackendConfig, ...]:
        if any(entry.kind == "memory" for entry in entries):
            raise ValueError("an engine as way back, no memory: one that stores both directions "
                             "gives the source back whatever the translation")  # fmt: skip
        return entries

    @classmethod
    def _unfit(cls) -> frozenset[Signal]:
        return _PROMPTS_ONLY


class SignalsConfig(ExplanationSignalsConfig):
    """The same for prompts, with a judge."""

    signals: tuple[Signal, ...] = Field(
        default=tuple(s for s in Signal if s not in _EXPLANATIONS_ONLY), min_length=1
    )
    judge: JudgeConfig | None = None
    """Measures harm preservation; without one it is null."""

    @classmethod
    def _unfit(cls) -> frozenset[Signal]:
        return _EXPLANATIONS_ONLY

    @model_validator(mode="after")
    def _judged(self) -> "SignalsConfig":
        if self.judge and not set(self.signals) & _PROMPTS_ONLY:
            raise ValueError("harm_agreement or harm_shift among the signals, where a judge is")
        return self


def prompt_pairs(rows: Sequence[Row]) -> list[Pair]:
    """Translated rows with their sources (None: the source is not among the rows)."""
    known = {row["prompt_id"]: row for row in rows}
    return [Pair(row, known.get(row["translation_of"])) for row in rows if row["translation_of"]]


def explanation_pairs(rows: Sequence[Row], prompts: Sequence[Row]) -> list[Pair]:
    """Rows in other languages than English, with what they were translated from, if they were.

    The prompt beside a row is its family's in the row's language.
    """
    known = {f"{row['prompt_id']}:{row['language']}": row for row in rows}
    families = {row["prompt_id"]: row["family_id"] for row in prompts}
    local = {(row["family_id"], row["language"]): row for row in prompts}
    return [
        Pair(row, known.get(row["translation_of"] or ""),
             local.get((families.get(row["prompt_id"]), row["language"])))
        for row in rows if row["translation_of"] or row["language"] != ENGLISH
    ]  # fmt: skip


def run_prompts(inputs: Inputs, config: SignalsConfig, runtime: TeacherRuntime, room: Room
                ) -> StepResult:  # fmt: skip
    """All given rows; translated ones with their signals added, or measured anew."""
    table = inputs["prompts"].rows
    rows = table.to_dicts()
    pairs = prompt_pairs(rows)
    judge = open_judge(config.judge, runtime, room) if config.judge and pairs else None
    languages = config.judge.languages if config.judge else ()
    tools = _tools(config, runtime, room)._replace(judge=judge, judge_languages=languages)
    result = _result(Prompt, table, rows, pairs, measure(pairs, config.signals, tools))
    judges = (judge.use,) if judge and judge.use else ()
    return result._replace(models=(*_models(tools), *judges))


def run_explanations(inputs: Inputs, config: ExplanationSignalsConfig, runtime: TeacherRuntime,
                     room: Room) -> StepResult:  # fmt: skip
    """All given rows; translated ones, and others that are not English, with their signals."""
    table = inputs["explanations"].rows
    prompts = inputs["prompts"].rows.to_dicts() if "prompts" in inputs else []
    rows = table.to_dicts()
    pairs = explanation_pairs(rows, prompts)
    tools = _tools(config, runtime, room)
    result = _result(Explanation, table, rows, pairs, measure(pairs, config.signals, tools))
    return result._replace(models=_models(tools))


def _tools(config: ExplanationSignalsConfig, runtime: TeacherRuntime, room: Room) -> Tools:
    packs = Path(config.packs) if config.packs else None
    backends = open_backends(config.back, room, runtime)
    return Tools(classifier=config.classifier, backends=backends, packs=packs)


def _models(tools: Tools) -> tuple[ModelUse, ...]:
    return tuple(use for backend in tools.backends for use in backend.uses)


def _result(schema: SchemaType, table: pl.DataFrame, rows: Sequence[Row], pairs: Sequence[Pair],
            found: Measured) -> StepResult:  # fmt: skip
    new = {id(pair.row): {name.value: column[i] for name, column in found.values.items()}
           for i, pair in enumerate(pairs)}  # fmt: skip
    extended = [row | {"signals": extend(row["signals"], new.get(id(row), {}))} for row in rows]
    notes: dict[str, Any] = {"localised_rows": len(pairs),
                             "coverage": coverage(pairs, found.values)}  # fmt: skip
    if found.no_way:
        notes["no_way_back"] = dict(sorted(found.no_way.items()))
    return StepResult(frame(schema, extended), notes=notes, read=table.height)


def extend(signals: Sequence[Row], new: dict[str, float | None]) -> list[Row]:
    """The signals with new ones at the end; a name that was there is measured anew.

    A null never takes the place of a value that somebody else measured.
    """
    old = {item["name"]: item["value"] for item in signals}
    kept = {name: value for name, value in old.items() if new.get(name) is None}
    merged = kept | {name: new[name] for name in new if name not in kept}
    return [{"name": name, "value": value} for name, value in merged.items()]


def estimate_prompts(inputs: Inputs, config: SignalsConfig, runtime: TeacherRuntime,
                     ledger: Path) -> Estimate:  # fmt: skip
    """What models would be asked about prompts, at most."""
    pairs = prompt_pairs(inputs["prompts"].rows.to_dicts())
    back = way_back_cost(pairs, config.signals, config.back, config.judge is not None, runtime,
                         ledger)  # fmt: skip
    return total([back, verdict_cost(pairs, config.judge, runtime, ledger)])


def estimate_explanations(inputs: Inputs, config: ExplanationSignalsConfig,
                          runtime: TeacherRuntime, ledger: Path) -> Estimate:  # fmt: skip
    """What models would be asked about explanations, at most."""
    pairs = explanation_pairs(inputs["explanations"].rows.to_dicts(), [])
    return way_back_cost(pairs, config.signals, config.back, False, runtime, ledger)


def is_light(config: ExplanationSignalsConfig) -> bool:
    """Whether it asks no model: neither a judge, nor a way back that is one."""
    judge = getattr(config, "judge", None)
    return judge is None and all(entry.kind == "apertium" for entry in config.back)


PROMPTS = Step(
    name="generation.signals",
    version="3",
    summary="measuring localised prompts",
    config=SignalsConfig,
    inputs={"prompts": Prompt},
    output=Prompt,
    run=run_prompts,
    runtime=TeacherRuntime,
    estimate=estimate_prompts,
    light=is_light,
)
EXPLANATIONS = Step(
    name="generation.explanation_signals",
    version="3",
    summary="measuring localised explanations",
    config=ExplanationSignalsConfig,
    inputs={"explanations": Explanation, "prompts": Prompt},
    output=Explanation,
    run=run_explanations,
    runtime=TeacherRuntime,
    optional=frozenset({"prompts"}),
    estimate=estimate_explanations,
    estimate_from=frozenset({"explanations"}),
    light=is_light,
)

"""Steps that translate prompts and explanations: translation memory first, then an engine."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic import Field, model_validator

from whyguard.core.languages import LanguageCode
from whyguard.core.refs import DataFolder
from whyguard.core.schemas import Explanation, Prompt
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepConfig, StepResult
from whyguard.core.tables import Row, SchemaType, drop, drops_frame, frame, validated
from whyguard.curation.normalise import is_blank, normalise
from whyguard.generation.signals.names import (
    GLOSSARY_VIOLATIONS,
    LENGTH_RATIO,
    LOST_PLACEHOLDERS,
    UNKNOWN_WORD_SHARE,
)
from whyguard.generation.teachers.base import TeacherRuntime, distinct
from whyguard.generation.translation.backends import (
    NO_GUIDE,
    Backend,
    BackendConfig,
    Found,
    Guide,
    MemoryBackend,
    open_backends,
)
from whyguard.generation.translation.costs import Costs
from whyguard.generation.translation.guides import SHIPPED, Guides, family_key
from whyguard.generation.translation.sources import check_source, check_ways, wanted


class TranslateConfig(StepConfig):
    """From which language into which, by what."""

    source: LanguageCode
    languages: tuple[LanguageCode, ...] = Field(min_length=1)
    backends: tuple[BackendConfig, ...] = Field(min_length=1)
    glossary: bool = False
    """Terms that a language's pack locks stand in translations as given; engines that read a
    glossary are told the others. People's translations (memories) stay as they are."""
    culture: bool = False
    """Names, places, money, institutions and help lines give way to the local ones of the
    language's pack, each logged in `edits`. People's translations stay as they are."""
    packs: DataFolder | None = None
    """Folder of packs that come before the package's own; only with `glossary` or `culture`."""

    @model_validator(mode="before")
    @classmethod
    def _packs(cls, values: Any) -> Any:
        """Name the package's packs where they are used, so that what they hold is in the key."""
        if isinstance(values, dict) and (values.get("glossary") or values.get("culture")):
            return {**values, "packs": values.get("packs") or SHIPPED}
        return values

    @model_validator(mode="after")
    def _fits(self) -> "TranslateConfig":
        distinct(self.languages)
        if self.source in self.languages:
            raise ValueError(f"languages other than the source, {self.source}")
        for backend in self.backends:
            if backend.columns and self.source not in backend.columns:
                raise ValueError(f"a column of the source, {self.source}, under 'columns'")
        if self.packs and not (self.glossary or self.culture):
            raise ValueError("'packs' only with 'glossary: true' or 'culture: true'")
        self._reachable()
        return self

    def _reachable(self) -> None:
        """Where wide memories are all there is, each language is a column of one of them."""
        if not all(entry.kind == "memory" and entry.columns for entry in self.backends):
            return
        for code in self.languages:
            if not any(code in entry.columns for entry in self.backends):
                raise ValueError(f"a column of the language {code} under 'columns': no other "
                                 "backend translates into it")  # fmt: skip


def translate_all(source: str, target: str, texts: Sequence[str], backends: Sequence[Backend],
                  guides: Sequence[Guide] | None = None) -> list[Found | None]:  # fmt: skip
    """Each text's translation from the first backend that has one (a blank one is none)."""
    found: list[Found | None] = [None] * len(texts)
    known = guides or [NO_GUIDE] * len(texts)
    for backend in backends:
        missing = [i for i, item in enumerate(found) if item is None]
        if not missing:
            break
        answers = backend.translate(source, target, [texts[i] for i in missing],
                                    [known[i] for i in missing])  # fmt: skip
        for i, answer in zip(missing, answers, strict=True):
            if answer is None:
                continue
            if is_blank(text := normalise(answer.text)):
                backend.reasons["a blank translation"] += 1
            else:
                found[i] = answer._replace(text=text)
    return found


def signals_of(source: str, found: Found, violations: float | None = None
               ) -> list[dict[str, Any]]:  # fmt: skip
    """Unknown-word share, length ratio, lost placeholders and glossary violations; null means not
    measurable here."""
    words = max(1, len(found.text.split()))
    values = {
        # an engine may leave more words than remain in the end
        UNKNOWN_WORD_SHARE: None if found.unknown is None else min(1.0, found.unknown / words),
        LENGTH_RATIO: len(found.text) / max(1, len(source)),
        LOST_PLACEHOLDERS: None if found.lost is None else float(found.lost),
        GLOSSARY_VIOLATIONS: violations,
    }
    return [{"name": name, "value": value} for name, value in values.items()]


Builder = Callable[[Row, str, Found], Row]
"""(source row, target language, translation) -> translated row, without its signals."""


class Translated(NamedTuple):
    """New rows, what could not be translated, and facts for the manifest."""

    rows: list[Row]
    drops: list[dict[str, str]]
    notes: dict[str, Any]


class _Work(NamedTuple):
    """Rows to translate: how they hang together, and what they become."""

    rows: Sequence[Row]
    unit: str
    """The column that a row shares with its translations."""
    prompts: Mapping[str, Row] = {}
    """Of explanations, their prompts by id, where the step is given them."""

    def guides(self, config: TranslateConfig, target: str, rows: Sequence[Row]) -> list[Guide]:
        """What is known of each row's text."""
        guides, source = _guides(config, target), config.source
        beside = {prompt["family_id"]: prompt["text"] for prompt in self.prompts.values()
                  if prompt["language"] == source}  # fmt: skip
        keys = [family_key(row, self.prompts) for row in rows]
        return [guides.of(row["text"], source, key, beside.get(key, ""))
                for row, key in zip(rows, keys, strict=True)]  # fmt: skip


def _translated(work: _Work, config: TranslateConfig, backends: Sequence[Backend], room: Room,
                build: Builder) -> Translated:  # fmt: skip
    """Translate rows of the source language, but for those that are there in the target."""
    done, notes = Translated([], [], {}), _Notes()
    plan = {target: wanted(work.rows, config.source, target, work.unit)
            for target in config.languages}  # fmt: skip
    texts = {target: [row["text"] for row in part.rows] for target, part in plan.items()}
    check_ways(config.backends, backends, config.source, texts)
    for target in room.progress.track(config.languages, "languages", len(config.languages)):
        sources = plan[target].rows
        each = work.guides(config, target, sources)
        found = translate_all(config.source, target, texts[target], backends, each)
        done.drops.extend(plan[target].drops)
        _keep(done, sources, found, config, target, build)
        state = _guides(config, target).state if config.packs else None
        notes.add(target, found, each, state)
    done.notes.update(notes.facts(backends))
    return done


def _keep(done: Translated, sources: Sequence[Row], found: Sequence[Found | None],
          config: TranslateConfig, target: str, build: Builder) -> None:  # fmt: skip
    """Add one language's rows, and drops of what nobody translated."""
    guides = _guides(config, target)
    for row, item in zip(sources, found, strict=True):
        if item is None:
            done.drops.append(_untranslated(row, target))
            continue
        violations = guides.violations(row["text"], item.text, config.source)
        signals = signals_of(row["text"], item, violations)
        done.rows.append(build(row, target, item) | {"signals": signals})


def _guides(config: TranslateConfig, target: str) -> Guides:
    return Guides(target, config.packs, glossary=config.glossary, culture=config.culture)


class _Notes:
    """Facts for the manifest: who translated, what was edited, why nothing came."""

    def __init__(self) -> None:
        self._translators: dict[str, dict[str, int]] = {}
        self._edits: dict[str, dict[str, int]] = {}
        self._left: dict[str, dict[str, int]] = {}
        self._packs: dict[str, str] = {}

    def add(self, target: str, found: Sequence[Found | None], guides: Sequence[Guide],
            pack: str | None) -> None:  # fmt: skip
        names = Counter(item.translator if item else "none" for item in found)
        self._translators[target] = dict(sorted(names.items()))
        edits = Counter(line for item in found if item for line in item.edits)
        if edits:
            self._edits[target] = dict(sorted(edits.items()))
        # of what engines translated: people's words (nothing lost was measured) are not edited
        left = Counter(line for item, guide in zip(found, guides, strict=True)
                       if item and item.lost is not None for line in guide.left)  # fmt: skip
        if left:
            self._left[target] = dict(sorted(left.items()))
        if pack:
            self._packs[target] = pack

    def facts(self, backends: Sequence[Backend]) -> dict[str, Any]:
        failures = {b.label: dict(sorted(b.reasons.items())) for b in backends if b.reasons}
        memories = {b.name: b.facts for b in backends if isinstance(b, MemoryBackend)}
        optional = {
            "edits": self._edits,
            "not_edited": self._left,
            "packs": self._packs,
            "untranslated": failures,
        }
        return {"translators": self._translators, "memories": memories} | {
            name: facts for name, facts in optional.items() if facts
        }


def _untranslated(row: Row, target: str) -> dict[str, str]:
    reason = f"no backend had a translation into {target}"
    return drop(row, f"{row['prompt_id']}>{target}", "no_translation", reason)


def _prompt(row: Row, target: str, found: Found) -> Row:
    name = f"{row['family_id']}:{target}"
    edits = [*row["edits"], *found.edits]
    return row | {"prompt_id": name, "translation_of": row["prompt_id"], "edits": edits} | _shared(
        target, found)  # fmt: skip


def _explanation(row: Row, target: str, found: Found) -> Row:
    name = f"{row['prompt_id']}:{row['language']}"
    return row | {"translation_of": name} | _shared(target, found)


def _shared(target: str, found: Found) -> Row:
    return {"language": target, "text": found.text, "translator": found.translator}


def run_prompts(inputs: Inputs, config: TranslateConfig, runtime: TeacherRuntime, room: Room
                ) -> StepResult:  # fmt: skip
    """All given prompts, and the translations of those in the source language.

    `read` counts given rows, wanted translations and unusable rows of memories.
    """
    work = _prompt_work(inputs)
    return _run(inputs["prompts"].rows, Prompt, work, config, runtime, room, _prompt)


def run_explanations(inputs: Inputs, config: TranslateConfig, runtime: TeacherRuntime, room: Room
                     ) -> StepResult:  # fmt: skip
    """All given explanations, and the translations of those in the source language.

    Explanations have no column for edits: the manifest's notes count them.
    """
    rows, work = inputs["explanations"].rows, _explanation_work(inputs)
    return _run(rows, Explanation, work, config, runtime, room, _explanation)


def _prompt_work(inputs: Inputs) -> _Work:
    return _Work(inputs["prompts"].rows.to_dicts(), "family_id")


def _explanation_work(inputs: Inputs) -> _Work:
    given = inputs["prompts"].rows.to_dicts() if "prompts" in inputs else []
    prompts = {row["prompt_id"]: row for row in given}
    return _Work(inputs["explanations"].rows.to_dicts(), "prompt_id", prompts)


def _run(rows: pl.DataFrame, schema: SchemaType, work: _Work, config: TranslateConfig,
         runtime: TeacherRuntime, room: Room, build: Builder) -> StepResult:  # fmt: skip
    # several artefacts may share ids: better to say so before anything is asked than after
    validated(schema, rows, "rows to translate")
    check_source(work.rows, config.source)
    backends = open_backends(config.backends, room, runtime)
    memories = [backend for backend in backends if isinstance(backend, MemoryBackend)]
    done = _translated(work, config, backends, room, build)
    drops = [*(item for memory in memories for item in memory.memory.drops), *done.drops]
    licences = tuple(f"memory {m.name}: {m.licence}" for m in memories if m.licence)
    models = tuple(use for backend in backends for use in backend.uses)
    read = rows.height + len(done.rows) + len(drops)
    return StepResult(pl.concat([rows, frame(schema, done.rows)]), drops_frame(drops), models,
                      licences, done.notes, read)  # fmt: skip


def is_light(config: TranslateConfig) -> bool:
    """Whether no model is asked."""
    return all(entry.kind in ("memory", "apertium") for entry in config.backends)


def estimate_prompts(inputs: Inputs, config: TranslateConfig, runtime: TeacherRuntime,
                     ledger: Path) -> Estimate:  # fmt: skip
    """What models would be asked about prompts, at most."""
    return _estimate(_prompt_work(inputs), config, runtime, ledger)


def estimate_explanations(inputs: Inputs, config: TranslateConfig, runtime: TeacherRuntime,
                          ledger: Path) -> Estimate:  # fmt: skip
    """What models would be asked about explanations, at most."""
    return _estimate(_explanation_work(inputs), config, runtime, ledger)


def _estimate(work: _Work, config: TranslateConfig, runtime: TeacherRuntime, ledger: Path
              ) -> Estimate:  # fmt: skip
    check_source(work.rows, config.source)
    costs = Costs(config.backends, runtime, ledger)
    for target in config.languages:
        sources = wanted(work.rows, config.source, target, work.unit).rows
        each = work.guides(config, target, sources)
        costs.add(config.source, target, [row["text"] for row in sources], each)
    return costs.total


PROMPTS = Step(
    name="generation.translate",
    version="3",
    summary="translating prompts",
    config=TranslateConfig,
    inputs={"prompts": Prompt},
    output=Prompt,
    run=run_prompts,
    runtime=TeacherRuntime,
    estimate=estimate_prompts,
    light=is_light,
)
EXPLANATIONS = Step(
    name="generation.translate_explanations",
    version="3",
    summary="translating explanations",
    config=TranslateConfig,
    inputs={"explanations": Explanation, "prompts": Prompt},
    optional=frozenset({"prompts"}),
    output=Explanation,
    run=run_explanations,
    runtime=TeacherRuntime,
    estimate=estimate_explanations,
    light=is_light,
)

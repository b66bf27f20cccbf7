"""Steps that translate prompts and explanations: translation memory first, then an engine."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl
from pydantic import Field, model_validator

from whyguard.core.languages import LanguageCode
from whyguard.core.refs import DataFile
from whyguard.core.schemas import Explanation, Prompt
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult
from whyguard.core.tables import Row, SchemaType, drop, drops_frame, frame
from whyguard.curation.normalise import is_blank, normalise
from whyguard.generation.teachers.base import distinct
from whyguard.generation.translation.apertium import Apertium
from whyguard.generation.translation.memory import Memory, load_memory


class BackendConfig(StepConfig):
    """One source of translations; earlier ones are asked first."""

    kind: Literal["memory", "apertium"]
    file: DataFile | None = None
    """memory: .tmx, .jsonl, .csv, .tsv or .parquet."""
    columns: dict[LanguageCode, str] = Field(default={})
    """memory from a wide table: language code -> column."""
    translator: str = Field(default="human (translation memory)", min_length=1)
    """memory: recorded for units that do not name their own."""
    licence: str | None = Field(default=None, min_length=1)
    """memory: recorded in the manifest."""

    @model_validator(mode="after")
    def _complete(self) -> "BackendConfig":
        if (self.kind == "memory") != (self.file is not None):
            raise ValueError("'file' for a backend of kind memory, and for no other")
        if self.licence and self.kind != "memory":
            raise ValueError("'licence' for a backend of kind memory, and for no other")
        return self


class TranslateConfig(StepConfig):
    """From which language into which, by what."""

    source: LanguageCode
    languages: tuple[LanguageCode, ...] = Field(min_length=1)
    backends: tuple[BackendConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> "TranslateConfig":
        distinct(self.languages)
        if self.source in self.languages:
            raise ValueError(f"languages other than the source, {self.source}")
        for backend in self.backends:
            if backend.columns and self.source not in backend.columns:
                raise ValueError(f"a column of the source, {self.source}, under 'columns'")
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


class Found(NamedTuple):
    """A translation with its measurements; None where a person wrote it, or nobody measured."""

    text: str
    translator: str
    unknown: int | None = None
    lost: int | None = None


class Backend(Protocol):
    """Translates a batch from one language into another; None where it has nothing."""

    def translate(self, source: str, target: str, texts: Sequence[str]) -> list[Found | None]:
        """One result a text, in order."""
        ...


class MemoryBackend:
    """Looks texts up."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def translate(self, source: str, target: str, texts: Sequence[str]) -> list[Found | None]:
        """Stored translations."""
        units = [self._memory.find(source, target, text) for text in texts]
        return [Found(u.text, u.translator, u.unknown) if u else None for u in units]


class ApertiumBackend:
    """Runs the engine."""

    def translate(self, source: str, target: str, texts: Sequence[str]) -> list[Found | None]:
        """New translations."""
        engine = Apertium(source, target)
        done = engine.translate(texts)
        return [Found(t.text, engine.name, t.unknown, t.lost) for t in done]


def translate_all(config: TranslateConfig, target: str, texts: Sequence[str],
                  backends: Sequence[Backend]) -> list[Found | None]:  # fmt: skip
    """Each text's translation from the first backend that has one (a blank one is none)."""
    found: list[Found | None] = [None] * len(texts)
    for backend in backends:
        missing = [i for i, item in enumerate(found) if item is None]
        if not missing:
            break
        answers = backend.translate(config.source, target, [texts[i] for i in missing])
        for i, answer in zip(missing, answers, strict=True):
            if answer is not None and not is_blank(text := normalise(answer.text)):
                found[i] = answer._replace(text=text)
    return found


def signals_of(source: str, found: Found) -> list[dict[str, Any]]:
    """Unknown-word share, length ratio and lost placeholders; null means not measurable here."""
    words = max(1, len(found.text.split()))
    return [
        {"name": "unknown_word_share",
         "value": None if found.unknown is None else found.unknown / words},
        {"name": "length_ratio", "value": len(found.text) / max(1, len(source))},
        {"name": "lost_placeholders", "value": None if found.lost is None else float(found.lost)},
    ]  # fmt: skip


Builder = Callable[[Row, str, Found], Row]
"""(source row, target language, translation) -> translated row."""


class Translated(NamedTuple):
    """New rows, what could not be translated, and facts for the manifest."""

    rows: list[Row]
    drops: list[dict[str, str]]
    notes: dict[str, Any]


def _translated(rows: Sequence[Row], config: TranslateConfig, room: Room, build: Builder,
                unit: str) -> Translated:  # fmt: skip
    """Translate rows of the source language, but for those that are there in the target.

    `unit` is the column that a row shares with its translations.
    """
    memories = [_memory(entry) for entry in config.backends]
    backends: list[Backend] = [ApertiumBackend() if memory is None else MemoryBackend(memory)
                               for memory in memories]  # fmt: skip
    given = [row for row in rows if row["language"] == config.source]
    there = {(row[unit], row["language"]) for row in rows}
    done = Translated([], [item for m in memories if m for item in m.drops], {})
    translators: dict[str, dict[str, int]] = {}
    for target in room.progress.track(config.languages, "languages", len(config.languages)):
        sources = [row for row in given if (row[unit], target) not in there]
        found = translate_all(config, target, [row["text"] for row in sources], backends)
        for row, item in zip(sources, found, strict=True):
            if item is None:
                done.drops.append(_untranslated(row, target))
            else:
                done.rows.append(build(row, target, item))
        names = Counter(item.translator if item else "none" for item in found)
        translators[target] = dict(sorted(names.items()))
    done.notes["translators"] = translators
    done.notes["memories"] = {
        Path(str(entry.file)).name: _facts(m)
        for entry, m in zip(config.backends, memories, strict=True) if m
    }  # fmt: skip
    return done


def _memory(entry: BackendConfig) -> Memory | None:
    if entry.file is None:
        return None
    return load_memory(Path(entry.file), entry.translator, entry.columns or None)


def _facts(memory: Memory) -> dict[str, Any]:
    facts = {"read": memory.read, "units": len(memory), "dropped": len(memory.drops)}
    return facts | ({"skipped_tags": dict(memory.skipped)} if memory.skipped else {})


def _untranslated(row: Row, target: str) -> dict[str, str]:
    reason = f"no backend had a translation into {target}"
    return drop(row, f"{row['prompt_id']}>{target}", "no_translation", reason)


def _prompt(row: Row, target: str, found: Found) -> Row:
    name = f"{row['family_id']}:{target}"
    return row | {"prompt_id": name, "translation_of": row["prompt_id"]} | _shared(
        row, target, found)  # fmt: skip


def _explanation(row: Row, target: str, found: Found) -> Row:
    name = f"{row['prompt_id']}:{row['language']}"
    return row | {"translation_of": name} | _shared(row, target, found)


def _shared(row: Row, target: str, found: Found) -> Row:
    return {"language": target, "text": found.text, "translator": found.translator,
            "signals": signals_of(row["text"], found)}  # fmt: skip


def run_prompts(inputs: Inputs, config: TranslateConfig, runtime: Runtime, room: Room
                ) -> StepResult:  # fmt: skip
    """All given prompts, and the translations of those in the source language.

    `read` counts given rows, wanted translations and unusable rows of memories.
    """
    rows = inputs["prompts"].rows
    done = _translated(rows.to_dicts(), config, room, _prompt, "family_id")
    return _result(rows, Prompt, done, config)


def run_explanations(inputs: Inputs, config: TranslateConfig, runtime: Runtime, room: Room
                     ) -> StepResult:  # fmt: skip
    """All given explanations, and the translations of those in the source language."""
    rows = inputs["explanations"].rows
    done = _translated(rows.to_dicts(), config, room, _explanation, "prompt_id")
    return _result(rows, Explanation, done, config)


def _result(rows: pl.DataFrame, schema: SchemaType, done: Translated,
            config: TranslateConfig) -> StepResult:  # fmt: skip
    licences = tuple(f"memory {Path(str(entry.file)).name}: {entry.licence}"
                     for entry in config.backends if entry.licence)  # fmt: skip
    read = rows.height + len(done.rows) + len(done.drops)
    return StepResult(pl.concat([rows, frame(schema, done.rows)]), drops_frame(done.drops),
                      licences=licences, notes=done.notes, read=read)  # fmt: skip


PROMPTS = Step(
    name="generation.translate",
    version="2",
    summary="translating prompts",
    config=TranslateConfig,
    inputs={"prompts": Prompt},
    output=Prompt,
    run=run_prompts,
)
EXPLANATIONS = Step(
    name="generation.translate_explanations",
    version="2",
    summary="translating explanations",
    config=TranslateConfig,
    inputs={"explanations": Explanation},
    output=Explanation,
    run=run_explanations,
)

"""Steps that translate prompts and explanations: translation memory first, then an engine."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl
from pydantic import Field

from whyguard.core.refs import DataFile
from whyguard.core.schemas import Explanation, Prompt
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.curation.normalise import normalise
from whyguard.generation.apertium import Apertium
from whyguard.generation.memory import Memory, load_memory


class BackendConfig(StepConfig):
    """One source of translations; earlier ones are asked first."""

    kind: Literal["memory", "apertium"]
    file: DataFile | None = None
    """memory: .jsonl, .csv, .tsv or .tmx."""
    columns: dict[str, str] = {}
    """memory from csv/tsv: language code -> column."""
    translator: str = "human (translation memory)"
    """memory: recorded for units that do not name their own."""


class TranslateConfig(StepConfig):
    """From which language into which, by what."""

    source: str
    languages: tuple[str, ...] = Field(min_length=1)
    backends: tuple[BackendConfig, ...] = Field(min_length=1)


class Found(NamedTuple):
    """A translation with its measurements."""

    text: str
    translator: str
    unknown: int | None
    lost: int


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
        return [Found(u.text, u.translator, u.unknown, 0) if u else None for u in units]


class ApertiumBackend:
    """Runs the engine."""

    def translate(self, source: str, target: str, texts: Sequence[str]) -> list[Found | None]:
        """New translations."""
        engine = Apertium(source, target)
        done = engine.translate(texts)
        return [Found(t.text, engine.name, t.unknown, t.lost) if t.text else None for t in done]


def open_backends(config: TranslateConfig) -> list[Backend]:
    """The backends of a config, in order."""
    backends: list[Backend] = []
    for entry in config.backends:
        if entry.kind == "apertium":
            backends.append(ApertiumBackend())
        else:
            memory = load_memory(Path(entry.file or ""), entry.translator, entry.columns or None)
            backends.append(MemoryBackend(memory))
    return backends


def translate_all(config: TranslateConfig, target: str, texts: Sequence[str],
                  backends: Sequence[Backend]) -> list[Found | None]:  # fmt: skip
    """Each text's translation from the first backend that has one."""
    found: list[Found | None] = [None] * len(texts)
    for backend in backends:
        missing = [i for i, item in enumerate(found) if item is None]
        if not missing:
            break
        answers = backend.translate(config.source, target, [texts[i] for i in missing])
        for i, answer in zip(missing, answers, strict=True):
            found[i] = answer
    return found


def signals_of(source: str, found: Found) -> list[dict[str, Any]]:
    """Unknown-word share, length ratio and lost placeholders; null means not measurable here."""
    words = max(1, len(found.text.split()))
    unknown = None if found.unknown is None else found.unknown / words
    return [
        {"name": "unknown_word_share", "value": unknown},
        {"name": "length_ratio", "value": len(found.text) / max(1, len(source))},
        {"name": "lost_placeholders", "value": float(found.lost)},
    ]


Builder = Callable[[Row, str, str, Found], Row]


def _translated(rows: pl.DataFrame, config: TranslateConfig, room: Room, build: Builder
                ) -> tuple[list[Row], list[dict[str, str]], dict[str, Any]]:  # fmt: skip
    sources = rows.filter(pl.col("language") == config.source).to_dicts()
    texts = [row["text"] for row in sources]
    backends = open_backends(config)
    made: list[Row] = []
    drops: list[dict[str, str]] = []
    notes: dict[str, Any] = {}
    for target in room.progress.track(config.languages, "languages", len(config.languages)):
        found = translate_all(config, target, texts, backends)
        notes[target] = dict(Counter(item.translator if item else "none" for item in found))
        for row, item in zip(sources, found, strict=True):
            if item is None:
                reason = f"no backend had a translation into {target}"
                name = f"{row['prompt_id']}>{target}"
                drops.append(drop(row, name, "no_translation", reason))
            else:
                text = normalise(item.text)
                made.append(build(row, target, text, item))
    return made, drops, notes


def _prompt(row: Row, target: str, text: str, found: Found) -> Row:
    signals = signals_of(row["text"], found)
    return row | {"prompt_id": f"{row['family_id']}:{target}", "language": target, "text": text,
                  "translation_of": row["prompt_id"], "translator": found.translator,
                  "signals": signals}  # fmt: skip


def _explanation(row: Row, target: str, text: str, found: Found) -> Row:
    signals = signals_of(row["text"], found)
    return row | {"language": target, "text": text, "signals": signals,
                  "translation_of": f"{row['prompt_id']}:{row['language']}",
                  "translator": found.translator}  # fmt: skip


def run_prompts(inputs: Inputs, config: TranslateConfig, runtime: Runtime, room: Room
                ) -> StepResult:  # fmt: skip
    """All given prompts, and the translations of those in the source language."""
    rows = inputs["prompts"].rows
    made, drops, notes = _translated(rows, config, room, _prompt)
    read = rows.height + len(made) + len(drops)
    return StepResult(pl.concat([rows, frame(Prompt, made)]), drops_frame(drops), notes=notes,
                      read=read)  # fmt: skip


def run_explanations(inputs: Inputs, config: TranslateConfig, runtime: Runtime, room: Room
                     ) -> StepResult:  # fmt: skip
    """All given explanations, and the translations of those in the source language."""
    rows = inputs["explanations"].rows
    made, drops, notes = _translated(rows, config, room, _explanation)
    read = rows.height + len(made) + len(drops)
    return StepResult(pl.concat([rows, frame(Explanation, made)]), drops_frame(drops),
                      notes=notes, read=read)  # fmt: skip


TRANSLATE = Step(
    name="generation.translate",
    version="1",
    summary="translating prompts",
    config=TranslateConfig,
    inputs={"prompts": Prompt},
    output=Prompt,
    run=run_prompts,
)
TRANSLATE_EXPLANATIONS = Step(
    name="generation.translate_explanations",
    version="1",
    summary="translating explanations",
    config=TranslateConfig,
    inputs={"explanations": Explanation},
    output=Explanation,
    run=run_explanations,
)

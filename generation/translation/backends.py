"""Sources of translations behind one protocol: config, what they give back, and opening them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field, model_validator

from whyguard.core.artefact import ModelUse
from whyguard.core.languages import LanguageCode
from whyguard.core.refs import DataFile, ModelRef
from whyguard.core.steps import Room, StepConfig
from whyguard.generation.models import Precision
from whyguard.generation.packs.spans import Span
from whyguard.generation.teachers.base import TeacherConfig, TeacherRuntime, distinct
from whyguard.generation.translation.memory import Memory, load_memory

Kind = Literal["memory", "apertium", "seq2seq", "llm"]
Family = Literal["nllb", "m2m", "madlad", "opus"]

_FIELDS: dict[str, tuple[str, ...]] = {
    "memory": ("file", "columns", "translator", "licence"),
    "apertium": ("pivot", "languages", "max_chars"),
    "seq2seq": ("pivot", "languages", "max_chars", "model", "family", "tags", "beams",
                "max_new_tokens", "precision"),
    "llm": ("pivot", "languages", "max_chars", "teacher"),
}  # fmt: skip
"""Fields that belong to a kind; any other is an error there."""
_NEEDED = {"memory": ("file",), "seq2seq": ("model", "family"), "llm": ("teacher",)}
MAX_CHARS = {"seq2seq": 250, "llm": 2000}
"""Characters of a piece, where the config does not say: seq2seq models are trained on sentences,
and leave sentences out of longer texts."""


class BackendConfig(StepConfig):
    """One source of translations; earlier ones are asked first."""

    kind: Kind
    file: DataFile | None = None
    """memory: .tmx, .jsonl, .csv, .tsv or .parquet."""
    columns: dict[LanguageCode, str] = Field(default={})
    """memory from a wide table: language code -> column."""
    translator: str = Field(default="human (translation memory)", min_length=1)
    """memory: recorded for units that do not name their own."""
    licence: str | None = Field(default=None, min_length=1)
    """memory: recorded in the manifest."""
    languages: tuple[LanguageCode, ...] = ()
    """Engines: only these target languages; empty: all."""
    pivot: LanguageCode | None = None
    """Engines: translate into this language first, and from there, with the same engine."""
    max_chars: int | None = Field(default=None, ge=20)
    """Engines: longer lines are cut where sentences end; None: `MAX_CHARS` (apertium: never)."""
    model: ModelRef | None = None
    """seq2seq: a model with safetensors."""
    family: Family | None = None
    """seq2seq: how the model is told languages (generation/data/seq2seq.yaml)."""
    tags: dict[LanguageCode, str] = Field(default={})
    """seq2seq: the model's own tags, where they are not the family's."""
    beams: int = Field(default=1, ge=1)
    """seq2seq: 1 is greedy."""
    max_new_tokens: int = Field(default=256, ge=1)
    """seq2seq: a longer translation of a piece counts as none."""
    precision: Precision = Precision.FP32
    """seq2seq: number format of the weights."""
    teacher: TeacherConfig | None = None
    """llm: the model that is asked."""

    @model_validator(mode="after")
    def _fields_of_the_kind(self) -> "BackendConfig":
        for name, info in type(self).model_fields.items():
            mine = name == "kind" or name in _FIELDS[self.kind]
            if not mine and getattr(self, name) != info.default:
                kinds = [kind for kind, names in _FIELDS.items() if name in names]
                raise ValueError(f"'{name}' for a backend of kind {' or '.join(kinds)}, and for "
                                 "no other")  # fmt: skip
            if name in _NEEDED.get(self.kind, ()) and getattr(self, name) is None:
                raise ValueError(f"'{name}' for a backend of kind {self.kind}")
        return self

    @model_validator(mode="after")
    def _teacher_fits(self) -> "BackendConfig":
        distinct(self.languages)
        if self.teacher is None:
            return self
        if not self.teacher.asks_a_model:
            raise ValueError(f"a teacher that is a model, not of kind {self.teacher.kind}")
        if self.teacher.samples > 1:
            raise ValueError("one sample of each translation")
        return self

    @property
    def piece_chars(self) -> int | None:
        """Characters of a piece at most; None: texts go whole."""
        return self.max_chars or MAX_CHARS.get(self.kind)

    def serves(self, target: str) -> bool:
        """Whether the entry may be asked for translations into `target`."""
        return not self.languages or target in self.languages


class Guide(NamedTuple):
    """What is known beforehand of one text's translation."""

    spans: tuple[Span, ...] = ()
    """Pieces with a given form: masked for the engine, and written after it."""
    terms: tuple[tuple[str, str], ...] = ()
    """(word of the text, its translation) for engines that read a glossary."""
    left: tuple[str, ...] = ()
    """Why foreign names and the like were left as they stand, a line each (`packs.culture`)."""


NO_GUIDE = Guide()


class Found(NamedTuple):
    """A translation with its measurements; None where a person wrote it, or nobody measured."""

    text: str
    translator: str
    unknown: int | None = None
    lost: int | None = None
    edits: tuple[str, ...] = ()
    """What was changed besides the language, such as `name: John -> Xuan`."""


class Backend(Protocol):
    """Translates a batch from one language into another; None where it has nothing."""

    label: str
    """How notes name it."""
    reasons: Counter[str]
    """Why texts were not translated, and how many; a memory gives no reasons."""
    uses: tuple[ModelUse, ...]
    """Models behind it."""

    def translate(self, source: str, target: str, texts: Sequence[str],
                  guides: Sequence[Guide] | None = None) -> list[Found | None]:  # fmt: skip
        """One result a text, in order; `guides` holds one a text."""
        ...


class MemoryBackend:
    """Looks texts up as they stand; what people wrote is never edited."""

    def __init__(self, memory: Memory, name: str = "", licence: str | None = None) -> None:
        self.memory, self.name, self.licence = memory, name, licence
        self.label = f"memory {name}".strip()
        self.reasons: Counter[str] = Counter()
        self.uses: tuple[ModelUse, ...] = ()

    def translate(self, source: str, target: str, texts: Sequence[str],
                  guides: Sequence[Guide] | None = None) -> list[Found | None]:  # fmt: skip
        """Stored translations."""
        units = [self.memory.find(source, target, text) for text in texts]
        return [Found(u.text, u.translator, u.unknown) if u else None for u in units]

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        memory = self.memory
        facts = {"read": memory.read, "units": len(memory), "dropped": len(memory.drops)}
        return facts | ({"skipped_tags": dict(memory.skipped)} if memory.skipped else {})


def open_backends(entries: Sequence[BackendConfig], room: Room, runtime: TeacherRuntime
                  ) -> list[Backend]:  # fmt: skip
    """The backends of a config, in order; no model is loaded and no server asked yet.

    Raises:
        ConfigError, DataError, MissingFileError, OfflineError: a file or a model cannot be used.
    """
    return [_open(entry, room, runtime) for entry in entries]


def _open(entry: BackendConfig, room: Room, runtime: TeacherRuntime) -> Backend:
    if entry.kind == "memory":
        path = Path(str(entry.file))
        memory = load_memory(path, entry.translator, entry.columns or None)
        return MemoryBackend(memory, path.name, entry.licence)
    from whyguard.generation.translation.chain import EngineBackend

    if entry.kind == "apertium":
        from whyguard.generation.translation.apertium import ApertiumEngine

        return EngineBackend(ApertiumEngine(), entry)
    if entry.kind == "seq2seq":
        from whyguard.generation.translation.seq2seq import Seq2SeqEngine

        return EngineBackend(Seq2SeqEngine(entry, room, runtime), entry)
    from whyguard.generation.translation.llm import LlmEngine

    return EngineBackend(LlmEngine(entry, room, runtime), entry)

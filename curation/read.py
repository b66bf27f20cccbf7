"""Step `curation.read`: source files -> prompts, every row kept or dropped with a reason."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from whyguard.core.errors import ConfigError, DataError, UnknownLanguageError, fail
from whyguard.core.languages import ENGLISH, known_languages
from whyguard.core.nearest import suggest
from whyguard.core.refs import DataFile
from whyguard.core.schemas import LANGUAGE_PATTERN, Prompt
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import drops_frame, frame
from whyguard.core.values import CATEGORY_CODES, Label, LabelSense, Split
from whyguard.curation.presets import PRESETS, Preset
from whyguard.curation.readers import read_raw
from whyguard.curation.records import (
    Columns,
    Reading,
    Record,
    Records,
    convert_file,
    convert_generic,
    scalar,
)

_ONLY_A_PRESET_KNOWS = {
    "licence": "the licence of the file",
    "label_sense": "request or content: what the labels speak of",
}


class Use(StrEnum):
    """What a source's rows are for."""

    TRAINING = "training"
    """A row whose label the source leaves open is dropped."""
    EVALUATION = "evaluation"
    """The published rule holds: what is not flagged is unharmful. Rows are of split test, and
    curation.split leaves their groups there."""


class Source(BaseModel):
    """One file to read. A preset fills in what it knows; everything else is said here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    """First part of ids. Files of one name share families: give parallel files the same."""
    file: DataFile
    preset: str | None = None
    columns: Columns = Columns()
    language: str = ENGLISH
    """Language of every row, in files without a language column."""
    label: Label | None = None
    """Label of every row, in files without a label column."""
    labels: dict[str, Label] = {}
    """Raw label value -> harmful | unharmful; empty: those two words themselves."""
    categories: dict[str, tuple[str, ...]] = {}
    """Raw category value -> S codes; empty: the codes themselves."""
    licence: str = Field(min_length=1)
    label_sense: LabelSense
    """Whether labels speak of requests or of content."""
    use: Use = Use.TRAINING

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        name = values.get("preset")
        if name is None:
            return _generic_defaults(dict(values))
        if name not in PRESETS:
            raise ValueError(f"a known preset: {suggest(str(name), PRESETS)}")
        return _preset_defaults(dict(values), PRESETS[name])

    @field_validator("language")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        # A well-formed unknown code may be declared; ReadConfig looks at that.
        if not re.match(LANGUAGE_PATTERN, value):
            _check_known(value)
        return value

    @field_validator("labels", "categories", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        return {scalar(k): v for k, v in value.items()} if isinstance(value, Mapping) else value

    @field_validator("categories", mode="before")
    @classmethod
    def _code_tuples(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: (v,) if isinstance(v, str) else v for k, v in value.items()}

    @field_validator("categories")
    @classmethod
    def _known_codes(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for code in (code for codes in value.values() for code in codes):
            if code not in CATEGORY_CODES:
                raise ValueError(f"codes S1..S14, not '{code}'")
        return value


class ReadConfig(StepConfig):
    """Which files to read, and in which languages rows may be."""

    sources: tuple[Source, ...] = Field(min_length=1)
    languages: tuple[str, ...] = ()
    """Accepted language codes; empty: every language the toolkit knows by name."""

    @model_validator(mode="after")
    def _known_languages(self) -> "ReadConfig":
        for source in self.sources:
            if source.columns.language is not None:
                continue
            if not self.languages:
                _check_known(source.language, f" for source '{source.name}'")
            elif source.language not in self.languages:
                raise ValueError(f"a language of 'languages:' for source '{source.name}', "
                                 f"not '{source.language}'")  # fmt: skip
        return self


def _check_known(code: str, whose: str = "") -> None:
    try:
        known_languages().get(code)
    except UnknownLanguageError as error:
        hint = str(error).rpartition("to do:")[2].strip()
        raise ValueError(f"a known language code{whose}, not '{code}': {hint} "
                         "and under 'languages:' of this step") from error  # fmt: skip


def _generic_defaults(values: dict[str, Any]) -> dict[str, Any]:
    columns = dict(values.get("columns") or {})
    if values.get("label") is None:
        if columns.get("label") is None:
            columns["label"] = "label"
    elif columns.get("label") is not None or values.get("labels"):
        raise ValueError("either a constant 'label' or a label column with 'labels', not both")
    for name, what in _ONLY_A_PRESET_KNOWS.items():
        if values.get(name) is None:
            raise ValueError(f"'{name}' ({what}), since only a preset knows it by itself")
    return values | {"columns": columns}


def _preset_defaults(values: dict[str, Any], preset: Preset) -> dict[str, Any]:
    for name in ("label", "labels", "categories"):
        if values.get(name):
            raise ValueError(f"no '{name}' beside preset '{preset.name}', which knows them")
    known = preset.columns.model_dump()
    given = dict(values.get("columns") or {})
    for name, column in given.items():
        if column is not None and name != "id" and known.get(name, "") is None:
            raise ValueError(f"no 'columns: {name}' beside preset '{preset.name}', "
                             "which has no use for it")  # fmt: skip
    columns = known | given
    defaults = {
        "name": preset.name,
        "licence": preset.licence,
        "label_sense": preset.label_sense,
        "language": preset.column_languages.get(str(columns["text"]), ENGLISH),
        **({"file": preset.file} if preset.file else {}),
    }
    return defaults | values | {"columns": columns}


def run_read(inputs: Inputs, config: ReadConfig, runtime: Runtime, room: Room) -> StepResult:
    """Read every source, in order.

    The notes hold a table {source: {rows, read, kept, dropped: {rule: n}, ids}}: `rows` are rows
    of the file, `read` prompts (the starter pack has four a row), and read = kept + dropped.

    Raises:
        MissingFileError: a file is not there.
        DataError: a file is a bad file, or nothing is left.
        ConfigError: two sources give the same prompt id, or share a name but not the kind of ids.
    """
    rows: list[dict[str, Any]] = []
    drops: list[dict[str, str]] = []
    table: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for source in room.progress.track(config.sources, "files", len(config.sources)):
        file_rows, records = _read_source(source, config.languages)
        _check_origin(source, origins.setdefault(source.name, records.ids), records.ids)
        prompts = [_prompt(source, record) for record in records.rows]
        title = _title(source, config.sources)
        table[title] = _facts(file_rows, records)
        room.progress.say(_balance(title, table[title]))
        rows.extend(prompts)
        drops.extend(records.drops)
    _check_ids(row["prompt_id"] for row in rows)
    if not rows:
        fail(DataError, where="curation.read", expected="at least one row that can be used",
             found=f"none: {dict(Counter(item['rule'] for item in drops))}",
             do="see the reasons, and the sources' 'use:' and 'labels:'")  # fmt: skip
    return StepResult(
        rows=frame(Prompt, rows),
        drops=drops_frame(drops),
        licences=tuple(f"{source.name}: {source.licence}" for source in config.sources),
        notes={"sources": table},
        read=len(rows) + len(drops),
    )


def _read_source(source: Source, languages: Sequence[str]) -> tuple[int, Records]:
    preset = PRESETS[source.preset] if source.preset else None
    required = (*source.columns.named(), *(preset.required if preset else ()))
    raw = read_raw(Path(source.file), required)
    reading = _reading(source, preset, languages)
    convert = preset.convert if preset else convert_generic
    records = convert_file(raw, reading, convert, source.name)
    if preset and preset.regroup:
        records = records._replace(rows=preset.regroup(records.rows))
    return raw.read, records


def _reading(source: Source, preset: Preset | None, languages: Sequence[str]) -> Reading:
    constant = preset.label if preset else source.label
    labels = preset.labels if preset else {k: v.value for k, v in source.labels.items()}
    return Reading(
        columns=source.columns,
        language=source.language,
        label=str(constant) if constant else None,
        labels=labels or None,
        categories=source.categories or None,
        any_flag=source.use is Use.EVALUATION,
        languages=frozenset(languages),
    )


def _prompt(source: Source, record: Record) -> dict[str, Any]:
    original = record.translation_of
    return {
        "prompt_id": f"{source.name}:{record.id}:{record.language}",
        "family_id": f"{source.name}:{record.family}",
        "group_id": f"{source.name}:{record.group}",
        "source": source.name,
        "source_row": record.id,
        "licence": source.licence,
        "language": record.language,
        "text": record.text,
        "label": record.label,
        "label_sense": source.label_sense.value,
        "categories": list(record.categories),
        "split": Split.TEST.value if source.use is Use.EVALUATION else None,
        "translation_of": f"{source.name}:{original[0]}:{original[1]}" if original else None,
        "translator": record.translator,
        "edits": [],
        "signals": [],
    }


def _facts(file_rows: int, records: Records) -> dict[str, Any]:
    rules = Counter(item["rule"] for item in records.drops)
    return {
        "rows": file_rows,
        "read": records.read,
        "kept": len(records.rows),
        "dropped": dict(sorted(rules.items())),
        "ids": records.ids,
    }


def _balance(title: str, facts: Mapping[str, Any]) -> str:
    """One line a file: read = kept + dropped, by reason."""
    rules = ", ".join(f"{rule} {n}" for rule, n in facts["dropped"].items())
    dropped = sum(facts["dropped"].values())
    line = f"  {title}: read {facts['read']} = kept {facts['kept']} + dropped {dropped}"
    return f"{line} ({rules})" if rules else line


def _title(source: Source, sources: Sequence[Source]) -> str:
    same = [other for other in sources if other.name == source.name]
    if len(same) == 1:
        return source.name
    return f"{source.name} ({Path(source.file).name}, {source.columns.text})"


def _check_origin(source: Source, first: str, own: str) -> None:
    """Rows of one name are paired by id, which row numbers and an id column cannot be."""
    if first.startswith("column") != own.startswith("column"):
        fail(ConfigError, where=f"curation.read: sources named '{source.name}'",
             expected="ids of one kind, since they pair the rows of parallel files",
             found=f"{first}, and in {Path(source.file).name} {own}",
             do="name an id column under 'columns: id:' for each, or give each source a name of "
             "its own")  # fmt: skip


def _check_ids(ids: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        fail(ConfigError, where="curation.read: sources",
             expected="prompt ids (SOURCE:ROW:LANGUAGE) that are met once",
             found=f"{len(repeated)} that repeat, first '{repeated[0]}'",
             do="give each source a name of its own; only parallel files in different languages "
             "share one")  # fmt: skip


READ = Step(
    name="curation.read",
    version="2",
    summary="reading sources",
    config=ReadConfig,
    inputs={},
    output=Prompt,
    run=run_read,
    light=always,
)

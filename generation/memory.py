"""Translation memory: human or stored translations from jsonl, csv/tsv (wide or long) and TMX."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from defusedxml.ElementTree import ParseError, parse

from whyguard.core.errors import DataError, fail
from whyguard.core.languages import known_languages
from whyguard.core.nearest import suggest
from whyguard.curation.normalise import normalise


class Unit(NamedTuple):
    """One stored translation; `unknown` counts words the engine did not know (None: human)."""

    text: str
    translator: str
    unknown: int | None


class Memory:
    """Looks translations up by language pair and normalised source text."""

    def __init__(self) -> None:
        self._units: dict[tuple[str, str, str], Unit] = {}

    def __len__(self) -> int:
        return len(self._units)

    def add(self, source: str, target: str, text: str, unit: Unit) -> None:
        """Store a unit; the first one given for a text stays."""
        self._units.setdefault((source, target, _key(text)), unit)

    def find(self, source: str, target: str, text: str) -> Unit | None:
        """The stored translation of `text`, or None."""
        return self._units.get((source, target, _key(text)))


def load_memory(path: Path, translator: str, columns: Mapping[str, str] | None) -> Memory:
    """Read a memory file.

    Args:
        path: .jsonl (the package's own form), .csv/.tsv or .tmx.
        translator: recorded for units that do not name their own.
        columns: for csv/tsv: language code -> column; every pair of these languages is stored.

    Raises:
        DataError: the file is empty, malformed, or lacks a column.
    """
    memory = Memory()
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        _read_jsonl(path, translator, memory)
    elif suffix in (".csv", ".tsv"):
        _read_wide(path, translator, columns or {}, memory)
    elif suffix == ".tmx":
        _read_tmx(path, translator, memory)
    else:
        fail(DataError, where=str(path), expected="a memory: .jsonl, .csv, .tsv or .tmx",
             found=f"'{suffix}'", do="convert it, or rename the file")  # fmt: skip
    if not len(memory):
        fail(DataError, where=str(path), expected="at least one translation", found="none",
             do="check the file and its languages")  # fmt: skip
    return memory


def _key(text: str) -> str:
    return normalise(text).casefold()


def _read_jsonl(path: Path, translator: str, memory: Memory) -> None:
    wanted = ("source_language", "language", "source", "text")
    for number, line in _lines(path):
        try:
            entry = json.loads(line)
            source, target, text, translation = (str(entry[key]) for key in wanted)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            fail(DataError, where=f"{path}:{number}", expected="JSON with " + ", ".join(wanted),
                 found=f"{type(error).__name__}: {error}", do="repair or remove this line")  # fmt: skip
        unit = Unit(translation, entry.get("translator") or translator, entry.get("unknown_words"))
        memory.add(source, target, text, unit)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        fail(DataError, where=str(path), expected="UTF-8", found=f"{error.reason} at byte "
             f"{error.start}", do="convert the file to UTF-8")  # fmt: skip
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _read_wide(path: Path, translator: str, columns: Mapping[str, str], memory: Memory) -> None:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter=delimiter)
        try:
            names = list(reader.fieldnames or ())
            rows = list(reader)
        except UnicodeDecodeError as error:
            fail(DataError, where=str(path), expected="UTF-8", found=str(error.reason),
                 do="convert the file to UTF-8")  # fmt: skip
    if len(columns) < 2:
        fail(DataError, where=str(path), expected="at least two columns mapped to languages",
             found=f"{dict(columns)}", do=f"map them under 'columns'; the file has {names}")  # fmt: skip
    for column in columns.values():
        if column not in names:
            fail(DataError, where=str(path), expected=f"column '{column}'", found=f"{names}",
                 do=suggest(column, names))  # fmt: skip
    for row in rows:
        _add_pairs({c: row.get(name) or "" for c, name in columns.items()}, translator, memory)


def _add_pairs(texts: Mapping[str, str], translator: str, memory: Memory) -> None:
    for source, text in texts.items():
        for target, translation in texts.items():
            if source != target and text.strip() and translation.strip():
                memory.add(source, target, text, Unit(normalise(translation), translator, None))


def _read_tmx(path: Path, translator: str, memory: Memory) -> None:
    codes = {known_languages().get(code).bcp47: code for code in known_languages().codes}
    try:
        root = parse(path).getroot()
    except ParseError as error:
        fail(DataError, where=str(path), expected="TMX (XML)", found=str(error),
             do="repair the file at that place")  # fmt: skip
    for unit in root.iter("tu"):
        texts = {}
        for variant in unit.iter("tuv"):
            tag = variant.get("{http://www.w3.org/XML/1998/namespace}lang") or variant.get("lang")
            code = _tmx_language(tag or "", codes, path)
            segment = variant.find("seg")
            texts[code] = "" if segment is None else "".join(segment.itertext())
        _add_pairs(texts, translator, memory)


def _tmx_language(tag: str, codes: Mapping[str, str], path: Path) -> str:
    if tag in codes.values():
        return tag
    short = tag.split("-")[0].lower()
    if short not in codes:
        fail(DataError, where=f"{path}: tuv xml:lang", expected="a known language tag",
             found=f"'{tag}'", do=suggest(short, codes))  # fmt: skip
    return codes[short]

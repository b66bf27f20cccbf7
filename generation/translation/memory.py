"""Translation memory: human or stored translations from jsonl, csv, tsv, parquet (wide or long)
and TMX."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse

from whyguard.core.errors import DataError, MissingFileError, fail
from whyguard.core.languages import known_languages
from whyguard.core.nearest import suggest
from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.curation.normalise import fold, is_blank, normalise
from whyguard.curation.readers import read_raw
from whyguard.curation.rejects import (
    RawRow,
    Reject,
    RowError,
    drop_of,
    encodable,
    refuse_bad_file,
    rejected,
    shown,
)

_LONG = ("source_language", "language", "source", "text")
_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})
"""Elements of a TMX segment that hold formatting codes of some editor, not text."""
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class Unit(NamedTuple):
    """One stored translation; `unknown` counts words the engine did not know (None: human)."""

    text: str
    translator: str
    unknown: int | None


class Memory:
    """Looks translations up by language pair and source text (see `curation.normalise.fold`)."""

    def __init__(self, read: int = 0, drops: list[dict[str, str]] | None = None) -> None:
        self.read = read
        """Rows of the file, bad ones too."""
        self.drops = drops or []
        """Rows that could not be used, each with its rule."""
        self.skipped: Counter[str] = Counter()
        """TMX: tags of languages that the toolkit does not know, with their variants."""
        self._units: dict[tuple[str, str, str], Unit] = {}

    def __len__(self) -> int:
        return len(self._units)

    def add(self, source: str, target: str, text: str, unit: Unit) -> None:
        """Store a unit; the first one given for a text stays."""
        self._units.setdefault((source, target, fold(text)), unit)

    def find(self, source: str, target: str, text: str) -> Unit | None:
        """The stored translation of `text`, or None."""
        return self._units.get((source, target, fold(text)))


def load_memory(path: Path, translator: str, columns: Mapping[str, str] | None = None) -> Memory:
    """Read a memory file.

    Args:
        path: .tmx, or a table that `read_raw` knows (.jsonl, .csv, .tsv, .parquet ...).
        translator: recorded for units that do not name their own.
        columns: of a wide table: language code -> column; every pair of these languages is
            stored. Without it a table is long: source_language, language, source and text,
            optionally translator and unknown_words.

    Raises:
        MissingFileError: there is no such file.
        DataError: the file is empty, malformed, lacks a column, or most of its rows are bad.
    """
    if path.suffix.lower() == ".tmx":
        memory = _read_tmx(path, translator)
    elif columns:
        memory = _read_wide(path, translator, columns)
    else:
        memory = _read_long(path, translator)
    if not len(memory):
        fail(DataError, where=str(path), expected="at least one translation", found="none",
             do="check the file and its languages")  # fmt: skip
    return memory


def _read_long(path: Path, translator: str) -> Memory:
    raw = read_raw(path, _LONG)
    rejects = list(raw.rejects)
    units: list[tuple[str, str, str, Unit]] = []
    for row in raw.rows:
        try:
            units.append(_long_unit(row, translator))
        except RowError as problem:
            rejects.append(rejected(row, f"line-{row.line}", problem))
    memory = _checked(path, raw.read, rejects)
    for unit in units:
        memory.add(*unit)
    return memory


def _long_unit(row: RawRow, translator: str) -> tuple[str, str, str, Unit]:
    for field in _LONG:
        value = row.values.get(field)
        if not isinstance(value, str) or is_blank(normalise(value)) or encodable(value) != value:
            raise RowError("memory_no_text", field, "a text", shown(value), "fill or remove it")
    source, target, text, translation = (row.values[field] for field in _LONG)
    for field, code in (("source_language", source), ("language", target)):
        if not re.match(LANGUAGE_PATTERN, code):
            raise RowError("memory_language", field, "a code such as ast_Latn", shown(code),
                          suggest(code, known_languages().codes))  # fmt: skip
    unknown = row.values.get("unknown_words")
    named = str(row.values.get("translator") or translator)
    return source, target, text, Unit(normalise(translation), named, _count(unknown))


def _count(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise RowError("memory_unknown_words", "unknown_words", "a number", shown(value),
                      "correct or remove it") from error  # fmt: skip


def _read_wide(path: Path, translator: str, columns: Mapping[str, str]) -> Memory:
    if len(columns) < 2:
        fail(DataError, where=str(path), expected="at least two languages, each with its column",
             found=f"{dict(columns)}", do="map them under 'columns: {CODE: column}'")  # fmt: skip
    raw = read_raw(path, columns.values())
    memory = _checked(path, raw.read, list(raw.rejects))
    for row in raw.rows:
        texts = {code: row.values.get(name) for code, name in columns.items()}
        _add_pairs({c: t for c, t in texts.items() if isinstance(t, str)}, translator, memory)
    return memory


def _checked(path: Path, read: int, rejects: list[Reject]) -> Memory:
    refuse_bad_file(path, read, rejects)
    return Memory(read, [drop_of(reject, path.stem, path) for reject in rejects])


def _add_pairs(texts: Mapping[str, str], translator: str, memory: Memory) -> None:
    plain = {code: normalise(encodable(text)) for code, text in texts.items()}
    filled = {code: text for code, text in plain.items() if not is_blank(text)}
    for source, text in filled.items():
        for target, translation in filled.items():
            if source != target:
                memory.add(source, target, text, Unit(translation, translator, None))


def _read_tmx(path: Path, translator: str) -> Memory:
    units = _tmx_root(path).findall(".//{*}tu")
    memory = Memory(len(units))
    for unit in units:
        texts = {}
        for variant in unit.findall("{*}tuv"):
            tag = variant.get(_XML_LANG) or variant.get("lang") or ""
            segment = variant.find("{*}seg")
            code = _tmx_language(tag)
            if code is None:
                memory.skipped[tag] += 1
                continue
            texts[code] = "" if segment is None else "".join(_segment_text(segment))
        _add_pairs(texts, translator, memory)
    if memory.skipped and not len(memory):
        tag, known = next(iter(memory.skipped)), known_languages()
        names = [known.get(code).bcp47 for code in known.codes]
        fail(DataError, where=f"{path}: tuv xml:lang", expected="the tag of a known language",
             found=shown(tag), do=suggest(tag, names))  # fmt: skip
    return memory


def _tmx_root(path: Path) -> Element:
    if not path.is_file():
        fail(MissingFileError, where=str(path), expected="a TMX file", found="no such file",
             do="check the path")  # fmt: skip
    try:
        root: Element | None = parse(path).getroot()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        kind = "entities, which may expand without end" if isinstance(
            error, DefusedXmlException) else str(error)  # fmt: skip
        fail(DataError, where=str(path), expected="TMX: well-formed XML without entities",
             found=kind, do="repair or export the file again")  # fmt: skip
    if root is None or root.tag.rpartition("}")[2] != "tmx":
        fail(DataError, where=str(path), expected="TMX, whose root element is <tmx>",
             found="another kind of XML", do="export the memory as TMX 1.4")  # fmt: skip
    return root


def _segment_text(element: Element) -> Iterator[str]:
    """Text of a segment without the formatting codes inside it."""
    yield element.text or ""
    for child in element:
        if child.tag.rpartition("}")[2] not in _CODES:
            yield from _segment_text(child)
        yield child.tail or ""


def _tmx_language(tag: str) -> str | None:
    """The code of a BCP 47 or ISO 639-3 tag, if it is known; a script in the tag must be the
    language's."""
    first, *rest = re.split("[-_]", tag.lower())
    scripts = [part for part in rest if len(part) == 4 and part.isalpha()]
    known = known_languages()
    found = [
        code
        for code in known.codes
        if first in (known.get(code).bcp47.lower(), code[:3])
        and (not scripts or code[4:].lower() == scripts[0])
    ]
    return found[0] if len(found) == 1 else None

"""A localisation pack: one folder a language, four YAML files, read and checked."""

import datetime
import functools
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from whyguard.core.errors import DataError, MissingFileError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.generation.packs.files import read_yaml

PACK, WORDING, GLOSSARY, CULTURE = "pack.yaml", "wording.yaml", "glossary.yaml", "culture.yaml"
FILES = (PACK, WORDING, GLOSSARY, CULTURE)
REASON, CATEGORY = "{reason}", "{category}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Code = Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1, strict=True, pattern=r"^\S(.*\S)?$")]
"""One line without blanks at its ends."""


class Review(_Part):
    """Who read it in the language, and when."""

    by: Text
    when: datetime.date


def _no_bare_true(value: object) -> object:
    if value is not False and not isinstance(value, dict | Review):
        raise ValueError("false, or who read it and when: {by: NAME, when: YYYY-MM-DD}")
    return value


Reviewed = Annotated[Review | Literal[False], BeforeValidator(_no_bare_true)]
"""False until a speaker of the language has read it."""


class LangidCodes(_Part):
    """What language-identification models and other tables call the language."""

    ours: Code | None = None
    """Code of `whyguard langid`; None where its classifier does not know the language."""
    lid176: Text | None = None
    """fastText's lid.176."""
    bcp47: Text | None = None
    flores: Text | None = None
    """FLORES-200, NLLB-200."""


class Romanised(_Part):
    """The language in Latin letters."""

    code: Code
    name: Text
    note: str = ""
    common: bool
    """Whether people write it so (chat, social media), not scholars alone."""


class Term(_Part):
    """A word of guards and what it is called in the pack's language."""

    source: Text
    target: Text
    language: Code = ENGLISH
    """Language of `source`."""
    lock: bool = False
    """Whether a translation must hold `target` as given."""
    note: str = ""
    reviewed: bool = False


class Substitution(_Part):
    """A foreign name, place and so on, and local ones that may take its place."""

    kind: Literal["name", "place", "currency", "institution", "help_line"]
    source: Text
    targets: tuple[Text, ...] = Field(min_length=1)
    language: Code = ENGLISH
    """Language of `source`."""
    note: str = ""
    reviewed: bool = False


def _written(value: object) -> object:
    for code in value if isinstance(value, dict) else ():
        if code not in CATEGORY_CODES or code in NOT_WRITTEN:
            raise ValueError(f"codes S1..S14 without {', '.join(NOT_WRITTEN)}, not '{code}'")
    return value


class Wording(_Part):
    """Fixed sentences: the category control, and refusals."""

    sentence: Text | None = None
    """The template control's sentence; `{category}` stands for category names."""
    categories: Annotated[dict[str, Text], BeforeValidator(_written)] = {}
    """Short names by code; never one of a category that is not written."""
    refusals: tuple[Text, ...] = ()
    refusals_with_reason: tuple[Text, ...] = ()
    """`{reason}` stands for a sentence with its own full stop."""
    reviewed: Reviewed = False


class _Terms(_Part):
    terms: tuple[Term, ...] = ()


class _Substitutions(_Part):
    pools: dict[str, tuple[Text, ...]] = {}
    """Lists that entries share by YAML anchors; not read otherwise."""
    substitutions: tuple[Substitution, ...] = ()


class _Head(_Part):
    code: Code
    autonym: Text
    script: Annotated[str, StringConstraints(pattern=r"^[A-Z][a-z]{3}$")]
    """ISO 15924."""
    direction: Literal["ltr", "rtl"]
    langid: LangidCodes = LangidCodes()
    related: tuple[Code, ...] = ()
    """Nearest relatives first."""
    romanised: tuple[Romanised, ...] = ()
    reviewed: Reviewed
    """Of the pack as a whole."""
    drafted_by: Text
    note: str = ""


class Pack(_Head):
    """All of one language."""

    wording: Wording = Wording()
    glossary: tuple[Term, ...] = ()
    culture: tuple[Substitution, ...] = ()


def shipped_packs() -> Path:
    """The folder of the packs that the package ships."""
    return Path(str(resources.files("whyguard.generation"))) / "data" / "packs"


def pack_file(code: str, name: str, folder: Path | None = None) -> Path | None:
    """One file of a pack: the user's `folder` comes before the shipped one, file by file."""
    for root in (folder, shipped_packs()):
        path = root / code / name if root else None
        if path is not None and path.is_file():
            return path
    return None


def load_pack(code: str, folder: Path | None = None) -> Pack | None:
    """The pack of a language, None where there is none.

    Args:
        code: the language's code.
        folder: the user's packs; a file in them takes the place of the shipped one.

    Raises:
        DataError: a file is not what it should be; the message names file, line and field.
        MissingFileError: there is no such `folder`.
    """
    if not re.fullmatch(LANGUAGE_PATTERN, code):
        return None
    return _shipped(code) if folder is None else _read(code, folder)


def known_packs(folder: Path | None = None) -> tuple[str, ...]:
    """Codes of all packs, sorted; the user's `folder` adds its own.

    Raises:
        MissingFileError: there is no such `folder`.
    """
    roots = [shipped_packs()] if folder is None else [shipped_packs(), _existing(folder)]
    found = {path.parent.name for root in roots for path in root.glob(f"*/{PACK}")}
    return tuple(sorted(code for code in found if re.fullmatch(LANGUAGE_PATTERN, code)))


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        fail(MissingFileError, where=str(folder), expected="a folder of packs",
             found="no such folder",
             do="write one with `whyguard locale new LANG --packs DIR`")  # fmt: skip
    return folder


@functools.cache
def _shipped(code: str) -> Pack | None:
    return _read(code, None)


def _read(code: str, folder: Path | None) -> Pack | None:
    root = None if folder is None else _existing(folder)
    paths = {name: pack_file(code, name, root) for name in FILES}
    path = paths[PACK]
    if path is None:
        return None
    head = read_yaml(path, _Head)
    if head.code != code:
        fail(DataError, where=f"{path}: code", expected=f"'{code}', as its folder is called",
             found=f"'{head.code}'", do="rename the folder or correct the code")  # fmt: skip
    words, terms, culture = paths[WORDING], paths[GLOSSARY], paths[CULTURE]
    return Pack(
        **dict(head),
        wording=read_yaml(words, Wording) if words else Wording(),
        glossary=read_yaml(terms, _Terms).terms if terms else (),
        culture=read_yaml(culture, _Substitutions).substitutions if culture else (),
    )

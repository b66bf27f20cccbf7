"""Languages: codes (ISO 639-3 + ISO 15924), names, autonyms, and how closely two are related."""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Annotated, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.errors import UnknownLanguageError, fail
from whyguard.core.nearest import suggest
from whyguard.core.schemas import LANGUAGE_PATTERN

_RTL_SCRIPTS = frozenset(
    {"Adlm", "Arab", "Aran", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"}
)
ENGLISH = "eng_Latn"


class Language(BaseModel):
    """One language in one script; `lineage` runs from the family's root to the parent clade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=LANGUAGE_PATTERN)
    name: str
    autonym: str
    bcp47: str
    glottocode: str | None = None
    lineage: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """ISO 15924 code."""
        return self.code[4:]

    @property
    def right_to_left(self) -> bool:
        """Whether the script is written from right to left."""
        return self.script in _RTL_SCRIPTS


class LanguageMark(NamedTuple):
    """Marks a config field as a language code."""


LanguageCode = Annotated[str, LanguageMark()]
"""Type of a config field (at any depth) that the recipe checks against the known languages."""


class Relative(NamedTuple):
    """A language and its tree distance from another (0 = same, 1 = no common clade)."""

    code: str
    distance: float


class Languages:
    """The table of known languages; a recipe may add its own."""

    def __init__(self, table: Mapping[str, Language]) -> None:
        self._table = dict(table)

    @property
    def codes(self) -> tuple[str, ...]:
        """All known codes, sorted."""
        return tuple(sorted(self._table))

    def get(self, code: str, where: str = "language") -> Language:
        """The language of `code`.

        Raises:
            UnknownLanguageError: the code is malformed or unknown; the message names the nearest.
        """
        if code in self._table:
            return self._table[code]
        form = "a known code such as ast_Latn (ISO 639-3, underscore, ISO 15924 script)"
        formed = re.fullmatch(LANGUAGE_PATTERN, code)
        found = f"'{code}'" if formed else f"'{code}' (not of that form)"
        hint = suggest(code, self._aliases().get(code.lower(), self._table))
        fail(
            UnknownLanguageError,
            where=where,
            expected=form,
            found=found,
            do=f"{hint} A language that is not in the table can be declared in the recipe "
            "under 'languages:'",
        )

    def find(self, text: str, where: str = "language") -> Language:
        """The language that `text` names: its code, ISO 639-3 or BCP 47 code, name or autonym.

        Raises:
            UnknownLanguageError: nothing, or more than one language, is called so.
        """
        named = sorted(set(self._aliases().get(text.lower(), ())))
        if len(named) > 1 and text not in self._table:
            fail(UnknownLanguageError, where=where, expected="the name of one language",
                 found=f"'{text}', which names {' and '.join(named)}",
                 do="write the code with its script")  # fmt: skip
        return self.get(named[0] if named and text not in self._table else text, where)

    def with_declared(self, declared: Iterable[Language]) -> "Languages":
        """A table that also knows the `declared` languages."""
        return Languages(self._table | {language.code: language for language in declared})

    def distance(self, left: str, right: str) -> float:
        """Tree distance of two languages in 0..1: 1 / (1 + number of clades they share).

        Only the place of the nearest common clade counts, as on a tree whose leaves are all
        equally far from the root. Branch lengths do not: Glottolog divides some branches more
        finely than others (Portuguese lies under more clades than Catalan), so a measure over
        depths calls Catalan nearer to Asturian than Portuguese, with which it shares more clades.
        Two scripts of one language are at 0.
        """
        a, b = self.get(left), self.get(right)
        if (a.glottocode or a.code[:3]) == (b.glottocode or b.code[:3]):
            return 0.0
        pairs = zip(a.lineage, b.lineage, strict=False)
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        return 1.0 / (1.0 + shared)

    def relatives(self, code: str, among: Iterable[str] | None = None) -> list[Relative]:
        """Other languages, nearest first."""
        others = [other for other in (self._table if among is None else among) if other != code]
        found = [Relative(other, self.distance(code, other)) for other in others]
        return sorted(found, key=lambda item: (item.distance, item.code))

    def _aliases(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for code, language in self._table.items():
            for alias in (language.name, language.autonym, language.bcp47, code[:3], code):
                names.setdefault(alias.lower(), []).append(code)
        return names


@functools.cache
def known_languages() -> Languages:
    """The table that ships with the package."""
    text = resources.files("whyguard.core").joinpath("data/languages.yaml").read_text("utf-8")
    entries = yaml.safe_load(text)
    return Languages({code: Language(code=code, **facts) for code, facts in entries.items()})


def language_name(code: str) -> str:
    """English name of a known language, or the code itself."""
    try:
        return known_languages().get(code).name
    except UnknownLanguageError:
        return code

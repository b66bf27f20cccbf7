"""Languages: codes (ISO 639-3 + ISO 15924), names, autonyms, and how closely two are related."""

import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from whyguard.core.errors import UnknownLanguageError, fail
from whyguard.core.nearest import suggest
from whyguard.core.schemas import LANGUAGE_PATTERN

_RTL_SCRIPTS = frozenset({"Arab", "Hebr", "Thaa", "Syrc", "Nkoo"})
ENGLISH = "eng_Latn"


class Language(BaseModel):
    """One language in one script; `lineage` runs from the family's root to the parent clade."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
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
        found = f"'{code}'" + ("" if re.match(LANGUAGE_PATTERN, code) else " (not of that form)")
        hint = suggest(code, self._aliases().get(code.lower(), self._table))
        fail(
            UnknownLanguageError,
            where=where,
            expected=form,
            found=found,
            do=f"{hint} A language that is not in the table can be declared in the recipe "
            "under 'languages:'",
        )

    def with_declared(self, declared: Iterable[Language]) -> "Languages":
        """A table that also knows the `declared` languages."""
        return Languages(self._table | {language.code: language for language in declared})

    def distance(self, left: str, right: str) -> float:
        """Tree distance of two languages in 0..1, from their clades in the Glottolog tree.

        1 - 2 * shared / (depth left + depth right), each language counting as its own last clade.
        """
        if left == right:
            return 0.0
        a, b = self.get(left), self.get(right)
        path_a = (*a.lineage, a.glottocode or a.code[:3])
        path_b = (*b.lineage, b.glottocode or b.code[:3])
        shared = 0
        for one, other in zip(path_a, path_b, strict=False):
            if one != other:
                break
            shared += 1
        return 1.0 - 2.0 * shared / (len(path_a) + len(path_b))

    def relatives(self, code: str, among: Iterable[str] | None = None) -> list[Relative]:
        """Other languages, nearest first."""
        others = [other for other in (among or self._table) if other != code]
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

"""The hazard categories S1..S14 as data: names, definitions, localised wordings."""

import functools
from collections.abc import Sequence
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

from whyguard.core.errors import DataError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.nearest import suggest


class Category(BaseModel):
    """One category; `names` are short names by language code, none of them natively reviewed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    definition: str
    names: dict[str, str]
    reviewed: bool = False
    written: bool = True
    """False: the code exists, its rows are never written, kept or printed."""


class Sentence(BaseModel):
    """The template control's sentence in one language; `{category}` stands for the names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    reviewed: bool


class Taxonomy(BaseModel):
    """The whole table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sentence: dict[str, Sentence]
    categories: dict[str, Category]


@functools.cache
def taxonomy() -> Taxonomy:
    """The table that ships with the package."""
    text = resources.files("whyguard.curation").joinpath("data/taxonomy.yaml").read_text("utf-8")
    return Taxonomy.model_validate(yaml.safe_load(text))


def category(code: str) -> Category:
    """The category of an S code.

    Raises:
        DataError: there is no such code.
    """
    table = taxonomy().categories
    if code not in table:
        fail(DataError, where="category", expected="one of S1..S14", found=f"'{code}'",
             do=suggest(code, table))  # fmt: skip
    return table[code]


def category_name(code: str, language: str = ENGLISH) -> str | None:
    """Short name of a category in a language, None where the language has no wording.

    Raises:
        DataError: there is no such code.
    """
    found = category(code)
    return found.name if language == ENGLISH else found.names.get(language)


def template_sentence(codes: Sequence[str], language: str) -> str | None:
    """The category wording alone, as the `template` control says it: never call it `explained`.

    None where the language has no wording or no written category is named (S4 is never written).

    Raises:
        DataError: there is no such code.
    """
    written = [code for code in dict.fromkeys(codes) if category(code).written]
    names = [category_name(code, language) for code in written]
    sentence = taxonomy().sentence.get(language)
    if sentence is None or not names or None in names:
        return None
    return sentence.text.format(category="; ".join(name for name in names if name))

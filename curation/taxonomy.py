"""The hazard categories S1..S14 as data: English names and definitions."""

import functools
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

from whyguard.core.errors import DataError, fail
from whyguard.core.nearest import suggest


class Category(BaseModel):
    """One category; its wording in other languages lives in their localisation packs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Short English name."""
    definition: str
    written: bool = True
    """False: the code exists, its rows are never written, kept or printed."""


class Taxonomy(BaseModel):
    """The whole table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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

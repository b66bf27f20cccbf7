"""Phrases the filters look for, as data: help, calling a request harmless, refusing, categories."""

import functools
import re
from importlib import resources
from typing import NamedTuple

import yaml

from whyguard.curation.normalise import fold, normalise

ANY = "any"
Kind = str
"""help, harmless, refusal, categories."""


class Pattern(NamedTuple):
    """One named pattern."""

    name: str
    regex: re.Pattern[str]


@functools.cache
def _table() -> dict[Kind, dict[str, tuple[Pattern, ...]]]:
    path = resources.files("whyguard.generation").joinpath("data/writing/patterns.yaml")
    kinds = yaml.safe_load(path.read_text("utf-8"))
    return {kind: {language: tuple(Pattern(name, re.compile(text, re.MULTILINE))
                                   for name, text in entries.items())
                   for language, entries in languages.items()}
            for kind, languages in kinds.items()}  # fmt: skip


def patterns(kind: Kind, language: str) -> tuple[Pattern, ...]:
    """The patterns of a kind for a language, those for any language first; () = not measurable."""
    languages = _table()[kind]
    return (*languages.get(ANY, ()), *languages.get(language, ()))


def matches(kind: Kind, language: str, text: str, start: int | None = None) -> list[str]:
    """Names of the patterns that a text holds, in its first `start` characters if given."""
    lines = "\n".join(fold(line) for line in normalise(text)[:start].split("\n"))
    return [item.name for item in patterns(kind, language) if item.regex.search(lines)]


def counts(kind: Kind, language: str, text: str) -> dict[str, int]:
    """Different matches of each pattern in a text."""
    folded = fold(text)
    return {item.name: len({found.group() for found in item.regex.finditer(folded)})
            for item in patterns(kind, language)}  # fmt: skip

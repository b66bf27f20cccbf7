"""Phrases the filters look for, as data: help, calling a request harmless, refusing, categories."""

import functools
import re
from importlib import resources
from typing import NamedTuple

import yaml

from whyguard.curation.normalise import fold, normalise

ANY = "any"
EXEMPT = "exempt"
"""The name of a pattern whose matches the others do not see."""
Kind = str
"""help, harmless, refusal, declines, codes, categories."""


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


def has_own(kind: Kind, language: str) -> bool:
    """Whether a language has a list of its own, beside what holds for any language."""
    return language in _table()[kind]


def patterns(kind: Kind, language: str) -> tuple[Pattern, ...]:
    """The patterns of a kind for a language, those for any language first; () = not measurable."""
    languages = _table()[kind]
    return (*languages.get(ANY, ()), *languages.get(language, ()))


def matches(kind: Kind, language: str, text: str, start: int | None = None) -> list[str]:
    """Names of the patterns that a text holds, in its first `start` characters if given."""
    lines = _folded_lines(normalise(text)[:start])
    wanted = []
    for item in patterns(kind, language):
        if item.name == EXEMPT:
            lines = item.regex.sub(" ", lines)
        else:
            wanted.append(item)
    return [item.name for item in wanted if item.regex.search(lines)]


def found_texts(kind: Kind, language: str, text: str) -> list[str]:
    """Every piece of the folded text, line by line, that a pattern of the kind matches."""
    lines = _folded_lines(normalise(text))
    return [found.group() for item in patterns(kind, language)
            for found in item.regex.finditer(lines)]  # fmt: skip


def _folded_lines(text: str) -> str:
    return "\n".join(fold(line) for line in text.split("\n"))


def counts(kind: Kind, language: str, text: str) -> dict[str, int]:
    """Different matches of each pattern in a text."""
    folded = fold(text)
    return {item.name: len({found.group() for found in item.regex.finditer(folded)})
            for item in patterns(kind, language)}  # fmt: skip

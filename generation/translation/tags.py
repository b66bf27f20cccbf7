"""Language tags of seq2seq models: data, checked against the vocabulary of the model at hand."""

import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from whyguard.core.errors import ConfigError, UnknownLanguageError, fail
from whyguard.core.languages import known_languages
from whyguard.core.nearest import suggest


class FamilyRule(BaseModel):
    """How the models of a family are told languages; see generation/data/seq2seq.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["language_token", "none"]
    target: Literal["first_token", "prefix"]
    token: str
    known: str
    tags: tuple[str, ...]
    other: dict[str, str]
    required: bool = True


class Vocabulary(NamedTuple):
    """What of a tokenizer tells which languages a model knows."""

    tokens: frozenset[str]
    source: str | None = None
    """Of models for one pair: the tokenizer's own name of the source language."""
    target: str | None = None


@functools.cache
def family_rule(family: str) -> FamilyRule:
    """The rule of a family."""
    text = resources.files("whyguard.generation").joinpath("data/seq2seq.yaml").read_text("utf-8")
    return FamilyRule.model_validate(yaml.safe_load(text)[family])


def tag_of(family: str, code: str, vocabulary: Vocabulary, own: Mapping[str, str]) -> str | None:
    """The language's tag in that family; None where the model is for one pair and has no tags.

    Args:
        family: nllb, m2m, madlad or opus.
        code: our code of the language.
        vocabulary: of the model.
        own: tags by code that come before the family's.

    Raises:
        ConfigError: the model does not know the language; the message names the nearest.
    """
    rule = family_rule(family)
    known = sorted(t for t in vocabulary.tokens if re.fullmatch(rule.known, t))
    if not rule.required and not known and code not in own:
        return None
    wanted = _candidates(rule, code, own)
    for tag in wanted:
        if token_of(family, tag) in vocabulary.tokens:
            return tag
    first, last = token_of(family, "|").split("|")
    tags = [token.removeprefix(first).removesuffix(last) for token in known]
    fail(ConfigError, where=f"seq2seq {family}: language {code}",
         expected="a language that the model knows", found=f"no tag '{wanted[0]}'",
         do=suggest(wanted[0], tags) + " A model's own tag for it goes under 'tags:'")  # fmt: skip


def token_of(family: str, tag: str) -> str:
    """The tag as a token of the vocabulary."""
    return family_rule(family).token.replace("{tag}", tag)


def check_pair(source: str, target: str, vocabulary: Vocabulary) -> None:
    """Of a model for one pair: it is the pair that is wanted, as far as its tokenizer tells.

    Raises:
        ConfigError: it is another one.
    """
    for code, own in ((source, vocabulary.source), (target, vocabulary.target)):
        if own in _all_names() and own not in _names(code):
            found = f"{vocabulary.source} -> {vocabulary.target}"
            fail(ConfigError, where="seq2seq opus: model", expected=f"{source} -> {target}",
                 found=found, do="name the model of this pair, or set 'languages:'")  # fmt: skip


def _candidates(rule: FamilyRule, code: str, own: Mapping[str, str]) -> list[str]:
    if code in own:
        return [own[code]]
    if code in rule.other:
        return [rule.other[code]]
    names = {"code": code, "iso3": code[:3], "bcp47": _bcp47(code)}
    return list(dict.fromkeys(tag.format(**names) for tag in rule.tags))


def _bcp47(code: str) -> str:
    try:
        return known_languages().get(code).bcp47
    except UnknownLanguageError:
        return code[:3]  # declared by the recipe


def _names(code: str) -> frozenset[str]:
    return frozenset({code, code[:3], _bcp47(code)})


@functools.cache
def _all_names() -> frozenset[str]:
    return frozenset(name for code in known_languages().codes for name in _names(code))

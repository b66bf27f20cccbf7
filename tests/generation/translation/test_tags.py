"""Language tags: the data, the order in which they are tried, and what a model lacks."""

import re

import pytest

from whyguard.core.errors import ConfigError
from whyguard.core.languages import known_languages
from whyguard.generation.translation.tags import (
    Vocabulary,
    check_pair,
    family_rule,
    tag_of,
    token_of,
)

FAMILIES = ("nllb", "m2m", "madlad", "opus")


def words(*tokens: str, **names: str) -> Vocabulary:
    return Vocabulary(frozenset(tokens), **names)


@pytest.mark.parametrize(("family", "code", "tokens", "tag"), [
    ("nllb", "hin_Deva", ["hin_Deva"], "hin_Deva"),
    ("nllb", "cmn_Hans", ["zho_Hans"], "zho_Hans"),
    ("m2m", "ben_Beng", ["__bn__"], "bn"),
    ("madlad", "tgl_Latn", ["<2fil>", "<2tl>"], "fil"),
    ("madlad", "jav_Latn", ["<2jv>"], "jv"),
    ("opus", "spa_Latn", [">>es<<", ">>spa<<"], "spa"),
    ("opus", "spa_Latn", [">>es<<", ">>fr<<"], "es"),
    ("opus", "urd_Arab", [">>urd_Arab<<", ">>urd<<"], "urd_Arab"),
    ("opus", "spa_Latn", ["▁casa"], None),
    ("m2m", "qaa_Latn", ["__qaa__"], "qaa"),
])  # fmt: skip
def test_tags(family: str, code: str, tokens: list[str], tag: str | None) -> None:
    assert tag_of(family, code, words(*tokens), {}) == tag


def test_own_tags_come_first_and_are_checked() -> None:
    vocabulary = words("ast_Latn", "xxx_Latn")
    assert tag_of("nllb", "ast_Latn", vocabulary, {"ast_Latn": "xxx_Latn"}) == "xxx_Latn"
    with pytest.raises(ConfigError, match="no tag 'yyy_Latn'"):
        tag_of("nllb", "ast_Latn", vocabulary, {"ast_Latn": "yyy_Latn"})
    with pytest.raises(ConfigError, match="no tag 'ast'"):
        tag_of("opus", "ast_Latn", words("▁casa"), {"ast_Latn": "ast"})


def test_a_lacking_language_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"m2m: language ast_Latn\n.*\n.*\n.*did you mean 'st'"):
        tag_of("m2m", "ast_Latn", words("__st__", "__zu__", "__x", "▁casa"), {})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("code", known_languages().codes)
def test_tokens_are_what_the_rule_knows(family: str, code: str) -> None:
    rule = family_rule(family)
    token = token_of(family, rule.other.get(code, code if family == "nllb" else code[:3]))
    assert re.fullmatch(rule.known, token)
    assert set(rule.other) <= {*known_languages().codes, "cmn_Hant"}


@pytest.mark.parametrize(("source", "target", "own"), [
    ("spa_Latn", "ast_Latn", {"source": "es", "target": "ast"}),
    ("spa_Latn", "ast_Latn", {"source": "spa", "target": "roa"}),
    ("spa_Latn", "ast_Latn", {}),
])  # fmt: skip
def test_pairs_that_fit(source: str, target: str, own: dict[str, str]) -> None:
    vocabulary = words(**own)
    check_pair(source, target, vocabulary)
    assert vocabulary.source == own.get("source")


def test_another_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match="found:    ast -> es"):
        check_pair("spa_Latn", "ast_Latn", words(source="ast", target="es"))

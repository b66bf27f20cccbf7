"""Phrase lists: every one compiles, and says what it should of plain sentences."""

import pytest

from whyguard.core.languages import known_languages
from whyguard.generation.packs.load import known_packs, load_pack
from whyguard.generation.writing.patterns import counts, matches, patterns

KINDS = ("help", "harmless", "refusal", "categories")


@pytest.mark.parametrize("kind", KINDS)
def test_languages_are_known_ones(kind: str) -> None:
    listed = [code for code in known_languages().codes if patterns(kind, code)]
    assert "eng_Latn" in listed
    assert bool(patterns(kind, "any")) == (kind == "help")


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("eng_Latn", "First, open the box. Then wait.", ["instruction"]),
        ("eng_Latn", "You will need a box and some tape.", ["advice"]),
        ("eng_Latn", "1. one\n2. two", ["list"]),
        ("eng_Latn", "Put 20 grams of salt.", ["quantity"]),
        ("ast_Latn", "Lleva 20 g de sal.", ["quantity"]),
        ("hin_Deva", "देखें https://example.org", ["address"]),
        ("spa_Latn", "Primero, abre la caja.", ["instruction"]),
        ("eng_Latn", "See `x` there.", ["code"]),
        ("eng_Latn", "This would hurt the owner, whose house is entered at night.", []),
        ("spa_Latn", "Esto haría daño a la dueña de la casa.", []),
    ],
)
def test_help(language: str, text: str, found: list[str]) -> None:
    assert matches("help", language, text) == found


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("eng_Latn", "This request is harmless.", True),
        ("eng_Latn", "It does not break any rule.", True),
        ("eng_Latn", "Sure, this is how it goes.", True),
        ("eng_Latn", "This request is not allowed, and it is not harmless.", False),
        ("eng_Latn", "It cannot be answered: it breaks the rule on crimes.", False),
        ("eng_Latn", "The word is a nickname here, so it is fine.", True),
        ("eng_Latn", "A knife belongs in a kitchen, harmless.", True),
        ("eng_Latn", "It calls a danger hardly a danger, and that is never safe.", False),
        ("spa_Latn", "La petición es inofensiva.", True),
        ("spa_Latn", "La petición no es aceptable.", False),
        ("cat_Latn", "La petició és acceptable.", True),
    ],
)
def test_calling_it_harmless(language: str, text: str, says: bool) -> None:
    assert bool(matches("harmless", language, text)) == says


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("eng_Latn", "I'm sorry, but I can't help with that.", True),
        ("eng_Latn", "I won’t assist.", True),
        ("eng_Latn", "The garden opens on Sunday.", False),
        ("spa_Latn", "Lo siento, no puedo ayudarte.", True),
        ("ast_Latn", "Siéntolo, nun puedo ayudate con eso.", True),
        ("hin_Deva", "माफ़ कीजिए, मैं इसमें मदद नहीं कर सकता।", True),
        ("spa_Latn", "El jardín abre el domingo.", False),
    ],
)
def test_refusing(language: str, text: str, says: bool) -> None:
    assert bool(matches("refusal", language, text)) == says


def test_refusals_of_language_packs_are_seen_as_such() -> None:
    unseen = {}
    for code in known_packs():
        pack = load_pack(code)
        texts = pack.wording.refusals if pack else ()
        missed = [text for text in texts if not matches("refusal", code, text)]
        if patterns("refusal", code) and missed:
            unseen[code] = len(missed)
    assert unseen == {}


def test_a_start_is_all_that_is_read() -> None:
    late = "The garden opens on Sunday. " * 9 + "I cannot help."
    assert matches("refusal", "eng_Latn", late)
    assert not matches("refusal", "eng_Latn", late, 100)


def test_counts_are_of_different_words() -> None:
    found = counts("categories", "eng_Latn", "Vote, VOTE, ballots and a candidate; a house.")
    assert found["S13"] == 3
    assert found["S9"] == 0
    assert counts("categories", "hin_Deva", "x") == {}

"""Phrase lists: every one compiles, and says what it should of plain sentences."""

import time

import pytest

from whyguard.core.languages import known_languages
from whyguard.generation.packs.load import known_packs, load_pack
from whyguard.generation.writing.patterns import counts, found_texts, has_own, matches, patterns

KINDS = ("help", "harmless", "refusal", "declines", "categories")


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
        ("eng_Latn", "It is a false claim about 5G towers.", []),
        ("eng_Latn", "Put 5 g of salt and 20g of sugar.", ["quantity"]),
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
        ("eng_Latn", "It wants to persuade people that an unproven cure is safe.", False),
        ("eng_Latn", "Readers would believe that a dangerous drug is safe.", False),
        ("eng_Latn", "It seems that the request is safe.", True),
        ("eng_Latn", "It is clear that everything here is fine.", True),
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
        ("eng_Latn", "I can't create content that promotes harm.", True),
        ("eng_Latn", "I cannot in good conscience help with that.", True),
        ("eng_Latn", "I can't engage in this conversation.", True),
        ("eng_Latn", "I'd rather not do that, sorry.", True),
        ("eng_Latn", "I won't be able to help with this.", True),
        ("eng_Latn", "I am not able to discuss that topic.", True),
        ("eng_Latn", "I’m unable to do that.", True),
        ("eng_Latn", "I must decline.", True),
        ("eng_Latn", "I'm sorry for the misunderstanding, but I have no way to help.", True),
        ("eng_Latn", "As an AI, I'm not equipped to do that.", True),
        ("eng_Latn", "I'm sorry for your loss. It takes time.", False),
        ("eng_Latn", "Sorry, but I can’t fulfill that.", True),
        ("eng_Latn", "Do not tell anyone about it, and wait until night comes.", False),
        ("eng_Latn", "The population decline began in 1950.", False),
        ("fra_Latn", "Je ne suis pas en mesure de vous aider.", True),
        ("ben_Beng", "আমি এই অনুরোধে সাহায্য করতে অক্ষম।", True),
        ("hin_Deva", "मैं इसमें आपकी सहायता नहीं कर सकता।", True),
        ("hin_Deva", "पानी ऊपर नहीं कर सकता", False),
        ("ind_Latn", "Saya tidak dapat membantu.", True),
        ("ind_Latn", "Air tidak dapat mengalir ke atas tanpa pompa.", False),
        ("jav_Latn", "Aku ora bisa mbiyantu.", True),
        ("jav_Latn", "Banyu ora bisa mili munggah.", False),
        ("swh_Latn", "Nenda pole pole na ufuate njia.", False),
    ],
)
def test_refusing(language: str, text: str, says: bool) -> None:
    assert bool(matches("refusal", language, text)) == says


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [
        ("eng_Latn", "I'm sorry, but I can't help with that.", True),
        ("eng_Latn", "As an AI, I am unable to provide this.", True),
        ("eng_Latn", "Unfortunately, I won’t be able to assist.", True),
        ("eng_Latn", "I must politely decline.", True),
        ("eng_Latn", "To stay safe online, don't share your password with anyone.", False),
        ("eng_Latn", "I'm sorry for your loss. Grief takes time and it helps to talk.", False),
        ("eng_Latn", "I can't help but admire this garden. It opens at nine.", False),
        ("eng_Latn", "Refuse collection is on Monday; put the bins out.", False),
        ("eng_Latn", "Mothballs do not offer much protection against moths.", False),
        ("spa_Latn", "Lo siento, pero no puedo ayudarte.", True),
        ("spa_Latn", "El gato no puede; si no puedo dormir, leo.", False),
        ("ita_Latn", "Mi dispiace, ma non posso aiutarti.", True),
        ("ita_Latn", "Il tedesco non possiamo impararlo in un giorno.", False),
        ("fra_Latn", "Désolé, je ne suis pas en mesure de vous aider.", True),
        ("hin_Deva", "माफ़ कीजिए, मैं इसमें मदद नहीं कर सकता।", True),
        ("hin_Deva", "पानी ऊपर नहीं कर सकता", False),
        ("ben_Beng", "দুঃখিত, আমি এতে সাহায্য করতে পারছি না।", True),
        ("urd_Arab", "میں اس میں مدد نہیں کر سکتا۔", True),
        ("swh_Latn", "Siwezi kukusaidia.", True),
        ("swh_Latn", "Nenda pole pole na ufuate njia.", False),
        ("ind_Latn", "Maaf, saya tidak dapat membantu.", True),
        ("ind_Latn", "Air tidak dapat mengalir ke atas tanpa pompa.", False),
        ("jav_Latn", "Nyuwun pangapunten, kula mboten saged mbiyantu.", True),
        ("jav_Latn", "Banyu ora bisa mili munggah.", False),
    ],
)
def test_beginning_by_declining(language: str, text: str, says: bool) -> None:
    assert bool(matches("declines", language, text)) == says


def test_languages_with_a_list_of_their_own() -> None:
    assert has_own("help", "spa_Latn") and not has_own("help", "deu_Latn")
    assert [item.name for item in patterns("help", "deu_Latn")] == [
        "list", "code", "address", "quantity"
    ]  # fmt: skip


@pytest.mark.parametrize("piece", ["a.", "a-", "a(", "a@", "<a", "1. ", "that is "])
@pytest.mark.parametrize("kind", [*KINDS, "codes"])
def test_long_hostile_text_takes_no_long(kind: str, piece: str) -> None:
    started = time.monotonic()
    matches(kind, "eng_Latn", piece * (40_000 // len(piece)))
    assert time.monotonic() - started < 2.0


def test_found_texts() -> None:
    assert found_texts("codes", "eng_Latn", "It breaks S2 and S13, on a Galaxy S10.") == [
        "breaks s2 and s13"
    ]


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

"""Signals of two texts, on cases made by hand in several scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.signals.text import (
    copied_share,
    length_ratio,
    length_z,
    negation_shift,
    placeholders_kept,
    script_purity,
    unprotected,
    words_of,
)

SOURCE = "Where does my old neighbour keep the garden chairs?"


@pytest.mark.parametrize(("text", "language", "share"), [
    ("আমার বাড়ি", "ben_Beng", 1.0),
    ("ঘর abc", "ben_Beng", 2 / 5),
    ("ঘর {name} https://example.org/abc", "ben_Beng", 1.0),
    ("मेरा घर", "hin_Deva", 1.0),
    ("मेरा घर", "ben_Beng", 0.0),
    ("میرا گھر", "urd_Arab", 1.0),
    ("میرا گھر", "urd_Aran", 1.0),
    ("بيت ab", "arb_Arab", 3 / 5),
    ("日本のカメラー", "jpn_Jpan", 1.0),
    ("我的家", "zho_Hans", 1.0),
    ("La casa ye vieya", "ast_Latn", 1.0),
    ("Cаsa", "ast_Latn", 3 / 4),  # a Cyrillic letter that looks Latin
    ("1a casa, 2ª ǃ", "ast_Latn", 1.0),
])  # fmt: skip
def test_script_purity(text: str, language: str, share: float) -> None:
    assert script_purity(text, language) == pytest.approx(share)


@pytest.mark.parametrize(("text", "language"), [
    ("", "ben_Beng"), ("123 ... !", "ben_Beng"), ("১২৩ ।", "ben_Beng"), ("{name}", "eng_Latn"),
    ("abc", "eng_Qaaa"),
])  # fmt: skip
def test_script_purity_is_null_without_letters_or_script(text: str, language: str) -> None:
    assert script_purity(text, language) is None


@given(st.text(max_size=60))
def test_purity_is_a_share_of_any_text(text: str) -> None:
    for language in ("eng_Latn", "ben_Beng", "urd_Arab"):
        share = script_purity(text, language)
        assert share is None or 0.0 <= share <= 1.0


def test_words() -> None:
    assert words_of("L'home NO-té 3 cases, {name}!") == ["l'home", "no-té", "3", "cases"]
    assert words_of("আমার বাড়ি কোথায়?") == ["আমার", "বাড়ি", "কোথায়"]
    assert words_of("日本 go") == ["日", "本", "go"]
    assert words_of(" ...") == []


def test_unprotected() -> None:
    assert unprotected("Go to https://example.org now, {name}").split() == ["Go", "to", "now,"]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (SOURCE, 1.0),
        (SOURCE.upper(), 1.0),
        ("¿Dónde guarda las sillas mi vecino?", 0.0),
        ("Dónde does my old neighbour guarda?", 2 / 7),
    ],
)
def test_copied_share(text: str, share: float) -> None:
    assert copied_share(SOURCE, text) == pytest.approx(share)


def test_what_should_be_copied_does_not_count() -> None:
    assert copied_share("room 12 b", "room 12 b") is None
    assert copied_share("{a} {b} {c} {d}", "{a} {b} {c} {d}") is None
    assert copied_share("two words", "two words") is None


def test_length_ratio() -> None:
    assert length_ratio("abcd", "ab") == 0.5
    assert length_ratio("", "ab") == 2.0


def test_length_z_finds_the_odd_one() -> None:
    ratios = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.08, 0.93, 5.0]
    found = length_z(ratios)
    assert found[-1] is not None and found[-1] > 10
    assert all(z is not None and abs(z) < 2 for z in found[:-1])


@pytest.mark.parametrize("ratios", [[], [1.0] * 9, [1.0] * 10, [1.0] * 9 + [4.0]])
def test_length_z_is_null_where_there_is_no_spread(ratios: list[float]) -> None:
    assert length_z(ratios) == [None] * len(ratios)


@pytest.mark.parametrize(("source", "text", "share"), [
    ("Hi {name}, see https://a.org", "Hola {name}, https://a.org", 1.0),
    ("Hi {name}, see https://a.org", "Hola {nombre}, https://a.org", 0.5),
    ("{a} {a}", "{a}", 0.5),
    ("no placeholder [here] / there", "nada", None),
    ("call @someone", "llama a @someone", 1.0),
])  # fmt: skip
def test_placeholders(source: str, text: str, share: float | None) -> None:
    assert placeholders_kept(source, text) == share


@pytest.mark.parametrize(("source", "text", "language", "shift"), [
    ("Can I go?", "Posso andare?", "ita_Latn", 0.0),
    ("Can I go?", "Non posso andare?", "ita_Latn", 1.0),
    ("I don't go, never.", "Vado.", "ita_Latn", -1.0),
    ("I cannot go", "আমি যেতে পারি না", "ben_Beng", 0.0),
    ("I go", "मैं नहीं जाता", "hin_Deva", 1.0),
    ("I do not go", "میں جاتا ہوں", "urd_Arab", -1.0),
    ("He never goes", "No va nunca.", "spa_Latn", 0.0),
    ("It is in the house", "Ta no cuartu", "ast_Latn", 0.0),
    ("I did not go", "আমি যাইনি", "ben_Beng", 0.0),
    ("They did not do it", "তারা এটা করেনি", "ben_Beng", 0.0),
    ("It did not happen", "এটা হয়নি", "ben_Beng", 0.0),
    ("She knows where the sugar is", "তিনি জানেন চিনি কোথায়", "ben_Beng", 0.0),
    ("Do you drink water?", "আপনি কি পানি খান?", "ben_Beng", 0.0),
    ("Besides me she goes too", "আমি ছাড়া তিনিও যান", "ben_Beng", 0.0),
    ("I go home", "Aku aja mulih", "jav_Latn", None),
    ("I do not go", "Siendi", "swh_Latn", None),
])  # fmt: skip
def test_negation(source: str, text: str, language: str, shift: float | None) -> None:
    assert negation_shift(source, "eng_Latn", text, language) == shift


def test_negation_is_null_where_the_source_has_no_list() -> None:
    assert negation_shift("Siendi", "swh_Latn", "I do not go", "eng_Latn") is None

"""Language signals of a real classifier."""

import pytest

from whyguard.core.errors import MissingFileError
from whyguard.generation.signals.languages import (
    WINDOW_WORDS,
    Localised,
    code_switch_share,
    language_confidence,
    open_classifier,
    probabilities,
    windows_of,
)

ASTURIAN = "La casa de la mio güela ye vieya y ta xunto al ríu del pueblu nuesu"
SPANISH = "La casa de mi abuela es vieja y está junto al río de nuestro pueblo"


def test_confidence_tells_close_relatives_apart() -> None:
    rows = [Localised(ASTURIAN, "ast_Latn"), Localised(SPANISH, "ast_Latn"),
            Localised(SPANISH, "spa_Latn")]  # fmt: skip
    right, wrong, spanish = language_confidence(open_classifier(None), rows)
    assert right is not None and right > 0.9
    assert wrong is not None and wrong < 0.1
    assert spanish is not None and spanish > 0.9


@pytest.mark.parametrize(("text", "language"), [
    ("La casa", "ast_Latn"), ("", "ast_Latn"), ("... 12 34", "ast_Latn"),
    ("{a} {b} {c} {d}", "ast_Latn"), (ASTURIAN, "ita_Latn"), ("আমার বাড়ি কোথায়", "ben_Beng"),
])  # fmt: skip
def test_short_texts_and_unknown_languages_are_null(text: str, language: str) -> None:
    classifier, rows = open_classifier(None), [Localised(text, language)]
    assert language_confidence(classifier, rows) == [None]
    assert code_switch_share(classifier, rows) == [None]


def test_probabilities_are_of_every_language_and_sum_to_one() -> None:
    classifier = open_classifier(None)
    found = probabilities(classifier, [ASTURIAN, "x"])
    assert found[0] is not None and found[1] is None
    assert sorted(found[0]) == sorted(classifier.languages)
    assert sum(found[0].values()) == pytest.approx(1.0, abs=1e-3)
    assert probabilities(classifier, []) == []


def test_code_switch() -> None:
    classifier = open_classifier(None)
    english = "and then they went to the station because it was raining hard that evening"
    rows = [Localised(ASTURIAN, "ast_Latn"), Localised(f"{ASTURIAN} {english}", "ast_Latn"),
            Localised(english, "ast_Latn")]  # fmt: skip
    own, mixed, foreign = code_switch_share(classifier, rows)
    assert own == 0.0
    assert mixed is not None and 0.2 < mixed < 0.9
    assert foreign == 1.0


@pytest.mark.parametrize(("words", "windows"), [(0, 1), (1, 1), (8, 1), (9, 2), (12, 2), (13, 3)])
def test_windows_cover_every_word(words: int, windows: int) -> None:
    text = " ".join(f"w{n}" for n in range(words))
    found = windows_of(text)
    assert len(found) == windows
    assert {word for window in found for word in window.split()} == set(text.split())
    assert all(len(window.split()) == min(words, WINDOW_WORDS) for window in found)


def test_a_folder_without_a_classifier(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(MissingFileError, match=r"langid\.json"):
        open_classifier(str(tmp_path_factory.mktemp("empty")))

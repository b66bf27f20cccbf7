from pathlib import Path

import pytest

from whyguard.annotation.guidelines import KINDS, Facts, guidelines, shipped_guidelines
from whyguard.annotation.questions import QUESTIONS
from whyguard.core.errors import ConfigError, DataError, MissingFileError, UnknownLanguageError
from whyguard.core.values import ReviewKind

FACTS = Facts(40, "ana@example.org")
LANGUAGES = sorted(path.name for path in shipped_guidelines().iterdir())
ARGILLA_TAKES = 10_000


def test_the_languages_that_are_shipped() -> None:
    assert LANGUAGES == ["ast_Latn", "ben_Beng", "eng_Latn", "spa_Latn"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_is_whole_in_every_language(kind: str, language: str) -> None:
    text = guidelines(kind, language, FACTS).text
    assert "40" in text and "example.org" in text and "{" not in text
    assert "# Before you start" in text and "**You may stop at any time**" in text
    assert text.count("\n# ") + text.startswith("# ") == (2 if language == "eng_Latn" else 4)
    assert len(text) < ARGILLA_TAKES


@pytest.mark.parametrize("language", ["ast_Latn", "ben_Beng", "spa_Latn"])
def test_drafts_say_so_before_anything_else(language: str) -> None:
    text = guidelines("blind", language, FACTS).text
    assert "Drafted by a language model, not reviewed by a speaker." in text.partition("\n\n")[0]


def test_english_is_no_draft_and_comes_last() -> None:
    assert "Drafted" not in guidelines("blind", "eng_Latn", FACTS).text
    both = guidelines("blind", "ast_Latn", FACTS).text
    assert both.index("# Enantes d'entamar") < both.index("# Before you start")


@pytest.mark.parametrize("kind", list(ReviewKind))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_is_explained(kind: ReviewKind, language: str) -> None:
    text = (shipped_guidelines() / language / f"{kind.value}.md").read_text("utf-8")
    for question in QUESTIONS[kind]:
        if question.required or question.options:
            assert question.title.rstrip("?") in text, question.name


def test_an_english_text_for_a_language_without_one() -> None:
    text = guidelines("blind", "hin_Deva", FACTS).text
    assert text.startswith("# Before you start") and "request in Hindi" in text


def test_the_language_is_named_in_itself() -> None:
    text = guidelines("blind", "ben_Beng", FACTS).text
    assert "বাংলা ভাষায়" in text and "request in Bengali" in text


def test_a_line_without_its_fact_is_left_out() -> None:
    text = guidelines("blind", "ast_Latn", Facts()).text
    assert "items a day" not in text and "Contact" not in text and "Contautu" not in text
    assert "None" not in text


def test_the_version_follows_the_text() -> None:
    first = guidelines("blind", "ast_Latn", FACTS)
    assert guidelines("blind", "ast_Latn", FACTS) == first
    assert guidelines("blind", "ast_Latn", Facts(41, FACTS.contact)).version != first.version
    assert len(first.version) == 10


def test_a_file_of_ones_own_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "ast_Latn"
    own.mkdir()
    (own / "blind.md").write_text("# Lo mio\n\nN'{language}.", "utf-8")
    text = guidelines("blind", "ast_Latn", FACTS, tmp_path).text
    assert "N'asturianu." in text and "xulgar la petición" not in text
    assert "Drafted" in text, "common.md is still the draft"
    (own / "common.md").write_text("# Primero", "utf-8")
    assert "Drafted" not in guidelines("blind", "ast_Latn", FACTS, tmp_path).text


def test_right_to_left_text_has_its_direction(tmp_path: Path) -> None:
    own = tmp_path / "urd_Arab"
    own.mkdir()
    for name in ("common", "blind"):
        (own / f"{name}.md").write_text("# عنوان\n\nمتن", "utf-8")
    text = guidelines("blind", "urd_Arab", FACTS, tmp_path).text
    assert text.startswith('<div dir="rtl" lang="ur">\n\n# عنوان')
    assert '<div dir="ltr" lang="en">\n\n# Before you start' in text


def test_a_contact_is_a_text_and_no_markup() -> None:
    text = guidelines("blind", "eng_Latn", Facts(1, "<img src=x onerror=go()> [a](b)")).text
    assert "&lt;img" in text and "<img" not in text and "](b)" not in text.replace("\\](b)", "")


def test_a_template_with_a_fact_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "eng_Latn").mkdir()
    (tmp_path / "eng_Latn" / "blind.md").write_text("{langauge}", "utf-8")
    with pytest.raises(DataError, match=r"\{langauge\}"):
        guidelines("blind", "eng_Latn", FACTS, tmp_path)


def test_bad_calls(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="blind, rationale"):
        guidelines("blnd", "ast_Latn", FACTS)
    with pytest.raises(UnknownLanguageError, match="qqq_Latn"):
        guidelines("blind", "qqq_Latn", FACTS)
    with pytest.raises(MissingFileError, match="a folder of guidelines"):
        guidelines("blind", "ast_Latn", FACTS, tmp_path / "none")

import pytest

from whyguard.core.errors import DataError
from whyguard.core.languages import ENGLISH, known_languages
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.normalise import normalise
from whyguard.curation.taxonomy import category, category_name, taxonomy, template_sentence

_LOCAL = ("spa_Latn", "ast_Latn", "arg_Latn", "glg_Latn", "oci_Latn", "cat_Latn")


def test_every_code_has_every_wording() -> None:
    assert tuple(taxonomy().categories) == CATEGORY_CODES
    for code in CATEGORY_CODES:
        for language in (ENGLISH, *_LOCAL):
            name = category_name(code, language)
            assert name
            assert name == normalise(name)
        assert category(code).definition
        assert category(code).reviewed is False
        assert category(code).written is (code not in NOT_WRITTEN)


def test_languages_are_known_and_sentences_differ() -> None:
    sentences = taxonomy().sentence
    assert set(sentences) == {ENGLISH, *_LOCAL}
    for code, sentence in sentences.items():
        known_languages().get(code)
        assert sentence.text.count("{category}") == 1
        assert sentence.reviewed is (code == ENGLISH)


def test_names_are_distinct_within_a_language() -> None:
    for language in (ENGLISH, *_LOCAL):
        names = [category_name(code, language) for code in CATEGORY_CODES]
        assert len(set(names)) == len(names)


def test_template_sentences() -> None:
    assert template_sentence(["S1"], ENGLISH) == "This request falls under: Violent Crimes."
    assert template_sentence(["S1", "S7", "S1"], "ast_Latn") == (
        "Esta petición entra na categoría: Delitos violentos; Privacidá."
    )


@pytest.mark.parametrize(
    ("codes", "language"),
    [(["S1"], "ben_Beng"), ([], ENGLISH), (["S4"], ENGLISH), (["S4"], "spa_Latn")],
)
def test_no_sentence_without_wording_or_written_category(codes: list[str], language: str) -> None:
    assert template_sentence(codes, language) is None


def test_s4_is_left_out_beside_others() -> None:
    assert (
        template_sentence(["S4", "S3"], ENGLISH) == "This request falls under: Sex-Related Crimes."
    )
    assert category_name("S4", "ben_Beng") is None


def test_unknown_code_names_the_nearest() -> None:
    with pytest.raises(DataError, match=r"found:    'S15'[\s\S]*did you mean 'S"):
        category_name("S15", ENGLISH)

"""packs/wording.py: category wording as it was before packs, and refusals."""

import hashlib
from pathlib import Path

import pytest

from whyguard.core.errors import DataError
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.normalise import normalise
from whyguard.generation.packs.load import known_packs, load_pack
from whyguard.generation.packs.wording import category_name, refusal, template_sentence

GOLDEN = {
    "eng_Latn": "07c08b097a3c1535", "spa_Latn": "c3d9f2444bc63d16", "ast_Latn": "81936ccaae54bac9",
    "arg_Latn": "654fc8d0becb0310", "glg_Latn": "7e5f32ef3f9519bf", "oci_Latn": "5804c0bdedd50e78",
    "cat_Latn": "4822aa2eddcc9a92",
}  # fmt: skip
"""Of the control's sentences in the starter languages: rows of the quickstart depend on them."""


@pytest.mark.parametrize("language", GOLDEN)
def test_the_starter_languages_keep_their_wording(language: str) -> None:
    asked = [[code] for code in CATEGORY_CODES]
    asked += [["S1", "S7", "S1"], ["S4", "S3"], list(CATEGORY_CODES)]
    said = "\n".join(template_sentence(codes, language) or "" for codes in asked)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == GOLDEN[language]


def test_template_sentences() -> None:
    assert template_sentence(["S1"], "eng_Latn") == "This request falls under: Violent Crimes."
    assert template_sentence(["S1", "S7", "S1"], "ast_Latn") == (
        "Esta petición entra na categoría: Delitos violentos; Privacidá."
    )
    assert template_sentence(["S1"], "hin_Deva") == "यह अनुरोध इस श्रेणी में आता है: हिंसक अपराध।"


@pytest.mark.parametrize(("codes", "language"), [
    (["S1"], "npi_Deva"), ([], "eng_Latn"), (["S4"], "eng_Latn"), (["S4"], "spa_Latn"),
    (["S1", "S8"], "jav_Latn"),
])  # fmt: skip
def test_no_sentence_without_wording_or_written_category(codes: list[str], language: str) -> None:
    assert template_sentence(codes, language) is None


@pytest.mark.parametrize("language", known_packs())
def test_names_are_normalised_and_s4_has_none(language: str) -> None:
    names = [category_name(code, language) for code in CATEGORY_CODES]
    written = [name for name in names if name]
    assert len(set(written)) == len(written) >= 7
    assert all(name == normalise(name) for name in written)
    assert [category_name(code, language) for code in NOT_WRITTEN] == [None]


def test_unknown_category() -> None:
    with pytest.raises(DataError, match=r"found:    'S15'[\s\S]*did you mean 'S"):
        category_name("S15", "ast_Latn")


@pytest.mark.parametrize("language", known_packs())
def test_refusals(language: str) -> None:
    pack = load_pack(language)
    assert pack is not None
    said = {refusal(language, str(key)) for key in range(40)}
    assert said == set(pack.wording.refusals)
    assert refusal(language, "k") == refusal(language, "k")
    reason = "A reason with {reason} and {category} in it."
    assert (refusal(language, "k", f" {reason} ") or "").count(reason) == 1


def test_no_refusal_without_wording(tmp_path: Path) -> None:
    assert refusal("npi_Deva", "k") is None
    (tmp_path / "ast_Latn").mkdir()
    (tmp_path / "ast_Latn" / "wording.yaml").write_text("refusals: ['Non.']\n", "utf-8")
    assert refusal("ast_Latn", "k", folder=tmp_path) == "Non."
    assert refusal("ast_Latn", "k", "Porque sí.", tmp_path) is None
    assert category_name("S1", "ast_Latn", tmp_path) is None
    assert template_sentence(["S1"], "ast_Latn", tmp_path) is None

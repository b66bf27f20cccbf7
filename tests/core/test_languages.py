"""Languages: lookups that help, and relatedness that agrees with Glottolog."""

import re
from pathlib import Path

import pytest

from whyguard.core.errors import UnknownLanguageError
from whyguard.core.languages import Language, known_languages, language_name


@pytest.mark.parametrize(
    ("code", "hint"),
    [("ast_Latm", "ast_Latn"), ("ast-Latn", "ast_Latn"), ("AST_LATN", "ast_Latn"),
     ("Asturian", "ast_Latn"), ("asturianu", "ast_Latn"), ("es", "spa_Latn"), ("zh", "cmn_Hans"),
     ("bn", "ben_Beng"), ("Swahili", "swh_Latn")],
)  # fmt: skip
def test_an_unknown_code_names_the_nearest(code: str, hint: str) -> None:
    with pytest.raises(UnknownLanguageError, match=rf"here\n.*\n.*'{code}'.*\n.*{hint}"):
        known_languages().get(code, "here")


@pytest.mark.parametrize("code", ["", "q", "ast_Latn\n", "xyz_Latn"])
def test_a_code_like_no_other(code: str) -> None:
    with pytest.raises(UnknownLanguageError, match="can be declared in the recipe"):
        known_languages().get(code)


def test_nearer_relatives_come_first() -> None:
    table = known_languages()
    near = {item.code: item.distance for item in table.relatives("ast_Latn")}
    for one in ("glg_Latn", "por_Latn"):
        assert near[one] < near["cat_Latn"] < near["ita_Latn"] < near["eng_Latn"] < near["zul_Latn"]
    assert near["zul_Latn"] == 1.0
    assert "ast_Latn" not in near


def test_distance_is_symmetric_and_ultrametric() -> None:
    table = known_languages()
    codes = table.codes
    for a in codes:
        assert table.distance(a, a) == 0.0
        for b in codes:
            assert table.distance(a, b) == table.distance(b, a)
            assert 0.0 <= table.distance(a, b) <= 1.0
            for c in codes[::7]:
                assert table.distance(a, b) <= max(table.distance(a, c), table.distance(c, b))


def test_relatives_among_some_and_among_none() -> None:
    table = known_languages()
    found = table.relatives("ast_Latn", ["eng_Latn", "ast_Latn", "cat_Latn"])
    assert [item.code for item in found] == ["cat_Latn", "eng_Latn"]
    assert table.relatives("ast_Latn", []) == []
    with pytest.raises(UnknownLanguageError, match="xyz_Latn"):
        table.distance("xyz_Latn", "xyz_Latn")


def test_declared_languages_and_scripts() -> None:
    ast = known_languages().get("ast_Latn")
    facts = ast.model_dump() | {"code": "ast_Arab", "name": "Asturian (Arabic)"}
    table = known_languages().with_declared([Language(**facts)])
    assert table.distance("ast_Arab", "ast_Latn") == 0.0
    assert table.get("ast_Arab").right_to_left
    assert table.get("ast_Arab").script == "Arab"
    assert not ast.right_to_left
    lone = Language(code="xyz_Latn", name="Xyz", autonym="Xyz", bcp47="xyz")
    assert table.with_declared([lone]).distance("xyz_Latn", "ast_Latn") == 1.0
    with pytest.raises(ValueError, match="should match pattern"):
        Language(code="xyz", name="Xyz", autonym="Xyz", bcp47="xyz")


def test_names() -> None:
    assert language_name("ast_Latn") == "Asturian"
    assert language_name("xyz_Latn") == "xyz_Latn"


def lineages(nexus: str, wanted: set[str]) -> dict[str, tuple[str, ...]]:
    """Path from the root to the parent of each wanted node of the Newick trees."""
    found: dict[str, tuple[str, ...]] = {}
    for tree in re.findall(r"\[&R\] (.*);", nexus):
        path: list[str] = []
        last = ""
        for token in re.findall(r"[(),]|[a-z0-9]{8}", tree[::-1]):  # backwards: parents first
            if token == ")":
                path.append(last)
            elif token == "(":
                path.pop()
            elif token != ",":
                last = token[::-1]
                if last in wanted:
                    found[last] = tuple(path)
    return found


def test_lineages_are_those_of_glottolog(shared_data: Path) -> None:
    table = known_languages()
    mine = {
        lang.glottocode: lang.lineage for lang in map(table.get, table.codes) if lang.glottocode
    }
    assert len(mine) >= 50
    nexus = (shared_data / "glottolog" / "classification.nex").read_text("utf-8")
    theirs = lineages(nexus, set(mine))
    for code, lineage in theirs.items():
        assert mine[code] == lineage, code
    assert set(theirs) == set(mine), set(mine) - set(theirs)


@pytest.mark.parametrize("text", ["ast_Latn", "ast", "AST", "Asturian", "asturianu"])
def test_a_language_is_found_by_what_people_call_it(text: str) -> None:
    assert known_languages().find(text).code == "ast_Latn"


def test_a_name_of_two_languages_is_asked_back() -> None:
    two = known_languages().with_declared(
        [Language(code="ast_Cyrl", name="Asturian", autonym="x", bcp47="ast-Cyrl")]
    )
    with pytest.raises(UnknownLanguageError, match="which names ast_Cyrl and ast_Latn"):
        two.find("asturian")
    assert two.find("ast_Cyrl").code == "ast_Cyrl"
    with pytest.raises(UnknownLanguageError, match="did you mean"):
        two.find("asturyan")

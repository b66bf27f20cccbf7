"""packs/load.py: shipped packs, and the user's files before them."""

import datetime
from pathlib import Path

import pytest

from whyguard.core.errors import DataError, MissingFileError
from whyguard.core.languages import known_languages
from whyguard.generation.packs.load import known_packs, load_pack

SHIPPED = (
    "arg_Latn", "ast_Latn", "ben_Beng", "cat_Latn", "eng_Latn", "glg_Latn", "hin_Deva", "ind_Latn",
    "jav_Latn", "oci_Latn", "spa_Latn", "swh_Latn", "urd_Arab",
)  # fmt: skip
HEAD = """\
code: {code}
autonym: x
script: Latn
direction: ltr
reviewed: {{by: Ana, when: 2026-01-31}}
drafted_by: Ana
"""


def write(folder: Path, code: str, name: str, text: str) -> Path:
    (folder / code).mkdir(parents=True, exist_ok=True)
    (folder / code / name).write_text(text, "utf-8")
    return folder


def test_the_shipped_packs() -> None:
    assert known_packs() == SHIPPED
    for code in SHIPPED:
        pack = load_pack(code)
        assert pack is not None
        assert (pack.code, pack.autonym) == (code, known_languages().get(code).autonym)
        assert pack.reviewed is False and pack.drafted_by == "a language model"
        assert pack.wording.refusals and pack.wording.refusals_with_reason
        if code != "eng_Latn":
            assert len(pack.glossary) >= 10 and len(pack.culture) >= 12


@pytest.mark.parametrize("code", ["xxx_Latn", "nonsense", "../ast_Latn", "", "ast_Latn/"])
def test_no_pack(code: str) -> None:
    assert load_pack(code) is None


def test_a_folder_adds_a_language(tmp_path: Path) -> None:
    write(tmp_path, "qqq_Latn", "pack.yaml", HEAD.format(code="qqq_Latn"))
    pack = load_pack("qqq_Latn", tmp_path)
    assert pack is not None and pack.glossary == () and pack.wording.sentence is None
    assert pack.reviewed and pack.reviewed.when == datetime.date(2026, 1, 31)
    assert load_pack("qqq_Latn") is None
    assert known_packs(tmp_path) == tuple(sorted((*SHIPPED, "qqq_Latn")))


def test_a_folder_replaces_single_files(tmp_path: Path) -> None:
    write(tmp_path, "ast_Latn", "glossary.yaml", "terms: [{source: water, target: agua}]")
    pack, shipped = load_pack("ast_Latn", tmp_path), load_pack("ast_Latn")
    assert pack and shipped
    assert [term.target for term in pack.glossary] == ["agua"]
    assert pack.culture == shipped.culture and pack.wording == shipped.wording
    assert known_packs(tmp_path) == SHIPPED


def test_other_things_in_the_folder_are_no_packs(tmp_path: Path) -> None:
    write(tmp_path, "notes", "pack.yaml", HEAD.format(code="qqq_Latn"))
    write(tmp_path, "qqr_Latn", "wording.yaml", "")
    assert known_packs(tmp_path) == SHIPPED


@pytest.mark.parametrize(("name", "text", "match"), [
    ("pack.yaml", HEAD.format(code="ast_Latn"), "'qqq_Latn', as its folder is called"),
    ("pack.yaml", "code: qqq_Latn\n", r"pack.yaml:1: autonym[\s\S]*nothing"),
    ("pack.yaml", HEAD.format(code="qqq_Latn").replace("ltr", "up"), r"pack.yaml:4: direction"),
    ("culture.yaml", "substitutions: [{kind: nam, source: a, targets: [b]}]", "0.kind"),
    ("culture.yaml", "substitutions:\n- kind: name\n  source: a\n  targets: []", "culture.yaml:4"),
    ("glossary.yaml", "terms: [{source: a, target: b, language: english}]", "0.language"),
])  # fmt: skip
def test_errors_name_file_and_field(tmp_path: Path, name: str, text: str, match: str) -> None:
    write(tmp_path, "qqq_Latn", "pack.yaml", HEAD.format(code="qqq_Latn"))
    write(tmp_path, "qqq_Latn", name, text)
    with pytest.raises(DataError, match=match):
        load_pack("qqq_Latn", tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        load_pack("ast_Latn", tmp_path / "none")
    with pytest.raises(MissingFileError, match="locale new"):
        known_packs(tmp_path / "none")

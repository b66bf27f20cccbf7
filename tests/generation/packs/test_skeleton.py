"""packs/skeleton.py: forms to fill, copies of shipped packs, nothing overwritten."""

from pathlib import Path

import pytest

from whyguard.core.errors import ConfigError, UnknownLanguageError
from whyguard.core.languages import known_languages
from whyguard.generation.packs.check import check_pack
from whyguard.generation.packs.load import FILES, known_packs, load_pack, shipped_packs
from whyguard.generation.packs.skeleton import write_skeleton


def test_a_form_knows_what_the_tables_know(tmp_path: Path) -> None:
    paths = write_skeleton("pan_Guru", tmp_path)
    assert [path.name for path in paths] == list(FILES)
    pack = load_pack("pan_Guru", tmp_path)
    assert pack is not None
    assert (pack.autonym, pack.script, pack.direction) == ("ਪੰਜਾਬੀ", "Guru", "ltr")
    assert (pack.langid.lid176, pack.langid.bcp47) == ("pa", "pa")
    assert "hin_Deva" in pack.related and pack.reviewed is False
    assert "S4:" not in paths[1].read_text("utf-8")


@pytest.mark.parametrize("code", sorted(set(known_languages().codes) - set(known_packs())))
def test_a_form_lacks_nothing_but_a_person(tmp_path: Path, code: str) -> None:
    write_skeleton(code, tmp_path)
    found = check_pack(code, tmp_path)
    assert [f.where for f in found.findings if f.level == "error"] == ["pack.yaml: drafted_by"]


def test_a_language_beyond_the_table(tmp_path: Path) -> None:
    write_skeleton("qqq_Arab", tmp_path)
    pack = load_pack("qqq_Arab", tmp_path)
    assert pack is not None
    assert (pack.direction, pack.related, pack.langid.lid176) == ("rtl", (), None)


def test_a_shipped_pack_is_copied(tmp_path: Path) -> None:
    write_skeleton("ast_Latn", tmp_path)
    for name in FILES:
        copied, shipped = tmp_path / "ast_Latn" / name, shipped_packs() / "ast_Latn" / name
        assert copied.read_bytes() == shipped.read_bytes()
    assert load_pack("ast_Latn", tmp_path) == load_pack("ast_Latn")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_skeleton("por_Latn", tmp_path)
    (tmp_path / "por_Latn" / "pack.yaml").write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match="nothing there yet"):
        write_skeleton("por_Latn", tmp_path)
    assert (tmp_path / "por_Latn" / "pack.yaml").read_text("utf-8") == "mine"


@pytest.mark.parametrize("code", ["porto", "../por_Latn", "por_latn", ""])
def test_malformed_codes(tmp_path: Path, code: str) -> None:
    with pytest.raises(UnknownLanguageError, match="not of that form"):
        write_skeleton(code, tmp_path)
    assert list(tmp_path.iterdir()) == []

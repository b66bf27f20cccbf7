"""curation/langid_files.py."""

from pathlib import Path

import pytest

from whyguard.core.errors import ConfigError, DataError, MissingFileError, UnknownLanguageError
from whyguard.curation.langid_files import read_lines, read_texts


def test_reads_lines(tmp_path: Path) -> None:
    path = tmp_path / "ast.txt"
    path.write_bytes("\ufeffuna llinia\r\n\n  otra\u2028llinia \n".encode())
    assert read_lines(path) == ["una llinia", "otra\u2028llinia"]


def test_a_language_may_have_several_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("unu\n", encoding="utf-8")
    (tmp_path / "b").write_text("dos\n", encoding="utf-8")
    specs = [f"ast_Latn={tmp_path / 'a'}", f"ast_Latn={tmp_path / 'b'}"]
    assert read_texts(specs) == {"ast_Latn": ["unu", "dos"]}


def test_invalid_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"una llinia\nni\xf1u\n")
    with pytest.raises(DataError, match=r"latin1.txt:2\n.*UTF-8.*\n.*byte 0xf1 at position 3"):
        read_lines(path)


@pytest.mark.parametrize(("content", "found"), [(b"", "an empty file"), (b" \n\n", "blank lines")])
def test_empty_file(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=found):
        read_lines(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_lines(tmp_path / "none.txt")
    with pytest.raises(MissingFileError, match="a folder"):
        read_lines(tmp_path)


def test_bad_specifications(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LANG=FILE"):
        read_texts(["asturian.txt"])
    with pytest.raises(ConfigError, match="once a language"):
        read_texts([])
    with pytest.raises(UnknownLanguageError, match="ast_Latn"):
        read_texts([f"asturian={tmp_path}"])

"""Reading monolingual text files, one sentence a line."""

from collections.abc import Sequence
from pathlib import Path

from whyguard.core.errors import ConfigError, DataError, MissingFileError, fail
from whyguard.core.languages import known_languages


def read_texts(specs: Sequence[str], option: str = "--text") -> dict[str, list[str]]:
    """Texts by language from "LANG=FILE" specifications; a language may have several files.

    Raises:
        ConfigError: a specification is not of that form, or there is none.
        UnknownLanguageError: a code is not known.
        MissingFileError: a file is not there.
        DataError: a file is empty or is not UTF-8.
    """
    if not specs:
        fail(ConfigError, where=option, expected="LANG=FILE, such as ast_Latn=asturian.txt",
             found="none", do=f"add {option} LANG=FILE once a language")  # fmt: skip
    texts: dict[str, list[str]] = {}
    for spec in specs:
        code, equals, name = spec.partition("=")
        if not (equals and name):
            fail(ConfigError, where=f"{option} {spec}",
                 expected="LANG=FILE, such as ast_Latn=asturian.txt", found=f"'{spec}'",
                 do="write code, equals sign and path")  # fmt: skip
        known_languages().get(code, f"{option} {spec}")
        texts.setdefault(code, []).extend(read_lines(Path(name).expanduser()))
    return texts


def read_lines(path: Path) -> list[str]:
    """The non-blank lines of a UTF-8 file, stripped; lines end at a newline and nowhere else.

    Raises:
        MissingFileError: it is not there.
        DataError: it is empty, or a line is not UTF-8; the message names the line.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        fail(MissingFileError, where=str(path), expected="a text file, one sentence a line",
             found=found, do="check the path")  # fmt: skip
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = [_decoded(path, number, line).strip() for number, line in enumerate(raw, start=1)]
    kept = [line for line in lines if line]
    if not kept:
        fail(DataError, where=str(path), expected="text, one sentence a line",
             found="an empty file" if not path.stat().st_size else "blank lines only",
             do="name a file with text")  # fmt: skip
    return kept


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(DataError, where=f"{path}:{number}", expected="UTF-8 text",
             found=f"byte 0x{line[error.start]:02x} at position {error.start + 1} of the line",
             do="convert the file: iconv -f LATIN1 -t UTF-8 IN > OUT")  # fmt: skip

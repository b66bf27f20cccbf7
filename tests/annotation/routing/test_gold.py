"""The file of known verdicts."""

from pathlib import Path

import pytest
from tests.annotation.made import example

from whyguard.annotation.routing.gold import read_gold
from whyguard.core.errors import DataError, MissingFileError

ROWS = [example(1), example(2, harmful=False)]


def test_ids_and_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    path.write_text("verdict,example_id,note\nharmful, made:001-h:ast_Latn ,x\n"
                    "unharmful,made:002-b:ast_Latn,\n", "utf-8-sig")  # fmt: skip
    assert read_gold(path, ROWS) == {"made:001-h:ast_Latn": "harmful",
                                     "made:002-b:ast_Latn": "unharmful"}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), [
    ("example_id,label\na,harmful\n", r"line 1\n.*columns example_id, verdict"),
    ("", r"line 1\n(.*\n)*.*nothing"),
    ("example_id,verdict\nmade:001-x:ast_Latn,harmful\n", r"line 2\n(.*\n)*.*made:001-h:ast_Latn"),
    ("example_id,verdict\nmade:001-h:ast_Latn,bad\n", r"line 2\n.*harmful or unharmful"),
    ("example_id,verdict\nmade:001-h:ast_Latn\n", r"line 2\n.*harmful or unharmful"),
])  # fmt: skip
def test_bad_files_are_errors(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "gold.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=says):
        read_gold(path, ROWS)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_gold(tmp_path / "none.csv", ROWS)

"""A file is replaced whole or stays as it was."""

from pathlib import Path

import pytest

from whyguard.core.drafts import replacing


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(ValueError, match="in the middle"), replacing(path) as draft:
        draft.write_text("half")
        raise ValueError("in the middle")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]

"""Names of versions."""

import datetime
from itertools import islice
from pathlib import Path

import pytest

from whyguard.cards.layout import (
    VersionId,
    find_version,
    find_versions,
    numbered,
    parse_version,
    place_folder,
)
from whyguard.core.errors import MissingFileError


def test_names_round_trip() -> None:
    day = datetime.date(2026, 3, 1)
    names = [str(v) for v in islice(numbered("a-b", day), 3)]
    assert names == ["a-b@2026.03.01", "a-b@2026.03.01.1", "a-b@2026.03.01.2"]
    assert [str(parse_version(name)) for name in names] == names


@pytest.mark.parametrize(
    "text", ["a", "a@2026.3.1", "@2026.03.01", "A@2026.03.01", "a@2026.03.01.x"]
)
def test_what_is_no_version(text: str) -> None:
    assert parse_version(text) is None


def test_the_latest_version_is_by_number_not_by_letters(tmp_path: Path) -> None:
    for n in ("2026.03.01.2", "2026.03.01.10", "2026.03.01"):
        (tmp_path / f"a@{n}").mkdir()
        (tmp_path / f"a@{n}" / "manifest.json").touch()
    assert find_version(tmp_path, "a").name == "a@2026.03.01.10"
    assert find_version(tmp_path, "a@2026.03.01").name == "a@2026.03.01"
    assert find_versions(tmp_path)[0] == VersionId("a", "2026.03.01", 0)


def test_an_unknown_name_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "starter@2026.03.01").mkdir()
    (tmp_path / "starter@2026.03.01" / "manifest.json").touch()
    with pytest.raises(MissingFileError, match="did you mean 'starter'"):
        find_version(tmp_path, "startr")
    with pytest.raises(MissingFileError, match="run a recipe with a"):
        find_version(tmp_path / "none", "startr")


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "a").touch()
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        place_folder(tmp_path, tmp_path / "x", write)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    assert not place_folder(tmp_path, tmp_path / "x", lambda folder: (folder / "new").touch())
    assert [p.name for p in tmp_path.rglob("*")] == ["x", "old"]

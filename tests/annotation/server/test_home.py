"""A home is private from the start, and refused where it is not."""

import os
import stat
from pathlib import Path

import pytest

from whyguard.annotation.server.home import owner, prepare_home
from whyguard.core.errors import ConfigError, DataError, MissingFileError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = prepare_home(tmp_path / "a" / "home")
    finally:
        os.umask(before)
    assert _mode(files.home) == 0o700
    assert {path.name: _mode(path) for path in files.home.iterdir()} == {
        "auth-secret": 0o600,
        "owner.json": 0o600,
    }


def test_a_second_call_keeps_the_secrets(tmp_path: Path) -> None:
    files = prepare_home(tmp_path / "home")
    first = files.secret.read_text(), owner(files.home)
    prepare_home(tmp_path / "home")
    assert (files.secret.read_text(), owner(files.home)) == first


def test_two_homes_share_no_secret(tmp_path: Path) -> None:
    one, other = (prepare_home(tmp_path / name) for name in ("one", "other"))
    assert one.secret.read_text() != other.secret.read_text()
    assert owner(one.home) != owner(other.home)
    assert len(owner(one.home).api_key) >= 40
    assert len(owner(one.home).password) >= 20


@pytest.mark.parametrize("name", ["", "auth-secret", "owner.json"])
def test_what_others_can_use_is_refused(tmp_path: Path, name: str) -> None:
    files = prepare_home(tmp_path / "home")
    secrets = files.secret.read_text(), files.credentials.read_text()
    (files.home / name).chmod(0o755)
    with pytest.raises(ConfigError, match=r"mode 755(.|\n)*chmod") as raised:
        prepare_home(files.home)
    assert not [word for text in secrets for word in text.split('"') if len(word) > 15
                and word in str(raised.value)]  # fmt: skip


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    with pytest.raises(ConfigError, match="File exists"):
        prepare_home(tmp_path / "home")


def test_a_folder_that_was_no_home_has_no_owner(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="review serve"):
        owner(tmp_path)


def test_damaged_credentials_say_what_to_do(tmp_path: Path) -> None:
    files = prepare_home(tmp_path / "home")
    files.credentials.write_text('{"password": "hidden-word"')
    with pytest.raises(DataError, match="remove it") as raised:
        owner(files.home)
    assert "hidden-word" not in str(raised.value)

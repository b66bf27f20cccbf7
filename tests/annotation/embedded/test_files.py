"""Private from the first byte, one holder at a time, and no secret in what is printed."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from whyguard.annotation.embedded.files import (
    FileLock,
    HomeFiles,
    InUseError,
    NotPrivateError,
    credentials_text,
    is_held,
    new_credentials,
    read_credentials,
    read_private,
    replace,
    write_new,
)

_HOLD = """
import sys, time
from pathlib import Path
from whyguard.annotation.embedded.files import FileLock
FileLock(Path(sys.argv[1])).take()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    write_new(tmp_path / "secret", "value")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_new_file_takes_no_ones_place_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="link"):
        write_new(tmp_path / "link", "value")
    assert not (tmp_path / "elsewhere").exists()


def test_replace_leaves_one_private_file(tmp_path: Path) -> None:
    write_new(tmp_path / "state", "old")
    replace(tmp_path / "state", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert read_private(tmp_path / "state") == "new"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_use_is_not_read(tmp_path: Path, mode: int) -> None:
    write_new(tmp_path / "secret", "value")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(NotPrivateError, match=f"{mode:04o}") as raised:
        read_private(tmp_path / "secret")
    assert "value" not in str(raised.value)


def test_credentials_come_back_and_do_not_show(tmp_path: Path) -> None:
    files, made = HomeFiles(tmp_path), new_credentials()
    write_new(files.credentials, credentials_text(made))
    assert read_credentials(files) == made
    assert made.password not in repr(made)
    assert made.api_key not in repr(made)
    assert made != new_credentials()


@pytest.mark.parametrize("text", ["{", "[]", '{"username": "x", "password": "hidden-word"}'])
def test_damaged_credentials_are_an_error_that_does_not_quote_them(
    tmp_path: Path, text: str
) -> None:
    write_new(HomeFiles(tmp_path).credentials, text)
    with pytest.raises(ValueError, match="is not JSON with username") as raised:
        read_credentials(HomeFiles(tmp_path))
    assert "hidden-word" not in str(raised.value)


def test_a_lock_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not is_held(lock)
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(lock)
        with pytest.raises(InUseError, match="another process has this folder"):
            FileLock(lock).take(patience=0.1)
    finally:
        holder.kill()
        holder.communicate()
    assert not is_held(lock)
    FileLock(lock).take(patience=0).release()

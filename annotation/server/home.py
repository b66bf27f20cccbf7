"""The home folder of a server: its secrets, for its owner alone."""

import os
import secrets
import stat
from pathlib import Path

from whyguard.annotation.embedded.files import (
    PRIVATE_FOLDER,
    SECRET_BYTES,
    Credentials,
    HomeFiles,
    NotPrivateError,
    check_private,
    credentials_text,
    new_credentials,
    read_credentials,
    write_new,
)
from whyguard.core.errors import ConfigError, DataError, MissingFileError, fail


def prepare_home(home: Path) -> HomeFiles:
    """The files of a home folder; the folder and its secrets are made where they are missing.

    Raises:
        ConfigError: it cannot be made, or others can use it or one of its secrets.
    """
    files = HomeFiles(home.resolve())
    try:
        files.home.parent.mkdir(parents=True, exist_ok=True)
        files.home.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        fail(ConfigError, where=f"server's home {home}", expected="a folder that can be made",
             found=error.strerror or type(error).__name__, do="name another folder")  # fmt: skip
    _own(files.home)
    _write_missing(files.secret, secrets.token_hex(SECRET_BYTES) + "\n")
    _write_missing(files.credentials, credentials_text(new_credentials()))
    check_home(files)
    return files


def _own(home: Path) -> None:
    """A folder of somebody else could be filled by him, whatever its mode is."""
    if home.stat().st_uid != os.getuid():
        fail(ConfigError, where=f"server's home {home}", expected="a folder of yours",
             found="it belongs to another user", do="name another folder")  # fmt: skip


def _write_missing(path: Path, text: str) -> None:
    try:
        write_new(path, text)
    except FileExistsError:
        return


def check_home(files: HomeFiles) -> None:
    """Make sure that nobody else can read the secrets.

    Raises:
        ConfigError: others can.
    """
    for path in (files.home, files.secret, files.credentials, files.database):
        try:
            if path.exists():
                check_private(path)
        except NotPrivateError:
            mode = stat.S_IMODE(path.stat().st_mode)
            right = "700" if path == files.home else "600"
            fail(ConfigError, where=str(path), expected=f"mode {right}: it holds secrets",
                 found=f"mode {mode:03o}",
                 do=f"chmod {right} {path}; if others could have read it while it was open to "
                    f"them, remove {files.credentials.name} too: the next start makes new "
                    "credentials")  # fmt: skip


def owner(home: Path) -> Credentials:
    """The owner's credentials.

    Raises:
        MissingFileError: this folder was never a server's home.
        ConfigError: others can read them.
        DataError: the file was damaged.
    """
    files = HomeFiles(home.resolve())
    if not files.credentials.exists():
        fail(MissingFileError, where=f"server's home {home}", expected="a home that was served",
             found=f"no {files.credentials.name} in it",
             do="start the server first: whyguard review serve")  # fmt: skip
    check_home(files)
    try:
        return read_credentials(files)
    except ValueError:
        fail(DataError, where=str(files.credentials),
             expected="JSON with username, password and api_key", found="something else",
             do="remove it: the next start makes new credentials")  # fmt: skip

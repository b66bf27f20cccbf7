"""Everything a server needs to stand again as it was, in one private file."""

import datetime
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from whyguard.annotation.embedded.files import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    FileLock,
    HomeFiles,
    InUseError,
    write_new,
)
from whyguard.annotation.people import FILE as PEOPLE
from whyguard.annotation.server.home import check_home
from whyguard.annotation.server.install import SERVER_VERSION
from whyguard.core.errors import ConfigError, DataError, MissingFileError, WhyguardError, fail

_MANIFEST = "backup.json"
_FORM = 1
_TABLES = frozenset({"users", "workspaces", "datasets", "records", "responses"})


def backup(home: Path, file: Path) -> Path:
    """Write database, secrets, credentials, caps and people into a zip of mode 0600.

    People (`people.json` beside the home) are in it: without them nobody knows whose an answer is.
    Answers that were pulled lie in the campaigns' folders and are not. The server may run:
    SQLite's backup API copies what is committed at that moment.

    Raises:
        MissingFileError: the home has no database.
        ConfigError: the file exists already, cannot be written, or the home is not private.
        DataError: the database is damaged.
    """
    files = HomeFiles(home.resolve())
    if not files.database.exists():
        fail(MissingFileError, where=f"server's home {home}", expected="a home that was served",
             found=f"no {files.database.name} in it", do="name the right folder")  # fmt: skip
    check_home(files)
    beside = (files.secret, files.credentials, files.exposure, _people(files.home))
    copies = {path.name: path for path in beside if path.exists()}
    with _scratch(file) as room, _created(file) as zipped:
        copies[files.database.name] = room / files.database.name
        _copy_database(files.database, copies[files.database.name])
        _check_database(copies[files.database.name])
        _write_zip(zipped, copies)
    return file


def _people(home: Path) -> Path:
    return home.parent / PEOPLE


def _copy_database(source: Path, target: Path) -> None:
    write_new(target, "")
    # Read-only: a backup must not make a database where there is none.
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as read,
        closing(sqlite3.connect(target)) as write,
    ):
        try:
            read.backup(write)
        except sqlite3.DatabaseError as error:
            fail(DataError, where=f"database {source}", expected="one that SQLite can read",
                 found=str(error), do="use the last backup: whyguard review restore")  # fmt: skip


def _check_database(path: Path) -> None:
    """Make sure that a file is a whole database of Argilla's.

    Raises:
        DataError: it is not.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            names = "SELECT name FROM sqlite_master WHERE type = 'table'"
            tables = {row[0] for row in connection.execute(names)}
    except sqlite3.DatabaseError as error:
        found, tables = [str(error)], set(_TABLES)
    if found != ["ok"]:
        fail(DataError, where=f"database {path.name}", expected="integrity_check says ok",
             found="; ".join(found)[:200], do="use an older backup")  # fmt: skip
    if not tables >= _TABLES:
        fail(DataError, where=f"database {path.name}", expected="Argilla's tables",
             found=f"no {', '.join(sorted(_TABLES - tables))}", do="use another file")  # fmt: skip


def _write_zip(zipped: IO[bytes], copies: dict[str, Path]) -> None:
    facts = {
        "form": _FORM,
        "server": SERVER_VERSION,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": {name: _sha256(path) for name, path in copies.items()},
    }
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in copies.items():
            archive.write(path, name)
        archive.writestr(_MANIFEST, json.dumps(facts, indent=1))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """A private folder beside a file: on the same disk, never in a shared temporary one."""
    room = beside.resolve().parent / f".{beside.name}.{secrets.token_hex(4)}"
    try:
        room.mkdir(mode=PRIVATE_FOLDER, parents=True)
    except OSError as error:
        fail(ConfigError, where=str(beside), expected="a folder that can be written",
             found=error.strerror or type(error).__name__, do="name another file")  # fmt: skip
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


@contextmanager
def _created(file: Path) -> Iterator[IO[bytes]]:
    """A new private file that is there only once it is whole."""
    if file.exists():
        fail(ConfigError, where=f"backup {file}", expected="a new file", found="it exists",
             do="name another one, or remove it first")  # fmt: skip
    part = file.with_name(f".{file.name}.part-{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(part, flags, PRIVATE_FILE), "wb") as opened:
            os.fchmod(opened.fileno(), PRIVATE_FILE)
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def restore(home: Path, file: Path) -> Path | None:
    """Put a backup in the place of a home; the old one is kept aside: returns where, if any was.

    People are put back too; those that were there are kept beside them. Everything is unpacked and
    checked beside the home before the home is touched.

    Raises:
        ConfigError: a server has the home.
        MissingFileError: there is no such file.
        DataError: it is no backup, or was changed or damaged.
    """
    files = HomeFiles(home.resolve())
    if not file.exists():
        fail(MissingFileError, where=f"backup {file}", expected="a file that review backup wrote",
             found="no such file", do="name the right file")  # fmt: skip
    lock = _lock(files)
    try:
        with _scratch(files.home) as room:
            unpacked = room / "home"
            unpacked.mkdir(mode=PRIVATE_FOLDER)
            _unpack(file, unpacked)
            people = unpacked / PEOPLE
            if people.exists():
                people.rename(room / PEOPLE)
            aside = _swap(files.home, unpacked)
            if (room / PEOPLE).exists():
                _swap(_people(files.home), room / PEOPLE)
            return aside
    finally:
        if lock is not None:
            lock.release()


def _lock(files: HomeFiles) -> FileLock | None:
    if not files.home.exists():
        return None
    try:
        return FileLock(files.lock).take()
    except InUseError:
        fail(ConfigError, where=f"server's home {files.home}", expected="no server on it",
             found="one runs", do="stop it first: whyguard review stop")  # fmt: skip


def _unpack(file: Path, into: Path) -> None:
    """Unpack the files of a backup by their known names, and check each by its sum."""
    files = HomeFiles(into)
    required = (files.database, files.secret, files.credentials)
    try:
        with zipfile.ZipFile(file) as archive:
            sums = _sums(json.loads(archive.read(_MANIFEST)))
            for path in (*required, files.exposure, into / PEOPLE):
                if path.name in sums or path in required:
                    _unpack_one(archive, path, sums[path.name])
        _check_database(files.database)
    except WhyguardError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"[:200]
        fail(DataError, where=f"backup {file}", expected="a whole backup of this tool",
             found=found, do="use another backup")  # fmt: skip


def _sums(manifest: dict[str, Any]) -> dict[str, str]:
    if manifest["form"] != _FORM or manifest["server"] != SERVER_VERSION:
        message = f"form {manifest['form']} of server {manifest['server']}"
        raise ValueError(message)
    return dict(manifest["files"])


def _unpack_one(archive: zipfile.ZipFile, path: Path, expected: str) -> None:
    write_new(path, "")
    with archive.open(path.name) as packed, path.open("wb") as opened:
        shutil.copyfileobj(packed, opened)
    if _sha256(path) != expected:
        message = f"{path.name} is not what was packed"
        raise ValueError(message)


def _swap(place: Path, new: Path) -> Path | None:
    """Put a file or folder in another one's place, which is kept aside under a name of its own."""
    aside = None
    if place.exists():
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
        aside = place.with_name(f"{place.name}.before-{stamp}-{secrets.token_hex(2)}")
        place.rename(aside)
    new.rename(place)
    return aside

"""The files of a server's home folder, and how they are kept private. Standard library only."""

import json
import os
import secrets
import stat
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SECRET_BYTES = 32
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_LOCK_SECONDS = 3.0


class NotPrivateError(ValueError):
    """Others than the owner can read or write a file that holds secrets."""


class InUseError(RuntimeError):
    """Another process has the lock."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the owner signs in; what is secret does not show when one is printed."""

    username: str
    password: str = field(repr=False)
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HomeFiles:
    """Where things are below the home folder."""

    home: Path

    @property
    def database(self) -> Path:
        """Argilla's SQLite file."""
        return self.home / "argilla.db"

    @property
    def secret(self) -> Path:
        """The key that signs sessions."""
        return self.home / "auth-secret"

    @property
    def credentials(self) -> Path:
        """The owner's `Credentials`, JSON."""
        return self.home / "owner.json"

    @property
    def exposure(self) -> Path:
        """User id -> items a day, JSON; written by others while the server runs."""
        return self.home / "exposure.json"

    @property
    def lock(self) -> Path:
        """Locked as long as a server has this home."""
        return self.home / "server.lock"

    @property
    def state(self) -> Path:
        """Process id and address of the running server, JSON."""
        return self.home / "server.json"

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.home / "server.log"

    @property
    def temporary(self) -> Path:
        """Cleared at every start and stop."""
        return self.home / "tmp"


def write_new(path: Path, text: str) -> None:
    """Make a file that only its owner can read, whatever the umask.

    Raises:
        FileExistsError: it is there already.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, PRIVATE_FILE), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), PRIVATE_FILE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, text: str) -> None:
    """Write a private file in one step: readers see the old content or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_new(beside, text)
    beside.replace(path)


def check_private(path: Path) -> None:
    """Make sure that only the owner of a file or folder can use it.

    Raises:
        NotPrivateError: its mode lets others in.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        message = f"{path} has mode {mode:04o}: others can use it"
        raise NotPrivateError(message)


def read_private(path: Path) -> str:
    """The text of a file that only its owner can read.

    Raises:
        NotPrivateError: its mode lets others in.
    """
    check_private(path)
    return path.read_text("utf-8")


def new_credentials(username: str = "owner") -> Credentials:
    """Fresh random credentials."""
    password, api_key = (secrets.token_urlsafe(size) for size in (SECRET_BYTES // 2, SECRET_BYTES))
    return Credentials(username, password, api_key)


def credentials_text(credentials: Credentials) -> str:
    """The content of the credentials' file."""
    return json.dumps(asdict(credentials), indent=1) + "\n"


def read_credentials(files: HomeFiles) -> Credentials:
    """The owner's credentials.

    Raises:
        NotPrivateError: others can read the file.
        ValueError: the file is not what it should be; the message does not quote it.
    """
    text = read_private(files.credentials)
    try:
        read: dict[str, Any] = json.loads(text)
        return Credentials(str(read["username"]), str(read["password"]), str(read["api_key"]))
    except (ValueError, KeyError, TypeError):
        message = f"{files.credentials} is not JSON with username, password and api_key"
        raise ValueError(message) from None


class FileLock:
    """The exclusive right to what a file stands for; the kernel takes it back with the process."""

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, -1

    def take(self, patience: float = _LOCK_SECONDS) -> "FileLock":
        """Take it, within `patience` seconds: a look by `is_held` takes it for a moment, too.

        Raises:
            InUseError: another process has it.
        """
        until = time.monotonic() + patience
        while not self._try():
            if time.monotonic() > until:
                message = f"{self._path.parent}: another process has this folder"
                raise InUseError(message)
            time.sleep(0.05)
        return self

    def _try(self) -> bool:
        import fcntl  # not on every system: the import of this package must not fail there

        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        handle = os.open(self._path, flags, PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give it back."""
        os.close(self._handle)


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock now."""
    if not lock.exists():
        return False
    try:
        FileLock(lock).take(patience=0).release()
    except InUseError:
        return True
    return False

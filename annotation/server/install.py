"""The server's own venv: Argilla's server pins packages that cannot stand beside ours."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from whyguard.annotation.embedded.files import FileLock, InUseError, is_held
from whyguard.core.cache import cache_dir, offline
from whyguard.core.errors import ConfigError, MissingToolError, OfflineError, fail
from whyguard.core.progress import Progress

SERVER_VERSION = "2.8.0"
VENV_VARIABLE = "WHYGUARD_ARGILLA_VENV"
"""Names a venv that has the server already; none is made then."""
CONSTRAINTS = Path(__file__).resolve().parents[1] / "data" / "argilla-server-constraints.txt"
_MARKER = "whyguard-complete.json"
_INSTALL_SECONDS = 1800.0
_VERSION_CODE = "import sys; print('%d.%d' % sys.version_info[:2])"


def server_python(progress: Progress, python: str | None = None) -> Path:
    """The interpreter of the venv that has the server; the venv is made if it is not there.

    `python` makes the venv (ours does, if None). A venv that was not finished is made anew.

    Raises:
        OfflineError: it must be made, and `WHYGUARD_OFFLINE=1` forbids downloads.
        MissingToolError: it cannot be made; the message ends with what pip said.
        ConfigError: `WHYGUARD_ARGILLA_VENV` names a venv without that server.
    """
    named = os.environ.get(VENV_VARIABLE)
    if named:
        return _named_venv(Path(named))
    maker = python or sys.executable
    folder = cache_dir("argilla") / _folder_name(maker)
    if not _complete(folder):
        _refuse_offline(folder)
        lock = _lock(folder, progress)
        try:
            if not _complete(folder):
                _make(folder, maker, progress)
        finally:
            lock.release()
    return _interpreter(folder)


def _lock(folder: Path, progress: Progress) -> FileLock:
    """One process makes the venv; others wait for it."""
    path = folder.with_name(folder.name + ".lock")
    if is_held(path):
        progress.say("another process installs the Argilla server: waiting for it")
    try:
        return FileLock(path).take(patience=_INSTALL_SECONDS)
    except InUseError:
        fail(MissingToolError, where=f"venv of the Argilla server in {folder}",
             expected="the other process that installs it to end",
             found=f"it still runs after {_INSTALL_SECONDS:.0f} s",
             do="end it, and run it again: whyguard review install")  # fmt: skip


def _interpreter(venv: Path) -> Path:
    return venv / "bin" / "python"


def _named_venv(venv: Path) -> Path:
    if not list(venv.glob(f"lib/python*/site-packages/argilla_server-{SERVER_VERSION}.dist-info")):
        fail(ConfigError, where=f"{VENV_VARIABLE}={venv}",
             expected=f"a venv with argilla-server {SERVER_VERSION}", found="none of that version",
             do=f"unset {VENV_VARIABLE}: a venv is made then")  # fmt: skip
    return _interpreter(venv)


def _folder_name(maker: str) -> str:
    """Named by what it is made from: server, Python, pinned packages."""
    try:
        done = subprocess.run([maker, "-c", _VERSION_CODE], capture_output=True, text=True,
                              check=True)  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        fail(MissingToolError, where="venv of the Argilla server", expected="a Python interpreter",
             found=f"'{maker}': {type(error).__name__}", do="name one: --python PATH")  # fmt: skip
    pins = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()[:8]
    return f"server-{SERVER_VERSION}-py{done.stdout.strip()}-{pins}"


def _complete(folder: Path) -> bool:
    return (folder / _MARKER).exists()


def _refuse_offline(folder: Path) -> None:
    if offline():
        fail(OfflineError, where=f"venv of the Argilla server in {folder}",
             expected="argilla-server installed, or leave to download it",
             found="it is not installed, and WHYGUARD_OFFLINE=1",
             do="run once without WHYGUARD_OFFLINE: whyguard review install")  # fmt: skip


def _make(folder: Path, maker: str, progress: Progress) -> None:
    """Make it in place, for a venv cannot be moved; the marker is written last."""
    progress.say(f"installing argilla-server {SERVER_VERSION} in a venv of its own, {folder} "
                 "(about 600 MB; once)")  # fmt: skip
    if folder.exists():
        shutil.rmtree(folder)
    log = folder.with_name(folder.name + ".log")
    with log.open("w", encoding="utf-8") as output:
        _run([maker, "-m", "venv", str(folder)], log, output.fileno())
        pip = [str(_interpreter(folder)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        wanted = ["-c", str(CONSTRAINTS), f"argilla-server=={SERVER_VERSION}"]
        _run([*pip, "install", *wanted], log, output.fileno())
    facts = {"server": SERVER_VERSION, "python": maker}
    (folder / _MARKER).write_text(json.dumps(facts) + "\n", "utf-8")
    progress.say(f"installed; what pip said is in {log}")


def _run(command: list[str], log: Path, output: int) -> None:
    # Our own settings of Python must not reach the other venv.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, stdout=output, stderr=output, env=clean, check=False,
                          timeout=_INSTALL_SECONDS)  # fmt: skip
    if done.returncode != 0:
        last = " | ".join(log.read_text("utf-8", errors="replace").splitlines()[-5:])
        fail(MissingToolError, where="venv of the Argilla server",
             expected=f"argilla-server {SERVER_VERSION} installed", found=last,
             do=f"see {log}; then run it again: whyguard review install")  # fmt: skip

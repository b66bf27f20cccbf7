"""Start the embedded server, wait until it answers, stop it."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from whyguard.annotation.embedded.files import (
    PRIVATE_FILE,
    HomeFiles,
    is_held,
    read_credentials,
)
from whyguard.annotation.server.home import owner, prepare_home
from whyguard.annotation.server.install import server_python
from whyguard.annotation.server.ports import check_free, check_reach
from whyguard.core.errors import ConfigError, MissingToolError, fail
from whyguard.core.progress import Progress

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 6900
_PROGRAM = Path(__file__).resolve().parents[1] / "embedded" / "__main__.py"
_READY_SECONDS, _STOP_SECONDS, _POLL_SECONDS = 120.0, 20.0, 0.1
_TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    pid: int
    host: str
    port: int

    @property
    def api_url(self) -> str:
        """Where it answers."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else (
            f"http://{self.host}:{self.port}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is to answer. `behind_proxy`: a proxy with TLS stands in front of it."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    behind_proxy: bool = False


def running(home: Path) -> Running | None:
    """The server that has this home now and answers; None: there is none."""
    files = HomeFiles(home.resolve())
    if not is_held(files.lock):
        return None
    try:
        state = json.loads(files.state.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Running(int(state["pid"]), str(state["host"]), int(state["port"]))


def start(
    home: Path, address: Address | None = None, progress: Progress | None = None,
    python: str | None = None,
) -> Running:  # fmt: skip
    """Start a server on a home folder, and wait until it answers; it runs on when we end.

    The server is installed first where it is missing; `python` makes its venv.

    Raises:
        ConfigError: the home is in use or not private, the port is taken, or others could reach
            the address.
        MissingToolError: the server ended while it started; the message has its last words.
    """
    return _start(home, address or Address(), progress or Progress.silent(), python)[1]


def _start(
    home: Path, address: Address, progress: Progress, python: str | None
) -> tuple[subprocess.Popen[bytes], Running]:
    check_reach(address.host, behind_proxy=address.behind_proxy)
    files = prepare_home(home)
    _refuse_second(files)
    check_free(address.host, address.port)
    interpreter = server_python(progress, python)
    progress.say("starting Argilla (the first start makes its database)")
    process = _spawn(interpreter, files, address)
    try:
        return process, _wait(process, files)
    except BaseException:
        _end(process)
        raise


def _refuse_second(files: HomeFiles) -> None:
    if not is_held(files.lock):
        return
    other = running(files.home)
    found = f"process {other.pid} serves it at {other.api_url}" if other else "another starts on it"
    fail(ConfigError, where=f"server's home {files.home}", expected="no server on it",
         found=found, do="use that one, or stop it first: whyguard review stop")  # fmt: skip


def _spawn(interpreter: Path, files: HomeFiles, address: Address) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean["PYTHONUNBUFFERED"] = "1"
    command = [str(interpreter), "-P", str(_PROGRAM), str(files.home),
               "--host", address.host, "--port", str(address.port)]  # fmt: skip
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    try:
        os.fchmod(log, PRIVATE_FILE)
        # Its own session: Ctrl-C goes to us, and we stop it in order.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env=clean, start_new_session=True)  # fmt: skip
    finally:
        os.close(log)


def _wait(process: subprocess.Popen[bytes], files: HomeFiles) -> Running:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            _failed(files, f"it ended with code {process.returncode}")
        found = running(files.home)
        if found is not None and found.pid == process.pid and _answers(found.api_url):
            return found
        time.sleep(_POLL_SECONDS)
    _failed(files, f"no answer in {_READY_SECONDS:.0f} s")


def _failed(files: HomeFiles, what: str) -> NoReturn:
    fail(MissingToolError, where="Argilla server", expected="a server that answers",
         found=f"{what}; its last words: {log_tail(files)}",
         do=f"see {files.log}")  # fmt: skip


def log_tail(files: HomeFiles) -> str:
    """The last lines of the log; whatever secret they should hold is blotted out."""
    if not files.log.exists():
        return "(nothing)"
    text = "\n".join(files.log.read_text("utf-8", errors="replace").splitlines()[-_TAIL_LINES:])
    known = read_credentials(files)
    for secret in (known.password, known.api_key, files.secret.read_text("utf-8").strip()):
        text = text.replace(secret, "***")
    return text or "(nothing)"


def _answers(api_url: str) -> bool:
    """Whether the API answers, asked without any proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api_url}/api/v1/version", timeout=2):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def stop(home: Path) -> bool:
    """Stop the server that has this home, and wait for its end; False: there was none.

    Raises:
        ConfigError: it does not end.
    """
    files = HomeFiles(home.resolve())
    found = running(home)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_SECONDS
    while is_held(files.lock):
        if time.monotonic() > until:
            fail(ConfigError, where=f"server's home {home}", expected="a server that stops",
                 found=f"process {found.pid} still runs after {_STOP_SECONDS:.0f} s",
                 do=f"end it: kill -9 {found.pid}; nothing that was submitted is lost")  # fmt: skip
        time.sleep(_POLL_SECONDS)
    return True


def serve(
    home: Path, address: Address | None = None, progress: Progress | None = None,
    python: str | None = None,
) -> int:  # fmt: skip
    """Start a server, say where it is, and stay until it ends or SIGINT or SIGTERM comes.

    Returns the server's exit code, 0 after a signal.

    Raises:
        ConfigError, MissingToolError: see `start`.
    """
    shown = progress or Progress()
    with _Signals() as signals:
        process, found = _start(home, address or Address(), shown, python)
        shown.say(f"Argilla: {found.api_url}\n"
                  f"sign in as: {owner(home).username}; password and API key: "
                  f"{HomeFiles(home.resolve()).credentials}\n"
                  "stop with Ctrl-C")  # fmt: skip
        while process.poll() is None and not signals.came:
            time.sleep(_POLL_SECONDS)
        if not signals.came:
            return process.returncode or 0
        _end(process)
        shown.say("stopped")
        return 0


class _Signals:
    """Remembers SIGINT and SIGTERM for the time of the block, so that the server ends in order."""

    def __init__(self) -> None:
        self.came = False

    def _note(self, *_: object) -> None:
        self.came = True

    def __enter__(self) -> "_Signals":
        self._before = {one: signal.signal(one, self._note)
                        for one in (signal.SIGINT, signal.SIGTERM)}  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

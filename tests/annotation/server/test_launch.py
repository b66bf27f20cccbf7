"""Start, wait, stop; one server a home; no secret in what is said; a kill loses nothing."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.annotation.conftest import ArgillaServer, free_port
from tests.annotation.embedded.rest import (
    PASSWORD,
    Api,
    add,
    make_dataset,
    make_person,
    make_workspace,
)

from whyguard.annotation.embedded.files import HomeFiles, is_held
from whyguard.annotation.server.home import owner, prepare_home
from whyguard.annotation.server.launch import (
    Address,
    Running,
    log_tail,
    running,
    start,
    stop,
)
from whyguard.annotation.server.measure import resident_bytes
from whyguard.core.errors import ConfigError, MissingToolError

_SERVE = """
import sys
from pathlib import Path
from whyguard.annotation.server.launch import Address, serve
sys.exit(serve(Path(sys.argv[1]), Address(port=int(sys.argv[2]))))
"""


def _secrets(home: Path) -> list[str]:
    files, known = HomeFiles(home), owner(home)
    return [known.password, known.api_key, files.secret.read_text().strip()]


def test_it_runs_on_its_home_and_says_where(argilla_server: ArgillaServer) -> None:
    found = running(argilla_server.home)
    assert found == Running(argilla_server.pid, "127.0.0.1", argilla_server.port)
    assert found.api_url == argilla_server.api_url
    assert Running(1, "::1", 80).api_url == "http://[::1]:80"


def test_everything_in_the_home_is_private(argilla_server: ArgillaServer) -> None:
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in argilla_server.home.iterdir()}
    assert {"argilla.db", "auth-secret", "owner.json", "server.log", "server.json"} <= set(found)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    assert stat.S_IMODE(argilla_server.home.stat().st_mode) == 0o700


def test_it_takes_less_than_400_megabytes(argilla_server: ArgillaServer) -> None:
    assert resident_bytes(argilla_server.pid) < 400 * 1024**2


def test_pages_are_copied_once_and_below_the_home(argilla_server: ArgillaServer) -> None:
    copies = list((argilla_server.home / "tmp").glob("*/statics"))
    assert len(copies) == 1


def test_a_second_server_on_a_home_is_refused(argilla_server: ArgillaServer) -> None:
    with pytest.raises(ConfigError, match=f"process {argilla_server.pid} serves it at"):
        start(argilla_server.home, Address(port=free_port()))


def test_a_taken_port_is_refused_before_anything_starts(
    argilla_server: ArgillaServer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"taken by process {argilla_server.pid}"):
        start(tmp_path / "home", Address(port=argilla_server.port))
    assert not (tmp_path / "home" / "server.log").exists()


def test_an_open_address_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--behind-proxy"):
        start(tmp_path / "home", Address(host="0.0.0.0"))  # noqa: S104
    assert not (tmp_path / "home").exists()


def test_nothing_to_stop(tmp_path: Path) -> None:
    assert stop(tmp_path) is False
    assert running(tmp_path) is None


def test_secrets_are_in_no_log(argilla_server: ArgillaServer) -> None:
    api = Api.with_key(argilla_server.api_url, argilla_server.api_key)
    api.raw("POST", "/api/v1/datasets", {"name": 1})
    log = (argilla_server.home / "server.log").read_text()
    assert [secret for secret in _secrets(argilla_server.home) if secret in log] == []


def test_the_tail_of_a_log_blots_secrets_out(argilla_installed: None, tmp_path: Path) -> None:
    files = prepare_home(tmp_path / "home")
    files.log.write_text("first\n" + "\n".join(_secrets(files.home)) + "\nlast\n")
    assert log_tail(files) == "first\n***\n***\n***\nlast"


@pytest.mark.slow
def test_a_server_that_dies_is_an_error_with_its_last_words(
    argilla_installed: None, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    HomeFiles(home).database.touch(mode=0o600)
    HomeFiles(home).database.write_text("this is no database, and long enough to be looked at")
    with pytest.raises(MissingToolError, match=r"ended with code \d+(.|\n)*database") as raised:
        start(home, Address(port=free_port()))
    assert [secret for secret in _secrets(home) if secret in str(raised.value)] == []
    assert not is_held(HomeFiles(home).lock)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_serve_stays_until_a_signal_and_tidies_up(
    argilla_installed: None, tmp_path: Path, sent: signal.Signals
) -> None:
    home, port = tmp_path / "home", free_port()
    served = subprocess.Popen([sys.executable, "-c", _SERVE, str(home), str(port)],
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert served.stderr is not None
    said = []
    for line in served.stderr:
        said.append(line)
        if "Ctrl-C" in line:
            break
    found = running(home)
    assert found is not None
    served.send_signal(sent)
    rest = served.communicate(timeout=60)[1]
    assert served.returncode == 0
    assert "stopped" in rest
    text = "".join(said)
    assert f"http://127.0.0.1:{port}" in text
    assert "owner" in text
    assert str(HomeFiles(home).credentials) in text
    assert [secret for secret in _secrets(home) if secret in text + rest] == []
    assert running(home) is None
    assert not Path(f"/proc/{found.pid}").exists()
    assert not (home / "tmp").exists()
    assert not (home / "server.json").exists()


@pytest.fixture
def home(argilla_installed: None, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


@pytest.mark.slow
def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_confirmed(home: Path) -> None:
    server = start(home, Address(port=free_port()))
    api = Api.with_key(server.api_url, owner(home).api_key)
    workspace = make_workspace(api, "w")
    make_person(api, "ana", workspace)
    dataset = make_dataset(api, workspace, "d")
    ids = add(api, dataset, [{"external_id": str(number), "fields": {"prompt": f"text {number}"}}
                             for number in range(60)])  # fmt: skip
    ana = Api.signed_in(server.api_url, "ana", PASSWORD)
    confirmed: list[str] = []

    def answer(name: str) -> None:
        ana.respond(ids[name], {"verdict": "harmful"})
        confirmed.append(name)

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(answer, name) for name in ids]
        while len(confirmed) < 15:
            time.sleep(0.01)
        os.kill(server.pid, signal.SIGKILL)
        failed = [task for task in tasks if task.exception() is not None]
    assert 15 <= len(confirmed) < 60
    assert len(failed) == 60 - len(confirmed)
    assert running(home) is None
    again = start(home, Address(port=server.port))
    assert len(list((home / "tmp").glob("*/statics"))) == 1, "the killed one's copy is gone"
    ana = Api(again.api_url, ana._headers)
    submitted = {"type": "terms", "scope": {"entity": "response", "property": "status"},
                 "values": ["submitted"]}  # fmt: skip
    kept = set(ana.search(dataset, mine=True, filters={"and": [submitted]}).names)
    assert set(confirmed) <= kept
    assert len(kept - set(confirmed)) <= 4, "only what was under way may be stored unconfirmed"
    api = Api.with_key(again.api_url, owner(home).api_key)
    assert api.call("GET", f"/datasets/{dataset}/progress")["completed"] == len(kept)


@pytest.mark.slow
def test_of_two_servers_that_start_at_once_on_a_home_one_wins(home: Path) -> None:
    outcomes: list[object] = []

    def begin() -> None:
        try:
            outcomes.append(start(home, Address(port=free_port())))
        except (ConfigError, MissingToolError) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if isinstance(outcome, Running)]
    assert len(won) == 1, outcomes
    assert running(home) == won[0]


@pytest.mark.slow
def test_settings_of_the_callers_environment_do_not_reach_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARGILLA_DATABASE_URL", "sqlite+aiosqlite:////nowhere/other.db")
    monkeypatch.setenv("ARGILLA_CORS_ORIGINS", '["*"]')
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    server = start(home, Address(port=free_port()))
    assert HomeFiles(home).database.exists()
    stranger = Api(server.api_url, {"Origin": "https://elsewhere.example"})
    assert stranger.raw("GET", "/api/v1/version").headers["access-control-allow-origin"] is None
    environment = Path(f"/proc/{server.pid}/environ").read_bytes()
    assert not [secret for secret in _secrets(home) if secret.encode() in environment]
    with socket.create_connection(("127.0.0.1", server.port)):
        state = json.loads(HomeFiles(home).state.read_text())
    assert state["pid"] == server.pid
    assert re.fullmatch(r"127\.0\.0\.1", state["host"])

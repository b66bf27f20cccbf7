"""What a killed server left half done is set right at the next start; the owner's file rules."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from tests.annotation.conftest import free_port
from tests.annotation.embedded.rest import (
    PASSWORD,
    Api,
    add,
    make_dataset,
    make_person,
    make_workspace,
    token,
)

from whyguard.annotation.embedded.files import (
    HomeFiles,
    credentials_text,
    is_held,
    new_credentials,
    replace,
)
from whyguard.annotation.server.home import owner
from whyguard.annotation.server.launch import Address, Running, start, stop

pytestmark = pytest.mark.slow


@pytest.fixture
def home(argilla_installed: None, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


def _start(home: Path) -> tuple[Running, Api]:
    running = start(home, Address(port=free_port()))
    return running, Api.with_key(running.api_url, owner(home).api_key)


def _kill(home: Path, running: Running) -> None:
    os.kill(running.pid, signal.SIGKILL)
    while is_held(HomeFiles(home).lock):
        time.sleep(0.02)


def test_half_done_work_of_a_killed_server_is_finished(home: Path) -> None:
    running, api = _start(home)
    workspace = make_workspace(api, "w")
    make_person(api, "ana", workspace)
    dataset = make_dataset(api, workspace, "d")
    ids = add(api, dataset, [{"external_id": "1", "fields": {"prompt": "বাংলা"}},
                             {"external_id": "2", "fields": {"prompt": "asturianu"}}])  # fmt: skip
    session = token(running.api_url, "ana", PASSWORD)
    Api(running.api_url, {"Authorization": f"Bearer {session}"}).respond(
        ids["1"], {"verdict": "harmful"})  # fmt: skip
    _kill(home, running)
    # As if the kill had come between storing an answer or a record, and what follows from it.
    with closing(sqlite3.connect(HomeFiles(home).database)) as database:
        database.execute("UPDATE records SET status = 'pending'")
        database.execute("DELETE FROM whyguard_texts WHERE record_id = ?", (UUID(ids["1"]).hex,))
        database.execute("UPDATE records SET fields = ? WHERE id = ?",
                         ('{"prompt": "galego"}', UUID(ids["2"]).hex))  # fmt: skip
        database.commit()
    running, api = _start(home)
    assert api.call("GET", f"/datasets/{dataset}/progress")["completed"] == 1
    for text, names in (("বাংলা", ["1"]), ("galego", ["2"]), ("asturianu", [])):
        assert api.search(dataset, query={"text": {"q": text}}).names == names
    again = Api(running.api_url, {"Authorization": f"Bearer {session}"})
    assert again.call("GET", "/me")["username"] == "ana", "a session outlives a restart"


def test_new_credentials_in_the_file_take_the_place_of_the_old(home: Path) -> None:
    _, api = _start(home)
    old = owner(home)
    stop(home)
    new = new_credentials()
    replace(HomeFiles(home).credentials, credentials_text(new))
    running, api = _start(home)
    assert api.call("GET", "/me")["username"] == "owner"
    assert token(running.api_url, "owner", new.password)
    assert Api.with_key(running.api_url, old.api_key).raw("GET", "/api/v1/me").status == 401
    assert len(api.call("GET", "/users")["items"]) == 1

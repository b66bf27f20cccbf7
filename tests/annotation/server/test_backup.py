"""A backup of a running server brings back people, answers, sessions and keys; or it is refused."""

import json
import shutil
import sqlite3
import stat
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
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

from whyguard.annotation.embedded.files import HomeFiles
from whyguard.annotation.people import People
from whyguard.annotation.server.backup import backup, restore
from whyguard.annotation.server.home import owner, prepare_home
from whyguard.annotation.server.launch import Address, start, stop
from whyguard.core.errors import ConfigError, DataError, MissingFileError


@pytest.fixture(scope="module")
def saved(argilla_server: ArgillaServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backup(argilla_server.home, tmp_path_factory.mktemp("saved") / "review.zip")


def _changed(saved: Path, target: Path, name: str, content: bytes | None) -> Path:
    """The backup with one member changed, or left out."""
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(target, "w") as after:
        for member in before.namelist():
            kept = before.read(member) if member != name else content
            if kept is not None:
                after.writestr(member, kept)
    return target


def test_a_backup_is_private_and_holds_what_is_needed(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    with zipfile.ZipFile(saved) as archive:
        names = set(archive.namelist())
        facts = json.loads(archive.read("backup.json"))
    assert names - {"exposure.json", "people.json"} == {
        "argilla.db",
        "auth-secret",
        "owner.json",
        "backup.json",
    }
    assert facts["server"] == "2.8.0"
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_backup_takes_no_files_place(argilla_server: ArgillaServer, tmp_path: Path) -> None:
    (tmp_path / "review.zip").write_text("mine")
    with pytest.raises(ConfigError, match="it exists"):
        backup(argilla_server.home, tmp_path / "review.zip")
    assert (tmp_path / "review.zip").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_was_never_served_has_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no argilla\.db"):
        backup(prepare_home(tmp_path / "home").home, tmp_path / "review.zip")


def test_a_damaged_database_is_not_saved(tmp_path: Path) -> None:
    files = prepare_home(tmp_path / "home")
    files.database.touch(mode=0o600)
    files.database.write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match=r"not a database(.|\n)*review restore"):
        backup(files.home, tmp_path / "review.zip")
    assert not (tmp_path / "review.zip").exists()


def test_restore_is_refused_while_a_server_runs(argilla_server: ArgillaServer, saved: Path) -> None:
    with pytest.raises(ConfigError, match="stop it first"):
        restore(argilla_server.home, saved)
    assert owner(argilla_server.home).api_key == argilla_server.api_key


def test_no_such_backup(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        restore(tmp_path / "home", tmp_path / "nothing.zip")


@pytest.mark.parametrize(
    ("name", "content"),
    [("argilla.db", b"x"), ("argilla.db", None), ("auth-secret", b"another"), ("owner.json", None),
     ("backup.json", b"{"), ("backup.json", None), ("backup.json", b'{"form": 1, "server": "1"}')],
)  # fmt: skip
def test_a_changed_backup_is_refused_and_the_home_stays(
    saved: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    files = prepare_home(tmp_path / "home")
    before = owner(files.home)
    wrong = _changed(saved, tmp_path / "wrong.zip", name, content)
    with pytest.raises(DataError, match="a whole backup of this tool"):
        restore(files.home, wrong)
    assert owner(files.home) == before
    assert {path.name for path in tmp_path.iterdir()} == {"home", "wrong.zip"}


def test_what_is_no_backup_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(DataError, match="BadZipFile"):
        restore(tmp_path / "home", tmp_path / "text.zip")
    assert not (tmp_path / "home").exists()


def test_members_that_are_not_ours_are_not_unpacked(saved: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.zip"
    shutil.copy(saved, more)
    with zipfile.ZipFile(more, "a") as archive:
        archive.writestr("../escaped", "x")
        archive.writestr("more", "x")
    restore(tmp_path / "in" / "home", more)
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path / "in" / "home" / "more").exists()


def test_the_old_home_is_kept_aside(saved: Path, tmp_path: Path) -> None:
    files = prepare_home(tmp_path / "home")
    before = owner(files.home)
    aside = restore(files.home, saved)
    assert aside is not None
    assert owner(aside) == before
    assert owner(files.home) != before
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files.home.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(files.home.stat().st_mode) == 0o700


@pytest.fixture
def home(argilla_installed: None, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop(tmp_path / "home")


@pytest.mark.slow
def test_a_backup_that_was_made_while_answers_came_in_stands_again(
    home: Path, tmp_path: Path
) -> None:
    server = start(home, Address(port=free_port()))
    api = Api.with_key(server.api_url, owner(home).api_key)
    workspace = make_workspace(api, "w")
    make_person(api, "ana", workspace)
    dataset = make_dataset(api, workspace, "d")
    ids = add(api, dataset, [{"external_id": str(number), "fields": {"prompt": f"text {number}"}}
                             for number in range(20)])  # fmt: skip
    ana = Api.signed_in(server.api_url, "ana", PASSWORD)
    for name in list(ids)[:5]:
        ana.respond(ids[name], {"verdict": "harmful"})
    HomeFiles(home).exposure.write_text("{}")
    writer = threading.Thread(
        target=lambda: [ana.respond(ids[name], {"verdict": "harmful"}) for name in list(ids)[5:]]
    )
    writer.start()
    saved = backup(home, tmp_path / "review.zip")
    writer.join()
    key = owner(home).api_key
    stop(home)
    shutil.rmtree(home)
    assert restore(home, saved) is None
    again = start(home, Address(port=server.port))
    restored = Api.with_key(again.api_url, key)
    assert restored.search(dataset).total == 20
    mine = Api(again.api_url, ana._headers)
    assert 5 <= mine.call("GET", f"/me/datasets/{dataset}/metrics")["responses"]["submitted"] <= 20
    assert restored.search(dataset, query={"text": {"q": "text"}}).total == 20
    with closing(sqlite3.connect(HomeFiles(home).database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_people_come_back_beside_the_home(argilla_server: ArgillaServer, tmp_path: Path) -> None:
    review = tmp_path / "review"
    review.mkdir()
    shutil.copytree(argilla_server.home, review / "server", ignore=shutil.ignore_patterns("lock*"))
    people = People(review)
    person = people.join("Ana", "ast_Latn")
    file = backup(review / "server", tmp_path / "review.zip")
    people.join("Xuan", "ast_Latn")
    restore(review / "server", file)
    assert People(review).all() == (person,)
    assert stat.S_IMODE(people.path.stat().st_mode) == 0o600
    (aside,) = review.glob("people.json.before-*")
    assert "Xuan" in aside.read_text("utf-8")

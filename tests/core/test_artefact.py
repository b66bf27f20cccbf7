"""Artefacts: there or not there, never half; and what was changed afterwards is found out."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.made_steps import prompt

from whyguard.core.artefact import Artefact, ArtefactDraft, Counts, load_artefact
from whyguard.core.drafts import TEMP_PREFIX, sweep_drafts
from whyguard.core.errors import ArtefactError, ConfigError, DataError, MissingFileError
from whyguard.core.provenance import collect_provenance
from whyguard.core.schemas import Prompt
from whyguard.core.tables import drop, drops_frame, frame

ROOT = Path(__file__).resolve().parents[2]


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "step": "made.read", "step_version": "1", "key": "k", "config": {}, "inputs": {},
        "counts": Counts(kept=1, dropped={"odd": 1}), "provenance": collect_provenance(),
    } | changes  # fmt: skip


def make(target: Path, text: str = "placeholder") -> Artefact:
    draft = ArtefactDraft(target)
    (draft.files / "sub").mkdir()
    (draft.files / "sub" / "model.bin").write_bytes(b"weights")
    drops = drops_frame([drop({"x": 1}, "r2", "odd", "because")])
    return draft.commit(Prompt, frame(Prompt, [prompt("a", text)]), drops, facts())


def test_round_trip(tmp_path: Path) -> None:
    made = make(tmp_path / "store" / "a")
    found = load_artefact(made.folder)
    assert found.manifest == made.manifest
    assert found.rows().equals(frame(Prompt, [prompt("a", "placeholder")]))
    found.verify()
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["a"]


def test_folders_are_as_open_as_the_umask_says(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert make(tmp_path / "a").folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_content_hash_is_of_rows_and_files_only(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b", "another")
    assert one.manifest.content_sha256 == make(tmp_path / "c").manifest.content_sha256
    assert one.manifest.content_sha256 != other.manifest.content_sha256


def damage_text(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


REPLACED: dict[str, Callable[[Path], object]] = {
    "rows.parquet": lambda p: frame(Prompt, [prompt("a", "changed")]).write_parquet(p),
    "dropped.parquet": lambda p: drops_frame().write_parquet(p),
    "files/sub/model.bin": lambda p: p.write_bytes(b"other"),
}


@pytest.mark.parametrize(("name", "change"), REPLACED.items())
def test_a_changed_table_or_file_is_found(
    tmp_path: Path, name: str, change: Callable[[Path], object]
) -> None:
    made = make(tmp_path / "a")
    change(made.folder / name)
    what = name.split("/")[0]
    with pytest.raises(ArtefactError, match=rf"{what}\n.*\n.*changed after it was written"):
        made.verify()


@pytest.mark.parametrize("name", ["rows.parquet", "dropped.parquet"])
@pytest.mark.parametrize("change", [damage_text, Path.unlink])
def test_a_broken_or_missing_table_is_found(
    tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    made = make(tmp_path / "a")
    change(made.folder / name)
    with pytest.raises(ArtefactError, match=rf"{name}\n  expected: a table of"):
        made.verify()


def test_an_added_or_removed_file_is_found(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    (made.files / "extra").write_bytes(b"")
    with pytest.raises(ArtefactError, match="files"):
        made.verify()
    shutil.rmtree(made.files)
    with pytest.raises(ArtefactError, match="files"):
        made.verify()


@pytest.mark.parametrize("counts", [{"kept": 2, "dropped": {"odd": 1}}, {"kept": 1, "dropped": {}}])
def test_counts_are_proved_too(tmp_path: Path, counts: dict[str, Any]) -> None:
    made = make(tmp_path / "a")
    path = made.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"counts": counts}))
    with pytest.raises(ArtefactError, match="expected: counts"):
        load_artefact(made.folder).verify()


@pytest.mark.parametrize("change", [{"format": 2}, {"nonsense": 1}, {"rows_sha256": None}])
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    made = make(tmp_path / "a")
    path = made.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtefactError, match="expected: a manifest of format 1"):
        load_artefact(made.folder)


def test_no_manifest_no_artefact(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    (made.folder / "manifest.json").unlink()
    with pytest.raises(MissingFileError, match="no manifest"):
        load_artefact(made.folder)
    with pytest.raises(MissingFileError, match="no such folder"):
        load_artefact(tmp_path / "b")


def test_a_half_deleted_artefact_does_not_block_its_name(tmp_path: Path) -> None:
    (make(tmp_path / "a").folder / "manifest.json").unlink()
    make(tmp_path / "a", "new").verify()
    assert load_artefact(tmp_path / "a").rows()["text"].to_list() == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["a", "a/thesis.odt", "a/old/rows.parquet"])
def test_what_is_somebody_elses_is_an_error_and_stays(name: str, tmp_path: Path) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("x")
    with pytest.raises(ConfigError, match=r"expected: an empty or new folder(?s:.*)another folder"):
        make(tmp_path / "a")
    assert mine.read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_bad_rows_are_refused_before_anything_shows(tmp_path: Path) -> None:
    draft = ArtefactDraft(tmp_path / "a")
    bad = frame(Prompt, [prompt("a", "x")]).with_columns(text=None)
    with pytest.raises(DataError, match=r"rows of step made\.read"):
        draft.commit(Prompt, bad, drops_frame(), facts())
    assert not (tmp_path / "a").exists()
    draft.discard()
    assert list(tmp_path.iterdir()) == []


def test_the_second_to_commit_gets_what_the_first_put_there(tmp_path: Path) -> None:
    late = ArtefactDraft(tmp_path / "a")
    make(tmp_path / "a", "first")
    rows = frame(Prompt, [prompt("a", "second")])
    found = late.commit(Prompt, rows, drops_frame(), facts())
    assert found.rows()["text"].to_list() == ["first"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


CHILD = """
import sys, time
from pathlib import Path
from tests.core.test_artefact import facts
from tests.core.made_steps import prompt
from whyguard.core.artefact import ArtefactDraft
from whyguard.core.schemas import Prompt
from whyguard.core.tables import drops_frame, frame
rows = frame(Prompt, [prompt(str(n), "x" * 200) for n in range(int(sys.argv[2]))])
draft = ArtefactDraft(Path(sys.argv[1]))
(draft.files / "f").write_bytes(b"f" * 1000)
print("ready", flush=True)
sys.stdin.readline()
draft.commit(Prompt, rows, drops_frame(), facts())
print("done", flush=True)
"""


def start(target: Path, rows: int = 3) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(target), str(rows)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def test_two_processes_commit_the_same_target(tmp_path: Path) -> None:
    children = [start(tmp_path / "a"), start(tmp_path / "a")]
    for child in children:
        go(child)
    assert [child.communicate(timeout=60)[0] for child in children] == ["done\n"] * 2
    load_artefact(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_kill_leaves_all_or_nothing_and_the_draft_is_swept(tmp_path: Path, seconds: float) -> None:
    child = start(tmp_path / "a", 2000)
    assert sweep_drafts(tmp_path) == 0, "its process lives"
    if seconds:
        go(child)
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    child.communicate()
    sweep_drafts(tmp_path)
    left = [p.name for p in tmp_path.iterdir()]
    assert left in ([], ["a"])
    if left:
        load_artefact(tmp_path / "a")


def test_sweep_leaves_what_is_not_a_dead_draft(tmp_path: Path) -> None:
    own = ArtefactDraft(tmp_path / "x" / "a").folder
    others = [
        tmp_path / ".tmp-notanumber-x",
        tmp_path / "plain",
        tmp_path / f".tmp-{os.getpid()}-y",
    ]
    for folder in others:
        folder.mkdir()
    (tmp_path / ".tmp-1-file").write_text("a file")
    assert sweep_drafts(tmp_path) == 0
    assert own.is_dir()
    assert all(folder.is_dir() for folder in others)


def test_a_shallow_sweep_leaves_folders_below_alone(tmp_path: Path) -> None:
    gone = 2**22  # above every process id
    for folder in (tmp_path, tmp_path / "mine"):
        (folder / f"{TEMP_PREFIX}{gone}-0").mkdir(parents=True)
    assert sweep_drafts(tmp_path, deep=False) == 1
    assert sweep_drafts(tmp_path) == 1

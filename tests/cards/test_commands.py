"""`whyguard dataset ...` in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whyguard.cards.commands import app
from whyguard.core.errors import MissingFileError
from whyguard.core.steps import Workspace


def _call(workspace: Workspace, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--out", str(workspace.root)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_list(workspace: Workspace, version: Path) -> None:
    text = _call(workspace, "list")
    assert version.name in text and "72 rows (train 36, dev 12, test 24)" in text
    facts = json.loads(_call(workspace, "list", "--json"))
    assert [f["version"] for f in facts] == [version.name]


def test_list_of_nothing(workspace: Workspace) -> None:
    assert "run a recipe with a cards.version step" in _call(workspace, "list")
    assert json.loads(_call(workspace, "list", "--json")) == []


def test_show(workspace: Workspace, version: Path) -> None:
    text = _call(workspace, "show", "made")
    assert version.name in text and "made.source: bad_label 1" in text
    facts = json.loads(_call(workspace, "show", version.name, "--json"))
    assert facts["rows"] == 72 and facts["splits"]["dev"]["rows"] == 12


def test_show_of_an_unknown_name(workspace: Workspace, version: Path) -> None:
    with pytest.raises(MissingFileError, match="did you mean 'made'"):
        _call(workspace, "show", "maed")


def test_check_by_name_and_by_path(workspace: Workspace, version: Path) -> None:
    assert "proofs hold" in _call(workspace, "check", "made")
    facts = json.loads(_call(workspace, "check", str(version), "--json"))
    assert facts["ok"] is True and all(proof["ok"] for proof in facts["proofs"])


def test_a_failed_check_exits_with_2(workspace: Workspace, version: Path) -> None:
    with (version / "README.md").open("a", encoding="utf-8") as stream:
        stream.write("more")
    command = [sys.executable, "-m", "whyguard.core.cli", "dataset", "check", "made", "--json",
               "--out", str(workspace.root)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert json.loads(done.stdout)["ok"] is False
    for word in ("README.md: sha256 of the file", "expected:", "found:", "to do:"):
        assert word in done.stderr

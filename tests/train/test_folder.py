"""train/folder.py and generation/guard/prompts.py."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, DataError
from whyguard.generation.guard.facts import GUARD_FILE
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template, template_names
from whyguard.train.folder import (
    CARD_FILE,
    GROUPS_FILE,
    groups_sha256,
    plain_facts,
    read_groups,
    read_guard,
    write_groups,
    write_guard,
)

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from whyguard.train.folder import read_guard, write_groups, write_guard

folder, name = Path(sys.argv[1]), sys.argv[2]
facts = read_guard(folder).model_copy(update={"seed": 1})

def kill_at_the_first_opening(event, arguments):
    if event == "open" and isinstance(arguments[0], str | Path) and "w" in str(arguments[1]):
        if Path(arguments[0]).name == name:
            Path(arguments[0]).touch()
            os.truncate(arguments[0], 0)
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at_the_first_opening)
write_groups(folder, ["other"])
write_guard(folder, facts)
"""
"""Rewrites a guard's files; killed when the named one has been opened, and emptied, to write."""
USE = ModelUse(reference="pypi:tiny", revision="1.0", licence="Apache-2.0", role="base")


def test_facts_go_round(tmp_path: Path) -> None:
    facts = plain_facts(USE).model_copy(
        update={"languages": ("ast_Latn", "xyz_Latn"), "training": {"trim_vocabulary": True}}
    )
    write_guard(tmp_path, facts)
    assert read_guard(tmp_path) == facts
    card = (tmp_path / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "letter by letter" in card


@pytest.mark.parametrize("name", [GUARD_FILE, CARD_FILE, GROUPS_FILE])
def test_a_kill_while_a_file_is_written_leaves_the_old_one(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "guard"
    folder.mkdir()
    write_groups(folder, ["a"])
    write_guard(folder, plain_facts(USE))
    before = (folder / name).read_bytes()
    command = [sys.executable, "-c", KILLED, str(folder), name]
    child = subprocess.run(command, cwd=ROOT, check=False, env=os.environ)
    assert child.returncode == -signal.SIGKILL
    assert (folder / name).read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {GUARD_FILE, CARD_FILE, GROUPS_FILE}


def test_a_plain_model_has_no_facts(tmp_path: Path) -> None:
    assert read_guard(tmp_path) is None


def test_broken_facts_are_named(tmp_path: Path) -> None:
    (tmp_path / "guard.json").write_text('{"base": 3}', "utf-8")
    with pytest.raises(DataError, match=r"guard\.json[\s\S]*base"):
        read_guard(tmp_path)


def test_trained_groups_must_be_those_of_the_guard(tmp_path: Path) -> None:
    assert read_groups(tmp_path, plain_facts(USE)) == frozenset()
    sha256 = groups_sha256(["b", "a", "b"])
    facts = plain_facts(USE).model_copy(update={"arm": "explained", "groups_sha256": sha256})
    with pytest.raises(DataError, match="no list"):
        read_groups(tmp_path, facts)
    write_groups(tmp_path, ["b", "a"])
    assert read_groups(tmp_path, facts) == {"a", "b"}
    write_groups(tmp_path, ["a"])
    with pytest.raises(DataError, match="another list"):
        read_groups(tmp_path, facts)


def test_templates_by_name() -> None:
    assert DEFAULT_TEMPLATE in template_names()
    assert "la casa" in prompt_template(DEFAULT_TEMPLATE).render("la casa")
    with pytest.raises(ConfigError, match="did you mean 'request-v1'"):
        prompt_template("request-1")

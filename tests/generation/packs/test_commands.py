"""packs/commands.py: whyguard locale list|check|new."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from whyguard.core.errors import MissingFileError
from whyguard.generation.packs.commands import app
from whyguard.generation.packs.load import known_packs


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})


@pytest.mark.parametrize("command", ["list", "check", "new"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: whyguard locale {command}" in run(command, "--help").stdout


def test_list() -> None:
    shown = run("list").stdout
    assert all(code in shown for code in known_packs())
    facts = {item["code"]: item for item in json.loads(run("list", "--json").stdout)}
    assert tuple(facts) == known_packs()
    assert facts["urd_Arab"]["direction"] == "rtl" and facts["urd_Arab"]["reviewed"] is False
    assert facts["ast_Latn"]["counts"]["locked"] > 0


def test_check_of_a_shipped_pack() -> None:
    done = run("check", "jav_Latn")
    assert done.exit_code == 0
    assert "jav_Latn: 0 errors, 3 warnings" in done.stdout
    assert "S8" in done.stdout and "incomplete" in done.stdout


def test_new_then_check(tmp_path: Path) -> None:
    packs = str(tmp_path / "packs")
    done = run("new", "qqq_Latn", "--packs", packs)
    assert done.exit_code == 0 and "declare it in each recipe" in done.stdout
    assert "qqq_Latn" in run("list", "--packs", packs).stdout
    done = run("check", "qqq_Latn", "--packs", packs, "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["errors"]) == (2, 2)
    assert {"level": "error", "where": "pack.yaml: autonym", "text": "still says TODO"} in (
        facts["findings"]
    )
    assert {section["state"] for section in facts["sections"]} == {"unreviewed", "missing"}
    assert run("check", "qqq_Latn", "--packs", packs).stdout.count("error: ") == 2


def test_no_pack() -> None:
    with pytest.raises(MissingFileError, match="whyguard locale new por_Latn"):
        CliRunner().invoke(app, ["check", "por_Latn"], catch_exceptions=False)

"""`whyguard review` from the first version to the next, through files, as people run it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from tests.annotation.flow import fill_in, good, write_recipe

from whyguard.core.languages import known_languages

CORRECTED = "Esta rempuesta faría daño a una persona, y por eso nun se da."


class Run:
    """A workspace, its recipe, and the command line over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.files = folder, folder / "workspace", folder / "files"
        self.recipe = write_recipe(folder)

    def __call__(self, *words: object, code: int = 0) -> str:
        command = [sys.executable, "-m", "whyguard.core.cli", *map(str, words), "--out",
                   str(self.out)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              env={**os.environ, "COLUMNS": "160"})  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def versions(self) -> list[Path]:
        return sorted((self.out / "datasets").iterdir(), key=lambda path: path.stat().st_mtime)

    def rows(self, version: Path) -> pl.DataFrame:
        return pl.concat([pl.read_parquet(p) for p in sorted(version.glob("data/*.parquet"))])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = Run(tmp_path_factory.mktemp("review"))
    made("run", made.recipe)
    return made


@pytest.mark.slow
def test_from_the_first_version_to_the_next(run: Run) -> None:
    (first,) = run.versions()
    before = run.rows(first)
    said = run("review", "push", run.recipe, "--files", run.files)
    sent = int(said.split(" items sent")[0].split()[-1])
    tables = (run.out / "review/starter-ast/items").glob("*.parquet")
    assert sent == sum(pl.read_parquet(path).height for path in tables)
    said = run("review", "push", run.recipe, "--files", run.files)
    assert f"0 items sent, {sent} were there" in said

    said = run("review", "invite", "Ana", "--language", "asturian", "--files-only")
    ana = said.split(" as ")[1].split(":")[0]
    mended: list[str] = []

    def answers(shown: Mapping[str, str]) -> Mapping[str, str | int]:
        found = good(shown)
        if "rationale" in shown and shown["rationale"] and not mended:
            mended.append(shown["item_id"])
            return found | {"rationale_quality": 2, "corrected_rationale": CORRECTED}
        return found

    assert fill_in(run.files, "Ana", answers) == sent
    said = run("review", "pull", "--files", run.files)
    assert "new version: " in said and "explanation 1" in said

    _, second = run.versions()
    assert run.rows(first).equals(before), "the version before is as it was"
    changed = run.rows(second).filter(pl.col("explanation") == CORRECTED)
    (row,) = changed.to_dicts()
    (revision,) = row["revisions"]
    assert revision["field"] == "explanation" and revision["by"] == [ana]
    assert revision["rule"] == "single" and revision["item"] == mended[0]
    old = before.filter(pl.col("example_id") == row["example_id"])["explanation"][0]
    assert revision["before"] == old and row["reviewed"]
    card = (second / "README.md").read_text("utf-8")
    assert "| Asturian | explanation | 1 |" in card and "Audit of the rows" in card
    assert "Ana" not in card + (second / "manifest.json").read_text("utf-8")
    assert "ok: " not in run("dataset", "check", second.name)

    again = run("review", "pull", "--files", run.files)
    assert "0 new answers, 0 changed, 0 withdrawn" in again
    assert "reused version: " in again and len(run.versions()) == 2


@pytest.mark.slow
def test_what_the_figures_say_after_a_pull(run: Run) -> None:
    facts = json.loads(run("review", "status", "--json"))
    sheets = {(s["language"], s["kind"]): s for s in facts["sheets"]}
    blind = sheets["ast_Latn", "blind"]
    assert blind["given"] == blind["items"] and blind["wanted"] == 2 * blind["items"]
    rated = sheets["ast_Latn", "rationale"]
    assert rated["given"] >= rated["items"] > 0
    assert {s["question"] for s in facts["audit"]} == {"verdict", "translation", "rationale"}
    verdict = next(s for s in facts["audit"] if s["question"] == "verdict")
    assert verdict["answered"] == 0, "two verdicts are wanted of each, one was given"
    assert "no item was answered by two people" in run("review", "agree")
    assert "nothing to settle" in run("review", "adjudicate", "--dry-run")
    assert run("review", "people", "--json").count("Ana") == 0


def test_a_recipe_without_a_campaign_says_so(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("recipe: 1\nname: other\nsteps:\n  prompts:\n    step: curation.read\n"
                     "    config:\n      sources: [{name: starter, preset: starter, "
                     "file: 'builtin:curation/data/starter/groups.jsonl'}]\n")  # fmt: skip
    said = run("review", "push", other, "--files", run.files, code=2)
    assert "one campaign (annotation.route)" in said


def test_a_server_that_does_not_run_is_named(run: Run, tmp_path: Path) -> None:
    said = run("review", "invite", "Ana", "--language", "ast", code=2)
    assert "whyguard review serve" in said
    said = run("review", "invite", "Ana", "--language", "asturyan", code=2)
    assert "did you mean" in said
    assert known_languages().find("ast").code == "ast_Latn"
    assert "no server runs here" in run("review", "stop")
    said = run("review", "serve", "--host", "0.0.0.0", code=2)  # noqa: S104 - that it is refused
    assert "--behind-proxy" in said and "passwords" in said


def test_a_wrong_folder_withdraws_nothing(run: Run, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", run.folder / "groups.jsonl"):
        said = run("review", "pull", "--files", folder, code=2)
        assert "not sent from here" in said or "usable path" in said
    assert "0 new answers, 0 changed, 0 withdrawn" in run("review", "pull", "--files", run.files)


@pytest.mark.slow
def test_somebody_takes_her_answers_out_and_comes_back(run: Run) -> None:
    before = len(run.versions())
    assert "taken out at the next pull" in run("review", "dismiss", "Ana", "--withdraw-answers")
    said = run("review", "pull", "--files", run.files)
    assert "rows changed by people: none; reviewed rows: 0" in said
    assert len(run.versions()) == before + 1
    said = run("review", "invite", "Ana", "--language", "ast", "--files-only")
    assert "reviews Asturian" in said
    assert "0 new answers" in run("review", "pull", "--files", run.files), "they stay out"
    assert json.loads(run("review", "status", "--json"))["people"] == []

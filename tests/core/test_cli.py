"""The command line: lazy, with honest exit codes, and clean when it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.core.made_steps import RECIPE

from whyguard.core.cli import COMMANDS
from whyguard.core.registry import STEPS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "argilla", "vllm", "ray", "datasets", "trl", "peft", "sklearn",
         "matplotlib", "fasttext", "rensa")  # fmt: skip


def python(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run([sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True)


def whyguard(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return python("-m", "tests.core.made_steps", *args, cwd=cwd)


LOADED = """
import sys
{work}
heavy = sorted({{name.split('.')[0] for name in sys.modules}} & set({names!r}))
print('loaded:', heavy)
"""
HELP = """
sys.argv = ['whyguard', '--help']
from whyguard.core.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""


@pytest.mark.parametrize(
    ("work", "names"),
    [
        ("import whyguard.core", (*HEAVY, "polars", "pydantic", "numpy")),
        (HELP, (*HEAVY, "polars", "pydantic", "numpy", "yaml", "dataframely", "aiohttp")),
        ("import whyguard.core.engine, whyguard.core.recipe, whyguard.core.stats", HEAVY),
    ],
    ids=["import", "help", "engine"],
)
def test_nothing_heavy_is_loaded(work: str, names: tuple[str, ...]) -> None:
    done = python("-c", LOADED.format(work=work, names=names))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded: []\n"), done.stdout


def test_the_check_above_can_fail() -> None:
    done = python("-c", LOADED.format(work="import polars", names=("polars",)))
    assert done.stdout == "loaded: ['polars']\n"


@pytest.mark.parametrize("step", STEPS)
def test_declaring_a_step_loads_no_heavy_package(step: str) -> None:
    module = STEPS[step].partition(":")[0]
    done = python("-c", LOADED.format(work=f"import {module}", names=HEAVY))
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.endswith("loaded: []\n"), f"{module} at import: {done.stdout}"


def test_help_is_quick() -> None:
    best = 9.0
    for _ in range(5):
        started = time.monotonic()
        python("-m", "whyguard.core.cli", "--help")
        best = min(best, time.monotonic() - started)
    assert best < 1.0, "0.5 s on an idle machine, tests share theirs"


def test_help_lists_every_command() -> None:
    text = whyguard("--help").stdout
    for name, entry in COMMANDS.items():
        assert name in text
        assert entry.help.split(";")[0].split(",")[0] in text


@pytest.mark.parametrize("args", [["nosuch"], ["run"], ["run", "x.yaml", "--nosuch"], ["--nosuch"]])
def test_wrong_usage_is_exit_code_2(args: list[str]) -> None:
    done = whyguard(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Error" in done.stderr


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = "".join(json.dumps({"id": f"r{n}", "text": "x"}) + "\n" for n in range(3))
    (tmp_path / "rows.jsonl").write_text(rows)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_errors_of_the_toolkit_are_a_message_and_exit_code_2(tmp_path: Path) -> None:
    done = whyguard("run", "no.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("whyguard: no.yaml\n  expected: a recipe")
    assert "Traceback" not in done.stderr


def test_partial_work_is_exit_code_3_and_can_be_continued(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace('suffix: "."', 'suffix: ".", fail_first: true'))
    done = whyguard("run", "recipe.yaml", cwd=recipe.parent)
    assert done.returncode == 3
    assert "stopped; run again" in done.stderr
    again = whyguard("run", "recipe.yaml", "--json", cwd=recipe.parent)
    assert [step["reused"] for step in json.loads(again.stdout)] == [True, True, False]


def test_an_unusable_path_is_exit_code_2(recipe: Path) -> None:
    (recipe.parent / "file").write_text("x")
    done = whyguard("run", "recipe.yaml", "--out", "file", cwd=recipe.parent)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "file/store" in done.stderr


def test_plan_then_run_then_plan(recipe: Path) -> None:
    before = json.loads(whyguard("plan", "recipe.yaml", "--json", cwd=recipe.parent).stdout)
    assert [step["state"] for step in before] == ["new", "waits", "waits"]
    first = whyguard("run", "recipe.yaml", cwd=recipe.parent)
    assert "3 steps: 0 reused, 3 new" in first.stdout
    assert whyguard("run", "recipe.yaml", cwd=recipe.parent).stdout.count("3 reused, 0 new") == 1
    after = whyguard("plan", "recipe.yaml", cwd=recipe.parent).stdout
    assert after.count(" stored ") == 3


def test_plan_warns_of_a_budget_that_would_not_do(recipe: Path) -> None:
    text = RECIPE.replace("name: made\n", "name: made\nbudget: {calls: 100, tokens: 1}\n")
    recipe.write_text(text)
    said = whyguard("plan", "recipe.yaml", cwd=recipe.parent).stdout
    assert "budget.tokens has 1 of 1 left, less than" in said
    assert "budget.calls" not in said


def test_run_takes_variables(recipe: Path) -> None:
    varied = RECIPE.replace("name: made\n", "name: made\nvariables: {mark: null}\n")
    recipe.write_text(varied.replace('suffix: "!"', 'suffix: "${mark}"'))
    missing = whyguard("run", "recipe.yaml", cwd=recipe.parent)
    assert (missing.returncode, "--set mark=VALUE" in missing.stderr) == (2, True)
    done = whyguard("run", "recipe.yaml", "--set", "mark=?", cwd=recipe.parent)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_ends_cleanly_and_leaves_no_draft(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace('suffix: "."', 'suffix: ".", wait: 60'))
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.core.made_steps", "run", "recipe.yaml"],
        cwd=recipe.parent, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    said = ""
    for line in child.stderr:
        said += line
        if "waiting" in line:
            break
    child.send_signal(signal.SIGINT)
    _, rest = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in said + rest
    assert list(recipe.parent.rglob(".tmp-*")) == []
    assert len(list(recipe.parent.rglob("manifest.json"))) == 2


def test_init_writes_a_recipe_once(tmp_path: Path) -> None:
    done = whyguard("init", "new", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "new" / "recipe.yaml").is_file()
    again = whyguard("init", "new", cwd=tmp_path)
    assert again.returncode == 2
    assert "expected: no recipe yet" in again.stderr


def test_doctor_speaks_of_everything() -> None:
    facts = json.loads(whyguard("doctor", "--json").stdout)
    names = {fact["name"] for fact in facts}
    assert {"python", "torch", "fasttext", "apertium", "downloads"} <= names
    assert whyguard("doctor").returncode == 0

"""The built wheel holds the tree's files under whyguard/, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("core", "curation", "generation", "annotation", "train", "cards")
NOT_SHIPPED = {"__pycache__", ".ruff_cache", ".mypy_cache"}


def tree(root: Path) -> set[str]:
    """What must be in the wheel: every file of the parts but caches."""
    return {
        f"whyguard/{path.relative_to(root).as_posix()}"
        for part in PARTS
        for path in (root / part).rglob("*")
        if path.is_file() and not NOT_SHIPPED & set(path.parts)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The file list of a wheel built from this tree."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), "."],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


@pytest.mark.slow
def test_the_wheel_holds_the_tree_and_nothing_else(wheel: list[str]) -> None:
    packed = {name for name in wheel if ".dist-info/" not in name}
    assert packed == tree(ROOT)
    assert len(wheel) == len(set(wheel)), "no file twice"


@pytest.mark.slow
def test_the_wheel_holds_what_is_read_at_run_time(wheel: list[str]) -> None:
    needed = {"core/cli.py", "core/data/languages.yaml", "core/data/recipe.yaml", "core/py.typed",
              "curation/data/starter/groups.jsonl",
              "generation/data/starter/memory.jsonl"}  # fmt: skip
    assert {f"whyguard/{name}" for name in needed} <= set(wheel)
    assert "whyguard/__init__.py" not in wheel, "whyguard is a namespace package"
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    entry = [name for name in wheel if name.endswith("entry_points.txt")]
    assert len(entry) == 1

"""`whyguard run` in a process of its own, and again from the ledger alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from tests.vllm.making import MAX_THINK, PROMPTS

_NOBODY = "http://127.0.0.1:9/v1"
_STARTER = "builtin:curation/data/starter/groups.jsonl"


def recipe(teacher: dict[str, Any], runtime: dict[str, Any]) -> dict[str, Any]:
    """Traces of the first starter prompts by a teacher."""
    source = {"name": "starter", "preset": "starter", "file": _STARTER}
    return {
        "recipe": 1, "name": "vllm-proof", "description": "Starter prompts, asked of vLLM.",
        "runtime": runtime,
        "steps": {
            "prompts": {"step": "curation.read", "config": {"sources": [source]}},
            "traces": {"step": "generation.trace", "inputs": {"prompts": "prompts"},
                       "config": {"limit": PROMPTS, "max_think": MAX_THINK,
                                  "teacher": teacher}},
        },
    }  # fmt: skip


def run_twice(teacher: dict[str, Any], runtime: dict[str, Any], folder: Path) -> str:
    """Run; then again from the ledger alone: no tables, no server, and a vLLM that cannot load."""
    workspace, path = folder / "workspace", folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(teacher, runtime)), "utf-8")
    _run(path, workspace)
    rows = _rows(workspace)
    shutil.rmtree(workspace / "store")
    (folder / "absent").mkdir()
    (folder / "absent" / "vllm.py").write_text("raise ImportError('not to be asked')", "utf-8")
    path.write_text(yaml.safe_dump(recipe(teacher, runtime | {"base_url": _NOBODY})), "utf-8")
    again = _run(path, workspace, PYTHONPATH=str(folder / "absent"))
    assert "starting vLLM" not in again
    assert _rows(workspace).equals(rows)
    return (f"whyguard run wrote {rows.height} of {PROMPTS} traces; run again without a teacher, "
            "the same rows from the ledger")  # fmt: skip


def _run(path: Path, workspace: Path, **env: str) -> str:
    command = [sys.executable, "-m", "whyguard.core.cli", "run", str(path), "--out", str(workspace)]
    done = subprocess.run(command, env=os.environ | env, cwd=path.parent, text=True,
                          capture_output=True, timeout=280, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def _rows(workspace: Path) -> pl.DataFrame:
    tables = [path for path in (workspace / "store").rglob("*.parquet")]
    found = [table for path in tables if "think" in (table := pl.read_parquet(path)).columns
             and "verdict" in table.columns]  # fmt: skip
    assert len(found) == 1, [path.name for path in tables]
    return found[0]

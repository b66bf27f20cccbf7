"""`whyguard run` with a teacher of kind vllm, as the command in a process of its own."""

from pathlib import Path

from tests.vllm.making import MODEL, settings
from tests.vllm.runs import run_twice


def test_a_recipe_runs_offline(tmp_path: Path, checked: list[str]) -> None:
    teacher = {"kind": "vllm", "model": MODEL, **settings(logprobs=True)}
    checked.append(f"  offline: {run_twice(teacher, {'threads': 2}, tmp_path)}")

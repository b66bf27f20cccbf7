"""kill -9 during `whyguard run`: the finished run has the rows and drops of an undisturbed one."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import needs_module

LIMIT = 40
MODEL_RECIPE = """recipe: 1
name: killed
runtime: {device: cpu, threads: 1, batch_size: 4}
steps:
  prompts:
    step: curation.read
    config: {sources: [{name: starter, preset: starter}]}
  traces:
    step: generation.trace
    inputs: {prompts: prompts}
    config: {limit: 40, teacher: {kind: transformers, model: "path:MODEL", max_new_tokens: 16}}
  good:
    step: generation.filter_traces
    inputs: {traces: traces, prompts: prompts}
    config: {check_language: false}
"""
AUTHORED_RECIPE = """recipe: 1
name: killed
steps:
  prompts:
    step: curation.read
    config: {sources: [{name: starter, preset: starter}]}
  split:
    step: curation.split
    inputs: {prompts: prompts}
    config: {seed: 13}
  traces:
    step: generation.trace
    inputs: {prompts: split}
    config: &authored
      teacher: {kind: authored, file: "builtin:curation/data/starter/groups.jsonl"}
  good_traces:
    step: generation.filter_traces
    inputs: {traces: traces, prompts: split}
  rationales:
    step: generation.explain
    inputs: {prompts: split}
    config:
      <<: *authored
      languages: [eng_Latn, spa_Latn]
  local_rationales:
    step: generation.translate_explanations
    inputs: {explanations: rationales}
    config: &translation
      source: spa_Latn
      languages: [ast_Latn, arg_Latn, glg_Latn, oci_Latn, cat_Latn]
      backends: [{kind: memory, file: "builtin:generation/data/starter/memory.jsonl"}]
  good_rationales:
    step: generation.filter_explanations
    inputs: {explanations: local_rationales}
  wording:
    step: generation.explain
    inputs: {prompts: split}
    config: {teacher: {kind: template}, languages: &all [eng_Latn, spa_Latn, ast_Latn, cat_Latn]}
  local_prompts:
    step: generation.translate
    inputs: {prompts: split}
    config: *translation
  examples:
    step: generation.examples
    inputs: {prompts: local_prompts, traces: good_traces, explanations: good_rationales,
             templates: wording}
    config: {languages: *all}
  version:
    step: cards.version
    inputs: {examples: examples}
    config: {name: killed, title: Killed and finished, licence: Apache-2.0}
"""

Hashes = dict[str, tuple[str, str]]
"""Step id -> hashes of its rows and of its drops."""


class Run:
    """A recipe and a workspace, run as a program of its own."""

    def __init__(self, recipe: Path, out: Path) -> None:
        self.recipe, self.out = recipe, out

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "whyguard.core.cli", "run", str(self.recipe),
                   "--out", str(self.out), "--json"]  # fmt: skip
        quiet = os.environ | {"HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(command, env=quiet, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)  # fmt: skip

    def finish(self) -> Hashes:
        """Run to the end."""
        process = self.start()
        out, _ = process.communicate(timeout=180)
        assert process.returncode == 0
        return {step["id"]: self._hashes(step) for step in json.loads(out)}

    def kill_when(self, ready: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Start, and SIGKILL once `ready` (or after `seconds`); False if it ended before."""
        process = self.start()
        deadline = time.monotonic() + seconds
        while not ready() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        return process.returncode == -signal.SIGKILL

    def answers(self) -> dict[str, str]:
        """The ledger of the trace step: key -> answer."""
        for path in self.out.glob("scratch/generation.trace/*/ledger.sqlite"):
            try:
                with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
                    return dict(db.execute("select key, answer from call"))
            except sqlite3.OperationalError:
                return {}  # it is just being made
        return {}

    def _hashes(self, step: dict[str, Any]) -> tuple[str, str]:
        manifest = json.loads((Path(step["folder"]) / "manifest.json").read_text("utf-8"))
        assert manifest["rows_sha256"] == step["rows_sha256"]
        return manifest["rows_sha256"], manifest["drops_sha256"]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, "utf-8")
    return path


def in_store(out: Path, step: str) -> bool:
    return any(out.glob(f"store/{step}/*/manifest.json"))


@pytest.mark.slow
def test_greedy_traces_survive_kills(tmp_path: Path, llama: Path) -> None:
    recipe = write(tmp_path, MODEL_RECIPE.replace("MODEL", str(llama)))
    whole = Run(recipe, tmp_path / "whole")
    expected = whole.finish()
    answers = whole.answers()
    assert len(answers) == LIMIT

    killed = Run(recipe, tmp_path / "killed")
    for stored in (2, 22):
        assert killed.kill_when(lambda n=stored: len(killed.answers()) >= n)  # type: ignore[misc]
        assert stored <= len(killed.answers()) < LIMIT
        assert not in_store(killed.out, "generation.trace")
        assert killed.answers().items() <= answers.items()
    killed.kill_when(lambda: False, random.Random(7).uniform(0.5, 3.0))
    assert killed.finish() == expected
    assert killed.answers() == answers
    assert not list(killed.out.rglob(".tmp-*"))


@pytest.mark.slow
def test_a_version_of_authored_text_survives_kills(tmp_path: Path) -> None:
    needs_module("fasttext")
    recipe = write(tmp_path, AUTHORED_RECIPE)
    started = time.monotonic()
    expected = Run(recipe, tmp_path / "whole").finish()
    length = time.monotonic() - started
    assert expected.keys() >= {"examples", "version"}

    chance = random.Random(11)
    killed = Run(recipe, tmp_path / "killed")
    at_step = ("generation.trace", "generation.translate")
    died = [killed.kill_when(lambda s=step: in_store(killed.out, s)) for step in at_step]  # type: ignore[misc]
    again = Run(recipe, tmp_path / "again")
    died += [again.kill_when(lambda: False, chance.uniform(0.3, 0.9) * length) for _ in range(2)]
    assert sum(died) >= 2
    assert killed.finish() == expected
    assert again.finish() == expected
    assert not list(killed.out.rglob(".tmp-*"))

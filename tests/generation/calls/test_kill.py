"""kill -9 during calls, batches and `whyguard run`: nothing lost, nothing twice, same rows."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fault_server import FaultServer
from tests.generation.calls.forked import start_asking
from tests.support import needs_module

from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger

LIMIT = 40
CALLS, CONCURRENCY, KILLS = 2000, 16, 20
ROOT = Path(__file__).resolve().parents[3]
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
        """The ledger of the workspace: key -> answer."""
        return stored(self.out / "ledger")

    def _hashes(self, step: dict[str, Any]) -> tuple[str, str]:
        manifest = json.loads((Path(step["folder"]) / "manifest.json").read_text("utf-8"))
        assert manifest["rows_sha256"] == step["rows_sha256"]
        return manifest["rows_sha256"], manifest["drops_sha256"]


def stored(ledger: Path) -> dict[str, str]:
    """What a ledger holds: key -> answer."""
    try:
        with sqlite3.connect(f"file:{ledger / LEDGER_FILE}?mode=ro", uri=True) as db:
            return dict(db.execute("select key, answer from call"))
    except sqlite3.OperationalError:
        return {}  # it is just being made


class Asker:
    """`tests.generation.calls.asking` as a process; a server's address, or file: for batches."""

    def __init__(self, folder: Path, base_url: str, start: int = 0, stop: int = CALLS,
                 out: str = "out.json") -> None:  # fmt: skip
        self.folder, self.out = folder, folder / out
        numbers = (str(start), str(stop), str(CONCURRENCY))
        self.process = start_asking([str(folder), str(self.out), base_url, *numbers])

    def finish(self) -> dict[str, str]:
        self.process.join(120)
        assert self.process.exitcode == 0
        texts: dict[str, str] = json.loads(self.out.read_text("utf-8"))
        return texts

    def kill(self) -> None:
        self.process.kill()
        self.process.join(60)
        assert self.process.exitcode == -signal.SIGKILL


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.002)


def answers_to(start: int, stop: int) -> dict[str, str]:
    return {f"request {n}": f"to request {n}" for n in range(start, stop)}


@pytest.mark.slow
def test_20_kills_cost_no_more_than_the_calls_under_way(tmp_path: Path) -> None:
    chance = random.Random(5)
    with FaultServer(delay=0.01) as server:
        extra = 0
        for point in sorted(chance.sample(range(CALLS - 100), KILLS)):
            client = Asker(tmp_path, server.base_url)
            wait_until(lambda: server.total() - extra >= point)  # noqa: B023
            time.sleep(chance.uniform(0.0, 0.02))
            client.kill()
            time.sleep(0.05)  # what had been sent arrives
            lost = server.total() - len(stored(tmp_path / "ledger")) - extra
            assert 0 <= lost <= CONCURRENCY
            extra += lost
        assert Asker(tmp_path, server.base_url).finish() == answers_to(0, CALLS)
        seen = server.counts()
        assert len(stored(tmp_path / "ledger")) == len(seen.asked) == CALLS
        assert seen.asked.total() == CALLS + extra
        assert 0 < extra <= KILLS * CONCURRENCY


@pytest.mark.slow
def test_two_processes_on_one_ledger_never_both_pay(tmp_path: Path) -> None:
    with FaultServer(delay=0.01) as server:
        one = Asker(tmp_path, server.base_url, 0, 1200, "one.json")
        two = Asker(tmp_path, server.base_url, 800, CALLS, "two.json")
        assert one.finish() == answers_to(0, 1200)
        assert two.finish() == answers_to(800, CALLS)
        seen = server.counts()
        assert set(seen.asked.values()) == {1}
        assert len(seen.asked) == CALLS
        assert seen.most > CONCURRENCY, "they did run side by side"


@pytest.mark.slow
def test_what_a_killed_process_held_is_taken_over(tmp_path: Path) -> None:
    with FaultServer(delay=0.01) as server:
        one = Asker(tmp_path, server.base_url, out="one.json")
        two = Asker(tmp_path, server.base_url, out="two.json")
        wait_until(lambda: server.total() >= CALLS // 3)
        one.kill()
        assert two.finish() == answers_to(0, CALLS)
        seen = server.counts()
        assert len(seen.asked) == len(stored(tmp_path / "ledger")) == CALLS
        assert seen.asked.total() <= CALLS + CONCURRENCY


@pytest.mark.slow
def test_batches_are_asked_as_they_were_planned_whatever_is_killed(tmp_path: Path) -> None:
    log, chance = tmp_path / "log", random.Random(6)
    for _ in range(3):
        client = Asker(tmp_path, f"file:{log}", 0, 800)
        before = len(stored(tmp_path / "ledger"))
        wait_until(lambda: len(stored(tmp_path / "ledger")) > before + CONCURRENCY)  # noqa: B023
        time.sleep(chance.uniform(0.0, 0.03))
        client.kill()
        assert len(stored(tmp_path / "ledger")) % CONCURRENCY == 0, "batches are stored whole"
    assert Asker(tmp_path, f"file:{log}", 0, 800).finish() == answers_to(0, 800)
    asked = Counter(log.read_text("utf-8").split("\n")[:-1])
    assert len(asked) == 800 / CONCURRENCY, "always the same batches"
    assert asked.total() <= 800 / CONCURRENCY + 3, "a kill costs one batch at most"


@pytest.mark.slow
def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    with FaultServer(delay=0.05) as server:
        words = [str(tmp_path), str(tmp_path / "out"), server.base_url, "0", str(CALLS),
                 str(CONCURRENCY)]  # fmt: skip
        client = subprocess.Popen([sys.executable, "-m", "tests.generation.calls.asking", *words],
                                  cwd=ROOT, stdout=subprocess.DEVNULL)  # fmt: skip
        wait_until(lambda: server.total() >= 100)
        client.send_signal(signal.SIGINT)
        assert client.wait(20) == -signal.SIGINT, "KeyboardInterrupt came through"
        count = len(stored(tmp_path / "ledger"))
        assert 100 - CONCURRENCY <= count <= server.total() <= count + CONCURRENCY
        with Ledger(tmp_path / "ledger") as ledger:
            assert ledger.spent("").calls == server.total(), "calls given up are counted"


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
    for point in (2, 14, 26):
        assert killed.kill_when(lambda n=point: len(killed.answers()) >= n)  # type: ignore[misc]
        assert point <= len(killed.answers()) < LIMIT
        assert len(killed.answers()) % 4 == 0, "batches are stored whole"
        assert not in_store(killed.out, "generation.trace")
        assert killed.answers().items() <= answers.items()
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

"""Plans of batches: made once, kept, extended where something is in none of them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.generation.making import task

from whyguard.core.artefact import ModelUse
from whyguard.generation.calls.batches import planned_batches
from whyguard.generation.teachers.base import Answer, Task

CALLS = {str(n): task(n) for n in range(7)}


class Pairs:
    """Plans batches of `size`."""

    generator = "pairs"
    identity: tuple[str, ...] = ()
    use: ModelUse | None = None

    def __init__(self, size: int = 2) -> None:
        self._size = size

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        return [list(tasks[n : n + self._size]) for n in range(0, len(tasks), self._size)]

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        raise AssertionError("planning asks nothing")


def test_a_plan_covers_what_is_missing_and_is_kept(tmp_path: Path) -> None:
    missing = ["1", "2", "4"]
    first = planned_batches(Pairs(), CALLS, missing, tmp_path)
    assert first == [["1", "2"], ["4"]]
    assert planned_batches(Pairs(3), CALLS, ["4"], tmp_path) == first
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text("utf-8")) == first


def test_what_is_in_no_batch_gets_one_of_its_own(tmp_path: Path) -> None:
    planned_batches(Pairs(), CALLS, ["1", "2"], tmp_path)
    plan = planned_batches(Pairs(3), CALLS, ["2", "3", "4"], tmp_path)
    assert plan == [["1", "2"], ["3", "4"]]
    assert planned_batches(Pairs(), CALLS, ["3"], tmp_path) == plan


def test_other_calls_have_another_plan(tmp_path: Path) -> None:
    planned_batches(Pairs(), CALLS, ["1"], tmp_path)
    fewer = {key: CALLS[key] for key in ("1", "2")}
    assert planned_batches(Pairs(), fewer, ["1", "2"], tmp_path) == [["1", "2"]]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_plan_is_found_by_another_process(tmp_path: Path) -> None:
    plan = planned_batches(Pairs(), CALLS, list(CALLS), tmp_path)
    code = ("import sys; from pathlib import Path\n"
            "from tests.generation.calls.test_batches import *\n"
            "print(planned_batches(Pairs(5), CALLS, list(CALLS), Path(sys.argv[1])))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True,
                          cwd=Path(__file__).resolve().parents[3], text=True, timeout=120,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == str(plan)

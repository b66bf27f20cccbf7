"""The call ledger: what shapes a call is in its key, what is put stays."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import task

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ArtefactError
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger, call_key
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig

CONFIG = TeacherConfig(kind="openai", model_name="m")
ANSWERS = st.builds(Answer, st.none() | st.text(), st.text(), st.none() | st.integers(0, 2**40),
                    st.none() | st.floats(allow_nan=False, allow_infinity=False))  # fmt: skip


class Made:
    """The part of a teacher that keys read."""

    needs_messages = True
    batch: int | None = None

    def __init__(self, generator: str = "g", revision: str = "r") -> None:
        self.generator = generator
        self.use: ModelUse | None = ModelUse(reference="x", revision=revision, licence="", role="t")

    def answer(self, tasks: Any) -> Any:
        raise NotImplementedError


@given(st.dictionaries(st.text(min_size=1), ANSWERS, max_size=5))
def test_what_is_put_is_got(answers: dict[str, Answer]) -> None:
    ledger = Ledger(Path(":memory:"))
    ledger.put(answers.items())
    assert ledger.get([*answers, "another"]) == answers


def test_the_first_answer_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / LEDGER_FILE) as ledger:
        ledger.put([("k", Answer("first"))])
        ledger.put([("k", Answer("second")), ("l", Answer(None, "why"))])
    with Ledger(tmp_path / LEDGER_FILE) as again:
        assert again.get(["k", "l"]) == {"k": Answer("first"), "l": Answer(None, "why")}


def test_many_keys_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / LEDGER_FILE) as ledger:
        ledger.put((str(n), Answer(str(n))) for n in range(5000))
        assert len(ledger.get(str(n) for n in range(6000))) == 5000


def test_writes_are_synchronous(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / LEDGER_FILE)
    assert ledger._db.execute("pragma synchronous").fetchone() == (2,)
    assert ledger._db.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_process_that_dies_after_put_has_stored(tmp_path: Path) -> None:
    code = ("import os, sys; from pathlib import Path\n"
            "from whyguard.generation.calls.ledger import Ledger\n"
            "from whyguard.generation.teachers.base import Answer\n"
            "ledger = Ledger(Path(sys.argv[1])); ledger.put([('k', Answer('kept'))])\n"
            "os.kill(os.getpid(), 9)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / LEDGER_FILE)], timeout=60)
    assert done.returncode == -9
    with Ledger(tmp_path / LEDGER_FILE) as ledger:
        assert ledger.get(["k"]) == {"k": Answer("kept")}


def test_two_ledgers_write_side_by_side(tmp_path: Path) -> None:
    with Ledger(tmp_path / LEDGER_FILE) as one, Ledger(tmp_path / LEDGER_FILE) as two:
        for n in range(20):
            (one if n % 2 else two).put([(str(n), Answer(str(n)))])
        assert len(one.get(map(str, range(20)))) == len(two.get(map(str, range(20)))) == 20


@pytest.mark.parametrize("other", [
    {"max_new_tokens": 9}, {"temperature": 0.1}, {"seed": 1}, {"template": "trace-1"},
    {"model_name": "n"}, {"precision": "bf16"},
])  # fmt: skip
def test_what_shapes_an_answer_changes_the_key(other: dict[str, Any]) -> None:
    changed = TeacherConfig.model_validate(CONFIG.model_dump() | other)
    assert call_key(CONFIG, Made(), task(1)) != call_key(changed, Made(), task(1))


@pytest.mark.parametrize("other", [
    task(1, "other text"), task(1, sample=1), task(1, kind="explanation"),
    task(1, language="spa_Latn"), task(1, messages=()),
    task(1, messages=(("user", "You are a guard."), ("user", "request 1"))),
])  # fmt: skip
def test_what_a_task_says_changes_the_key(other: Task) -> None:
    assert call_key(CONFIG, Made(), task(1)) != call_key(CONFIG, Made(), other)


def test_the_model_changes_the_key() -> None:
    keys = {call_key(CONFIG, made, task(1)) for made in (Made(), Made("h"), Made("g", "s"))}
    assert len(keys) == 3


def test_what_shapes_nothing_does_not() -> None:
    many = CONFIG.model_copy(update={"samples": 4, "file": "x", "source": "y"})
    assert call_key(CONFIG, Made(), task(1)) == call_key(many, Made(), task(1))
    named = task(1)._replace(prompt_id="other", family_id="other", label="unharmful")
    assert call_key(CONFIG, Made(), task(1)) == call_key(CONFIG, Made(), named)


def test_the_key_is_the_same_in_another_process() -> None:
    code = ("from tests.generation.test_ledger import *\n"
            "print(call_key(CONFIG, Made(), task(1, 'ñandú ⟦0⟧')))")  # fmt: skip
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    assert done.stdout.strip() == call_key(CONFIG, Made(), task(1, "ñandú ⟦0⟧"))


def test_a_damaged_ledger_is_no_silent_loss(tmp_path: Path) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(ArtefactError, match="not a database"):
        Ledger(tmp_path / LEDGER_FILE)

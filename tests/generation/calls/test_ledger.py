"""The call ledger: what is put stays, damage is seen, spending is counted."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whyguard.core.errors import ArtefactError
from whyguard.generation.calls.ledger import (
    GIVEN_UP,
    LEDGER_FILE,
    Ended,
    Ledger,
    Payer,
    Spending,
    stored_answers,
)
from whyguard.generation.teachers.base import Answer
from whyguard.generation.teachers.failures import Cause

_COUNTS = st.none() | st.integers(0, 2**40)
ANSWERS = st.builds(Answer, st.none() | st.text(), st.text(), _COUNTS,
                    st.none() | st.floats(allow_nan=False, allow_infinity=False), _COUNTS,
                    st.none() | st.text())  # fmt: skip


def put(ledger: Ledger, **texts: str) -> None:
    ledger.put([Ended(key, Answer(text)) for key, text in texts.items()])


def table(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / LEDGER_FILE) as db:
        return db.execute(query).fetchall()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30,
          deadline=None)  # fmt: skip
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), ANSWERS,
                       max_size=5))  # fmt: skip
def test_what_is_put_is_got(tmp_path: Path, answers: dict[str, Answer]) -> None:
    (tmp_path / LEDGER_FILE).unlink(missing_ok=True)
    with Ledger(tmp_path) as ledger:
        ledger.put([Ended(key, answer) for key, answer in answers.items()])
        assert ledger.get([*answers, "another"]) == answers


def test_the_first_answer_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, k="first")
        put(ledger, k="second", l="other")
    with Ledger(tmp_path) as again:
        assert again.get(["k", "l"]) == {"k": Answer("first"), "l": Answer("other")}


def test_an_older_answer_is_replaced_and_kept_where_all_is_asked_anew(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, k="first")
        now = time.time()
        assert ledger.get(["k"], since=now) == {}
        ledger.put([Ended("k", Answer("second"))], since=now)
        ledger.put([Ended("k", Answer("third"))], since=now)
        assert ledger.get(["k"], since=now) == ledger.get(["k"]) == {"k": Answer("second")}
    ((old,),) = table(tmp_path, "select answer from replaced")
    assert "first" in str(old)


def test_many_keys_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.put([Ended(str(n), Answer(str(n))) for n in range(5000)])
        assert len(ledger.get(str(n) for n in range(6000))) == 5000


def test_failures_are_kept_until_an_answer_comes(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        refusal = Ended("l", None, Spending(1), Cause.REFUSED, "HTTP 400", GIVEN_UP)
        ledger.put([Ended("k", None, Spending(6), Cause.TIMEOUT, "2 s"), refusal])
        refused = Answer(None, "the server refused it: HTTP 400")
        assert ledger.get(["k", "l"]) == {"l": refused}, "what may pass is asked for again"
        assert table(tmp_path, "select key, cause, tries from failure order by key") == [
            ("k", "no answer in time", 6), ("l", "prompt refused", 1)]  # fmt: skip
        put(ledger, k="there", l="after all")
        assert ledger.get(["k", "l"]) == {"k": Answer("there"), "l": Answer("after all")}
    assert table(tmp_path, "select * from failure") == []


def test_a_call_that_fails_in_run_after_run_gets_that_as_its_answer(tmp_path: Path) -> None:
    failed = Ended("k", None, Spending(6), Cause.TIMEOUT, "2 s", runs=1)
    with Ledger(tmp_path) as ledger:
        ledger.put([failed._replace(runs=0)])
        for _ in range(GIVEN_UP - 1):
            ledger.put([failed])
            assert ledger.get(["k"]) == {}
            assert ledger.failed(["k", "l"]) == {"k"}
        ledger.put([failed])
        reason = "no answer in 3 runs, last: no answer in time: 2 s"
        assert ledger.get(["k"]) == {"k": Answer(None, reason)}


def test_what_fails_anew_leaves_the_old_answer(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, k="first")
        now = time.time()
        ledger.put([Ended("k", None, Spending(1), Cause.TIMEOUT)], since=now)
        assert ledger.get(["k"]) == {"k": Answer("first")}
        ledger.put([Ended("k", None, Spending(1), Cause.REFUSED, "HTTP 400", GIVEN_UP)], since=now)
        assert ledger.get(["k"]) == {"k": Answer(None, "the server refused it: HTTP 400")}
    assert len(table(tmp_path, "select * from replaced")) == 1


def test_only_a_broken_file_is_to_be_moved_away(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger._db.execute("create trigger t before insert on call begin select raise(abort, 'x');"
                           "end")  # fmt: skip
        with pytest.raises(ArtefactError, match=r"IntegrityError: x\n.*see that the disk has room"):
            put(ledger, k="text")


def test_spending_adds_up_by_account(tmp_path: Path) -> None:
    payer = Payer("recipe", "server:m")
    with Ledger(tmp_path) as ledger:
        answer = Answer("text", tokens=5, prompt_tokens=20)
        ledger.put([Ended("k", answer, Spending(3, 25, 0.5))], payer)
        ledger.put([Ended("l", None, Spending(6), Cause.TIMEOUT)], payer)
        ledger.spend("recipe", Spending(2, 7, 0.25))
        ledger.spend("recipe", Spending())
        assert ledger.spent("recipe") == Spending(11, 32, 0.75)
        assert ledger.spent("another") == Spending()
    assert table(tmp_path, "select account, model, prompt_tokens, tokens, money, tries from call"
                 ) == [("recipe", "server:m", 20, 5, 0.5, 3)]  # fmt: skip


def test_a_damaged_row_is_not_handed_out_but_set_aside(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, k="right", l="whole")
    with sqlite3.connect(tmp_path / LEDGER_FILE) as db:
        db.execute("update call set answer = replace(answer, 'right', 'wrong') where key = 'k'")
    with Ledger(tmp_path) as ledger:
        assert ledger.get(["k", "l"]) == {"l": Answer("whole")}
        assert ledger.set_aside_damaged(["k", "l"]) == 1
        assert ledger.set_aside_damaged(["k", "l"]) == 0
        put(ledger, k="again")
        assert ledger.get(["k"]) == {"k": Answer("again")}
    assert len(table(tmp_path, "select * from damaged")) == 1


def test_an_answer_under_another_key_is_damage(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        put(ledger, k="text")
        with sqlite3.connect(tmp_path / LEDGER_FILE) as db:
            db.execute("update call set key = 'l'")
        assert ledger.get(["k", "l"]) == {}


def test_writes_are_synchronous(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger._db.execute("pragma synchronous").fetchone() == (2,)
        assert ledger._db.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_process_that_dies_after_put_has_stored(tmp_path: Path) -> None:
    code = ("import os, sys; from pathlib import Path\n"
            "from whyguard.generation.calls.ledger import Ended, Ledger\n"
            "from whyguard.generation.teachers.base import Answer\n"
            "Ledger(Path(sys.argv[1])).put([Ended('k', Answer('kept'))])\n"
            "os.kill(os.getpid(), 9)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert done.returncode == -9
    with Ledger(tmp_path) as ledger:
        assert ledger.get(["k"]) == {"k": Answer("kept")}


def test_two_ledgers_write_side_by_side(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as two:
        for n in range(20):
            put(one if n % 2 else two, **{str(n): str(n)})
        assert len(one.get(map(str, range(20)))) == len(two.get(map(str, range(20)))) == 20


def test_a_file_that_is_no_ledger_is_an_error(tmp_path: Path) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(ArtefactError, match=r"not a database\n.*move it away"):
        Ledger(tmp_path)


def test_a_ledger_of_a_later_format_is_an_error(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    with sqlite3.connect(tmp_path / LEDGER_FILE) as db:
        db.execute("pragma user_version = 99")
    with pytest.raises(ArtefactError, match="format 99"):
        Ledger(tmp_path)


def test_looking_makes_no_ledger(tmp_path: Path) -> None:
    assert stored_answers(tmp_path / "none", ["k"]) == set()
    assert not (tmp_path / "none").exists()
    with Ledger(tmp_path) as ledger:
        put(ledger, k="text")
    assert stored_answers(tmp_path, ["k", "l"]) == {"k"}

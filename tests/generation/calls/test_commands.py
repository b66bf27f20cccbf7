"""`whyguard ledger` on real ledgers."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whyguard.core.errors import MissingFileError
from whyguard.generation.calls.commands import app, summarise
from whyguard.generation.calls.ledger import LEDGER_FILE, Ended, Ledger, Payer, Spending
from whyguard.generation.teachers.base import Answer
from whyguard.generation.teachers.failures import Cause


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    with Ledger(tmp_path / "ledger") as ledger:
        done = [Ended(f"k{n}", Answer("text", tokens=3), Spending(1, 10, 0.5)) for n in range(3)]
        ledger.put(done, Payer("made", "server:m"))
        ledger.put([Ended("bad", None, Spending(2, 8, 0.1), Cause.TIMEOUT, "late")],
                   Payer("other", "server:m"))  # fmt: skip
    return tmp_path


def test_what_is_there(workspace: Path) -> None:
    found = summarise(workspace / "ledger")
    assert found.accounts == {"made": Spending(3, 30, 1.5), "other": Spending(2, 8, 0.1)}
    assert (found.answers, found.failures) == ({"server:m": 3}, {"no answer in time": 1})
    assert (found.replaced, found.set_aside, found.damaged) == (0, 0, 0)


def test_the_command_says_so(workspace: Path) -> None:
    said = CliRunner().invoke(app, ["--out", str(workspace)]).stdout
    assert "3 answers of server:m" in said
    assert "1 calls without an answer: no answer in time" in said
    assert "every stored answer is as it was written" in said
    facts = json.loads(CliRunner().invoke(app, ["--out", str(workspace), "--json"]).stdout)
    assert facts["accounts"]["made"] == {"calls": 3, "tokens": 30, "money": 1.5}


def test_a_changed_answer_is_seen(workspace: Path) -> None:
    with sqlite3.connect(workspace / "ledger" / LEDGER_FILE) as db:
        db.execute("""update call set answer = '{"text": "other"}' where key = 'k1'""")
    db.close()
    assert summarise(workspace / "ledger").damaged == 1
    assert "1 answers are damaged" in CliRunner().invoke(app, ["--out", str(workspace)]).stdout


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"calls\.sqlite"):
        summarise(tmp_path)

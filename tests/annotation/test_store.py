"""The answer store: nothing that was said is lost, edits and withdrawals are honoured."""

import datetime
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.annotation.store import AnswerStore, Changes, Sheetful
from whyguard.annotation.views.base import Given
from whyguard.core.errors import ArtefactError

_T0 = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.UTC)


def answer(item: str = "a#blind#1", value: str = "harmful", who: str = "ast-1",
           question: str = "verdict", minutes: int = 0) -> Given:  # fmt: skip
    return Given(item, question, who, value, _T0 + datetime.timedelta(minutes=minutes))


def sheet(
    *given: Given,
    place: str = "argilla:1",
    items: tuple[str, ...] = ("a#blind#1", "b#blind#2"),
    adjudicator: bool = False,
) -> Sheetful:
    return Sheetful(place, items, adjudicator, "v1", given)


def test_a_second_pull_of_the_same_answers_writes_nothing(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    assert store.take([sheet(answer())]) == Changes(given=1)
    assert store.take([sheet(answer())]).total == 0
    (kept,) = store.standing()
    assert kept.value == "harmful" and kept.submitted_at == _T0
    assert kept.guideline_version == "v1" and kept.place == "argilla:1"


def test_an_edit_takes_the_answers_place_and_the_first_one_is_kept(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer())])
    assert store.take([sheet(answer(value="unharmful", minutes=5))]) == Changes(changed=1)
    assert [row.value for row in store.standing()] == ["unharmful"]
    assert [event[0] for event in store.history()] == ["given", "changed"]


def test_when_an_item_was_first_answered_is_never_moved(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    early = _T0 - datetime.timedelta(minutes=7)
    store.take([sheet(answer()._replace(begun_at=early))])
    store.take([sheet(answer(value="unharmful", minutes=5))])
    store.take([sheet()])
    assert store.begun() == [("a#blind#1", "ast-1", False, early)]


def test_a_withdrawn_answer_goes_and_may_come_back(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer(), answer(item="b#blind#2"))])
    assert store.take([sheet(answer())]) == Changes(withdrawn=1)
    assert [row.item_id for row in store.standing()] == ["a#blind#1"]
    assert store.take([sheet(answer(), answer(item="b#blind#2"))]) == Changes(given=1)


def test_what_was_not_read_is_not_withdrawn(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer())])
    assert store.take([]).total == 0
    assert store.take([sheet(items=("b#blind#2",))]).total == 0, "another sheet"
    assert store.take([sheet(place="files:x")]).total == 0, "another place"
    assert store.take([sheet(adjudicator=True)]).total == 0, "another role"
    assert len(store.standing()) == 1
    assert store.take([sheet()]) == Changes(withdrawn=1)


def test_what_is_as_it_was_keeps_its_time(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer())])
    assert store.take([sheet(answer(minutes=9))]).total == 0, "the form was dated anew"
    assert [row.submitted_at for row in store.standing()] == [_T0]


def test_of_two_places_the_later_answer_stands_and_neither_withdraws_the_other(
    tmp_path: Path,
) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer(minutes=5))])
    early = sheet(answer(value="unharmful"), place="files:x")
    assert store.take([early]).total == 0
    later = sheet(answer(value="unharmful", minutes=9), place="files:x")
    assert store.take([later]) == Changes(changed=1)
    assert store.take([sheet()]).total == 0, "gone from where it no longer stands"
    assert store.take([sheet(place="files:x")]) == Changes(withdrawn=1)


def test_an_answer_given_again_elsewhere_belongs_there(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer())])
    assert store.take([sheet(answer(minutes=9), place="argilla:2")]) == Changes(changed=1)
    (row,) = store.standing()
    assert (row.place, row.submitted_at) == ("argilla:2", _T0)
    assert store.take([sheet(place="argilla:2")]) == Changes(withdrawn=1)


def test_one_person_may_answer_and_adjudicate(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.take([sheet(answer())])
    store.take([sheet(answer(value="unharmful"), adjudicator=True)])
    assert [(row.adjudicator, row.value) for row in store.standing()] == [
        (False, "harmful"), (True, "unharmful")]  # fmt: skip


def test_a_later_format_and_a_damaged_file_are_errors(tmp_path: Path) -> None:
    AnswerStore(tmp_path / "later")
    import sqlite3

    with sqlite3.connect(tmp_path / "later" / "answers.sqlite") as db:
        db.execute("pragma user_version = 99")
    with pytest.raises(ArtefactError, match="format 99"):
        AnswerStore(tmp_path / "later")
    (tmp_path / "answers.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(ArtefactError, match="copy of the workspace's review folder"):
        AnswerStore(tmp_path)


_ANSWERS = st.dictionaries(
    st.tuples(st.sampled_from(["a#blind#1", "b#blind#2"]), st.sampled_from(["p", "q"])),
    st.sampled_from(["harmful", "unharmful"]),
)


@given(st.lists(_ANSWERS, max_size=6))
def test_what_stands_is_always_the_last_pull(pulls: list[dict[tuple[str, str], str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = AnswerStore(Path(folder))
        for pull in pulls:
            store.take([sheet(*(answer(item, value, who) for (item, who), value in pull.items()))])
            stands = {(row.item_id, row.annotator): row.value for row in store.standing()}
            assert stands == pull


_WRITER = """
import sys
from pathlib import Path
from whyguard.annotation.store import AnswerStore, Sheetful
from whyguard.annotation.views.base import Given
import datetime
store = AnswerStore(Path(sys.argv[1]))
at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
for n in range(100000):
    given = [Given(f"i{n}-{k}", "verdict", "p", "harmful", at) for k in range(20)]
    store.take([Sheetful("argilla", [g.item_id for g in given], False, "v", given)])
    print(n, flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_no_pull_that_returned_and_keeps_none_by_half(tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(_WRITER))
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "s")],
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    done = -1
    deadline = time.monotonic() + 60
    while done < 15 and time.monotonic() < deadline:
        done = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    done = int(rest[-1]) if rest else done
    items = [row.item_id for row in AnswerStore(tmp_path / "s").standing()]
    pulls = {int(item[1:].split("-")[0]) for item in items}
    assert set(range(done + 1)) <= pulls
    assert len(items) == 20 * len(pulls)

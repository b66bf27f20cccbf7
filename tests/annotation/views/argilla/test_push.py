import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.annotation.conftest import ArgillaServer
from tests.annotation.views.argilla.acting import Counted, blind_sheet, rationale_sheet, unique

from whyguard.annotation.people import People
from whyguard.annotation.questions import QUESTIONS
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.push import place, push_sheets
from whyguard.annotation.views.argilla.view import ArgillaView
from whyguard.annotation.views.base import Pushed, Sheet, ShownItem, Suggestion, View
from whyguard.core.errors import DataError
from whyguard.core.progress import Progress
from whyguard.core.values import ReviewKind

SILENT = Progress.silent()
PUSHING = """
import sys
from tests.annotation.views.argilla.acting import blind_sheet
from whyguard.annotation.views.argilla import push
from whyguard.annotation.views.argilla.client import connect
from whyguard.core.progress import Progress
push.BATCH = 5
sheet = blind_sheet(200, name=sys.argv[2], space=sys.argv[2])
push.push_sheets(connect(sys.argv[1], sys.stdin.readline().strip()), [sheet], Progress.silent())
"""


def stored(server: Argilla, sheet: Sheet) -> list[str]:
    there = place(server, sheet)
    assert there is not None
    pages = server.pages(f"/datasets/{there.dataset_id}/records")
    return [entry["external_id"] for page in pages for entry in page]


def test_a_second_push_writes_nothing(server: Argilla, people: People) -> None:
    sheets = [blind_sheet(7), rationale_sheet(ShownItem("r-1", {"prompt": "placeholder"}))]
    view: View = ArgillaView(server, people)
    assert view.push(sheets, SILENT) == Pushed(8, 0)
    counted = Counted(server)
    assert view.push(sheets, SILENT) == Pushed(0, 8)
    assert counted.writes == []


def test_only_what_is_missing_is_sent(server: Argilla) -> None:
    sheet = blind_sheet(3)
    push_sheets(server, [sheet], SILENT)
    more = blind_sheet(5, name=sheet.name, space=sheet.space)
    assert push_sheets(server, [more], SILENT) == Pushed(2, 3)
    assert sorted(stored(server, more)) == [item.item_id for item in more.items]


def test_an_item_may_stand_in_two_sheets(server: Argilla) -> None:
    space = unique("space")
    one, two = blind_sheet(2, space=space), blind_sheet(2, space=space)
    assert push_sheets(server, [one, two], SILENT) == Pushed(4, 0)


@pytest.mark.slow
def test_a_push_that_was_killed_goes_on(server: Argilla, argilla_server: ArgillaServer) -> None:
    name = unique("killed")
    sheet = blind_sheet(200, name=name, space=name)
    pushing = subprocess.Popen([sys.executable, "-c", PUSHING, argilla_server.api_url, name],
                               stdin=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[4])  # fmt: skip
    assert pushing.stdin is not None
    pushing.stdin.write(argilla_server.api_key + "\n")
    pushing.stdin.flush()
    deadline = time.monotonic() + 120
    while (there := place(server, sheet)) is None or not there.ready or not stored(server, sheet):
        assert time.monotonic() < deadline and pushing.poll() is None
        time.sleep(0.02)
    os.kill(pushing.pid, signal.SIGKILL)
    pushing.wait()
    sent = len(stored(server, sheet))
    assert 0 < sent < 200
    done = push_sheets(server, [sheet], SILENT)
    # one batch may have been under way when the process died
    assert sum(done) == 200 and sent <= done.present <= sent + 5
    assert sorted(stored(server, sheet)) == [item.item_id for item in sheet.items]


def test_a_draft_is_made_anew(server: Argilla) -> None:
    sheet = blind_sheet(2)
    space = server.post("/workspaces", {"name": sheet.space})["id"]
    draft = server.post("/datasets", {"name": sheet.name, "workspace_id": space})["id"]
    assert push_sheets(server, [sheet], SILENT) == Pushed(2, 0)
    there = place(server, sheet)
    assert there is not None and there.ready and there.dataset_id != draft


def test_new_guidelines_leave_records_alone(server: Argilla) -> None:
    sheet = blind_sheet(2)
    push_sheets(server, [sheet], SILENT)
    before = place(server, sheet)
    changed = blind_sheet(2, name=sheet.name, space=sheet.space, wanted=3, guidelines="# Other")
    counted = Counted(server)
    assert push_sheets(server, [changed], SILENT) == Pushed(0, 2)
    after = place(server, sheet)
    assert before is not None and after is not None
    assert counted.writes == [f"PATCH /api/v1/datasets/{before.dataset_id}"]
    assert after == before._replace(guidelines="# Other", wanted=3)


def test_other_questions_are_refused(server: Argilla) -> None:
    sheet = blind_sheet(1)
    push_sheets(server, [sheet], SILENT)
    asked = QUESTIONS[ReviewKind.BLIND][:2]
    other = Sheet(**{name: getattr(sheet, name) for name in sheet.__slots__} | {"questions": asked})
    with pytest.raises(DataError, match="name another campaign"):
        push_sheets(server, [other], SILENT)


def test_new_metadata_is_added_to_what_stands(server: Argilla) -> None:
    first = rationale_sheet(ShownItem("r-1", {"prompt": "placeholder"}, {"round": 1}))
    push_sheets(server, [first], SILENT)
    why = ShownItem("r-2", {"prompt": "placeholder"}, {"round": 2, "reason": "votes", "risk": 0.5})
    more = Sheet(**{name: getattr(first, name) for name in first.__slots__}
                 | {"items": (*first.items, why)})  # fmt: skip
    assert push_sheets(server, [more], SILENT) == Pushed(1, 1)
    there = place(server, more)
    assert there is not None
    found = next(iter(server.pages(f"/datasets/{there.dataset_id}/records")))
    assert [entry["metadata"] for entry in found] == [
        {"round": 1}, {"round": 2, "reason": "votes", "risk": 0.5}]  # fmt: skip


def test_suggestions_carry_score_and_agent(server: Argilla) -> None:
    offered = (Suggestion("corrected_rationale", "A <b>placeholder</b>.", 0.75, "model/a b@1"),
               Suggestion("rationale_quality", "4", None, "\u09ac"),
               Suggestion("issues", '["literal"]', 0.5, "checker"))  # fmt: skip
    sheet = rationale_sheet(ShownItem("r-1", {"prompt": "placeholder"}, {}, offered))
    push_sheets(server, [sheet], SILENT)
    there = place(server, sheet)
    assert there is not None
    path = f"/datasets/{there.dataset_id}/records"
    found = server.get(path, include="suggestions")["items"][0]["suggestions"]
    assert [(s["value"], s["score"], s["agent"], s["type"]) for s in found] == [
        ("A <b>placeholder</b>.", 0.75, "model/a b-1", "model"),
        (4, None, "machine", "model"),
        (["literal"], [0.5], "checker", "model"),
    ]

"""Push and pull between store and view: nothing doubled, nothing lost, adjudicators asked once."""

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest
from tests.annotation.flow import fill_in, good
from tests.annotation.made import example, item

from whyguard.annotation.campaign import Campaign
from whyguard.annotation.deciding.decide import decisions
from whyguard.annotation.deciding.queue import adjudication_queue
from whyguard.annotation.sheets import Wording
from whyguard.annotation.snapshot import current_reviews
from whyguard.annotation.sync import Brought, pull, push, push_contested
from whyguard.annotation.views.files.view import FilesView
from whyguard.core.errors import DataError, MissingFileError
from whyguard.core.progress import Progress
from whyguard.core.schemas import ReviewItem
from whyguard.core.tables import frame

PEOPLE = {("Ana", "ast_Latn"): "ast-1", ("Xuan", "ast_Latn"): "ast-2",
          ("Judge", "adjudicate-ast_Latn"): "ast-9"}  # fmt: skip
QUIET = Progress.silent()


def guide(kind: str, language: str) -> Wording:
    return Wording(f"How to: {kind}", "v1")


class Desk:
    """A campaign and a folder of spreadsheets."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.campaign = Campaign(folder / "review" / "made")
        self.view = FilesView(self.files, lambda name, space: PEOPLE.get((name, space)))
        blind = [item(example(n), "blind", suggest=False) for n in range(3)]
        self.put([*blind, item(example(0))])

    def put(self, rows: list[dict[str, object]]) -> None:
        self.campaign.put_items("route-1", frame(ReviewItem, rows))

    def push(self) -> tuple[int, int]:
        return push(self.campaign, self.view, "files", guide, QUIET)

    def pull(self) -> Brought:
        return pull(self.campaign, self.view, "files", guide, QUIET)

    def known(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        items = self.campaign.items()
        return items, current_reviews(self.campaign)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def says(verdict: str) -> Callable[[Mapping[str, str]], Mapping[str, str | int]]:
    return lambda shown: {"verdict": verdict} if "verdict" in shown else good(shown)


def test_pushing_and_pulling_twice_changes_nothing(desk: Desk) -> None:
    assert desk.push() == (4, 0) and desk.push() == (0, 4)
    fill_in(desk.files, "Ana", good)
    first = desk.pull()
    assert first.changes.given == first.standing > 4
    snapshot = desk.campaign.folder / "answers.parquet"
    written = snapshot.stat().st_mtime_ns
    assert desk.pull().changes.total == 0 and snapshot.stat().st_mtime_ns == written


def test_nothing_is_pulled_before_something_was_pushed(desk: Desk) -> None:
    with pytest.raises(MissingFileError, match="nothing was pushed to files yet"):
        desk.pull()


def test_a_sheet_that_vanished_withdraws_nothing(desk: Desk) -> None:
    desk.push()
    fill_in(desk.files, "Ana", good)
    desk.pull()
    stands = desk.campaign.store.standing()
    for path in (desk.files / "inbox").glob("*.xlsx"):
        path.unlink()
    with pytest.raises(DataError, match=r"Ana\.xlsx"):
        desk.pull()
    assert desk.campaign.store.standing() == stands


def test_an_adjudicator_is_asked_once_about_what_is_contested_and_settles_it(desk: Desk) -> None:
    desk.push()
    fill_in(desk.files, "Ana", says("harmful"))
    fill_in(desk.files, "Xuan", says("unharmful"))
    desk.pull()
    items, reviews = desk.known()
    queue = adjudication_queue(items, reviews, decisions(items, reviews))
    assert len(queue) == 3
    sent = push_contested(desk.campaign, desk.view, "files", guide, queue, reviews, QUIET)
    assert sent == (3, 4)
    assert push_contested(desk.campaign, desk.view, "files", guide, queue, reviews, QUIET) == (0, 7)

    shown: list[str] = []

    def settle(row: Mapping[str, str]) -> Mapping[str, str | int]:
        if "answers" not in row:
            return {}
        shown.append(row["answers"])
        return {"verdict": "unharmful"}

    fill_in(desk.files, "Judge", settle)
    desk.pull()
    assert set(shown) == {"To settle: verdict\nverdict: harmful\nverdict: unharmful"}
    items, reviews = desk.known()
    table = decisions(items, reviews).filter(pl.col("question") == "verdict")
    assert set(table["rule"].cast(pl.String)) == {"adjudicated"}
    assert table["annotators"].to_list() == [["ast-9"]] * 3
    assert adjudication_queue(items, reviews, decisions(items, reviews)) == []


def test_somebody_who_may_not_answer_a_sheet_is_refused(desk: Desk) -> None:
    desk.push()
    fill_in(desk.files, "Judge", good)
    brought = desk.pull()
    assert brought.standing == 0
    assert {refused.reason for refused in brought.refused} == {
        "nobody who answers ast_Latn is called 'Judge'"}  # fmt: skip


def test_answers_survive_items_that_are_no_longer_asked(desk: Desk) -> None:
    desk.push()
    fill_in(desk.files, "Ana", good)
    before = desk.pull().standing
    desk.put([item(example(0))])
    desk.push()
    after = desk.pull()
    assert after.standing == before, "the store forgets nothing"
    items, reviews = desk.known()
    assert set(reviews["item_id"]) == set(items["item_id"])
    assert all(
        answer.submitted_at <= datetime.datetime.now(datetime.UTC)
        for answer in desk.campaign.store.standing()
    )

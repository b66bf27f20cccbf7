"""Who had her items of the day gets no more; answers themselves are never refused."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple
from uuid import UUID

import pytest
from tests.annotation.conftest import ArgillaServer
from tests.annotation.embedded.rest import (
    PASSWORD,
    PENDING,
    Api,
    add,
    every,
    make_dataset,
    make_person,
    make_workspace,
    terms,
)

_HARMFUL = {"verdict": "harmful"}
_MIXED = terms({"entity": "response", "property": "status"}, "pending", "submitted")


class Day(NamedTuple):
    """Two datasets with three records each, and two people."""

    server: ArgillaServer
    ana: Api
    ana_id: str
    ben: Api
    datasets: list[str]
    records: list[dict[str, str]]

    def cap(self, text: str) -> None:
        (self.server.home / "exposure.json").write_text(text, "utf-8")

    def pending(self, api: Api, dataset: int = 0) -> int:
        return api.search(self.datasets[dataset], mine=True, filters=every(PENDING)).total


@pytest.fixture
def day(argilla_server: ArgillaServer, request: pytest.FixtureRequest) -> Iterator[Day]:
    name = f"day-{abs(hash(request.node.name)) % 10**8}"
    owner = Api.with_key(argilla_server.api_url, argilla_server.api_key)
    workspace = make_workspace(owner, name)
    ana, ben = f"{name}-ana", f"{name}-ben"
    ana_id = make_person(owner, ana, workspace)
    make_person(owner, ben, workspace)
    datasets = [make_dataset(owner, workspace, f"{name}-{number}", wanted=2) for number in (0, 1)]
    records = [add(owner, one, [{"external_id": str(n), "fields": {"prompt": f"text {n}"}}
                                for n in range(3)]) for one in datasets]  # fmt: skip
    apis = [Api.signed_in(argilla_server.api_url, who, PASSWORD) for who in (ana, ben)]
    yield Day(argilla_server, apis[0], ana_id, apis[1], datasets, records)
    (argilla_server.home / "exposure.json").unlink(missing_ok=True)


@pytest.mark.parametrize("form", ["with dashes", "hex"])
def test_a_cap_holds_over_all_datasets_and_for_her_alone(day: Day, form: str) -> None:
    user = day.ana_id if form == "with dashes" else UUID(day.ana_id).hex
    day.cap(json.dumps({user: 2}))
    day.ana.respond(day.records[0]["0"], _HARMFUL)
    assert day.pending(day.ana, 1) == 3
    day.ana.respond(day.records[1]["0"], _HARMFUL)
    assert [day.pending(day.ana, number) for number in (0, 1)] == [0, 0]
    assert day.pending(day.ben) == 3


def test_answers_are_stored_beyond_the_cap_and_hers_are_still_shown(day: Day) -> None:
    day.cap(json.dumps({day.ana_id: 1}))
    for name in ("0", "1"):
        day.ana.respond(day.records[0][name], _HARMFUL)
    submitted = terms({"entity": "response", "property": "status"}, "submitted")
    found = day.ana.search(day.datasets[0], mine=True, filters=every(submitted))
    assert found.total == 2


def test_drafts_do_not_count_and_a_changed_file_is_read_again(day: Day) -> None:
    day.cap(json.dumps({day.ana_id: 1}))
    day.ana.respond(day.records[0]["0"], _HARMFUL, "draft")
    assert day.pending(day.ana) == 2
    day.ana.respond(day.records[0]["1"], _HARMFUL)
    assert day.pending(day.ana) == 0
    day.cap(json.dumps({day.ana_id: 10}))
    assert day.pending(day.ana) == 1


def test_yesterdays_answers_do_not_count(day: Day) -> None:
    day.cap(json.dumps({day.ana_id: 1}))
    day.ana.respond(day.records[0]["0"], _HARMFUL)
    assert day.pending(day.ana) == 0
    with closing(sqlite3.connect(day.server.home / "argilla.db", timeout=30)) as database:
        database.execute("UPDATE responses SET updated_at = datetime(updated_at, '-1 day') "
                         "WHERE user_id = ?", (UUID(day.ana_id).hex,))  # fmt: skip
        database.commit()
    assert day.pending(day.ana) == 2


def test_a_damaged_file_lifts_no_cap(day: Day) -> None:
    day.cap(json.dumps({day.ana_id: 1}))
    day.ana.respond(day.records[0]["0"], _HARMFUL)
    assert day.pending(day.ana) == 0
    day.cap("{ broken")
    assert day.pending(day.ana) == 0
    assert "exposure.json: not read" in (day.server.home / "server.log").read_text()


def test_a_cap_of_nothing_shows_nothing(day: Day) -> None:
    day.cap(json.dumps({day.ana_id: 0}))
    assert day.pending(day.ana) == 0


def test_who_asks_for_pending_and_answered_ones_gets_the_answered_ones(day: Day) -> None:
    day.cap(json.dumps({day.ana_id: 1}))
    day.ana.respond(day.records[0]["0"], _HARMFUL)
    assert day.ana.search(day.datasets[0], mine=True, filters=every(_MIXED)).names == ["0"]

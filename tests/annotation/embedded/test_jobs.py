"""Jobs of Argilla run without Redis: a changed number of wanted answers sets the statuses anew."""

import time

from tests.annotation.conftest import ArgillaServer
from tests.annotation.embedded.rest import (
    PASSWORD,
    Api,
    add,
    make_dataset,
    make_person,
    make_workspace,
)


def _completed(owner: Api, dataset: str) -> int:
    return int(owner.call("GET", f"/datasets/{dataset}/progress")["completed"])


def test_statuses_follow_the_number_of_wanted_answers(argilla_server: ArgillaServer) -> None:
    owner = Api.with_key(argilla_server.api_url, argilla_server.api_key)
    workspace = make_workspace(owner, "jobs")
    make_person(owner, "jobs-ana", workspace)
    dataset = make_dataset(owner, workspace, "jobs", wanted=1)
    ids = add(owner, dataset, [{"external_id": "1", "fields": {"prompt": "text"}}])
    ana = Api.signed_in(argilla_server.api_url, "jobs-ana", PASSWORD)
    ana.respond(ids["1"], {"verdict": "harmful"})
    assert _completed(owner, dataset) == 1
    for wanted, completed in ((2, 0), (1, 1)):
        owner.call("PATCH", f"/datasets/{dataset}", {
            "distribution": {"strategy": "overlap", "min_submitted": wanted}})  # fmt: skip
        until = time.monotonic() + 10
        while _completed(owner, dataset) != completed and time.monotonic() < until:
            time.sleep(0.05)
        assert _completed(owner, dataset) == completed


def test_a_job_that_is_not_there_is_not_found(argilla_server: ArgillaServer) -> None:
    owner = Api.with_key(argilla_server.api_url, argilla_server.api_key)
    assert owner.raw("GET", "/api/v1/jobs/nothing").status == 404

"""What an annotator can reach in the interface, and by its API with her own token."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Browser
from tests.e2e.browsing import Visitor, visitor
from tests.e2e.material import BENGALI, CAMPAIGN
from tests.e2e.site import Invited, Site, invite

from whyguard.annotation.commands.common import server_home
from whyguard.annotation.server.home import owner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Visit = Callable[[Invited], Visitor]
SECRET = "a note that only its author may read"
FORBIDDEN = (
    ("GET", "/datasets/{dataset}"),
    ("GET", "/datasets/{dataset}/fields"),
    ("GET", "/datasets/{dataset}/questions"),
    ("GET", "/datasets/{dataset}/vectors-settings"),
    ("GET", "/datasets/{dataset}/progress"),
    ("GET", "/datasets/{dataset}/users/progress"),
    ("GET", "/datasets/{dataset}/records"),
    ("GET", "/me/datasets/{dataset}/metrics"),
    ("GET", "/me/datasets/{dataset}/metadata-properties"),
    ("POST", "/me/datasets/{dataset}/records/search"),
    ("POST", "/datasets/{dataset}/records/search"),
    ("PATCH", "/datasets/{dataset}"),
    ("DELETE", "/datasets/{dataset}"),
    ("GET", "/records/{record}"),
    ("GET", "/records/{record}/suggestions"),
    ("PATCH", "/records/{record}"),
    ("DELETE", "/records/{record}"),
    ("POST", "/records/{record}/responses"),
    ("GET", "/workspaces/{workspace}"),
    ("GET", "/workspaces/{workspace}/users"),
    ("POST", "/workspaces/{workspace}/users"),
    ("GET", "/users"),
    ("GET", "/users/{user}"),
    ("PATCH", "/users/{user}"),
    ("DELETE", "/users/{user}"),
    ("GET", "/users/{user}/workspaces"),
    ("POST", "/users"),
    ("POST", "/workspaces"),
    ("GET", "/webhooks"),
)
"""What Ana may not do with Bina's things, with users, or with the server."""
_BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/me/datasets/{dataset}/records/search"): {},
    ("POST", "/datasets/{dataset}/records/search"): {},
    ("PATCH", "/datasets/{dataset}"): {"name": "taken"},
    ("PATCH", "/records/{record}"): {"metadata": {}},
    ("POST", "/records/{record}/responses"): {
        "values": {"translation_adequacy": {"value": 1}}, "status": "submitted"},
    ("POST", "/workspaces/{workspace}/users"): {"user_id": "{user}"},
    ("PATCH", "/users/{user}"): {"password": "a password of mine"},
    ("POST", "/users"): {"username": "mine", "first_name": "mine", "role": "owner",
                         "password": "a password of mine"},
    ("POST", "/workspaces"): {"name": "mine"},
}  # fmt: skip


class Api:
    """Calls with a person's own token, made by her browser."""

    def __init__(self, who: Visitor) -> None:
        self._url, self._request = f"{who.url}/api/v1", who.context.request
        self._headers = {"Authorization": f"Bearer {who.token()}"}

    def call(self, method: str, path: str, body: Any = None) -> APIResponse:
        sent = None if body is None else json.dumps(body)
        headers = self._headers | {"Content-Type": "application/json"}
        return self._request.fetch(self._url + path, method=method, headers=headers, data=sent)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.ok, (path, answer.status)
        return answer.json()

    def dataset(self, language: str, kind: str) -> str:
        wanted = f"{CAMPAIGN}-{language}-{kind}"
        items = self.get("/me/datasets")["items"]
        return next(str(entry["id"]) for entry in items if entry["name"] == wanted)

    def record(self, dataset: str) -> str:
        found = self.call("POST", f"/me/datasets/{dataset}/records/search", {})
        return str(found.json()["items"][0]["record"]["id"])


def test_an_annotator_reaches_nothing_of_another_language(site: Site, visit: Visit) -> None:
    ana, bina = Api(visit(site.ana)), Api(visit(site.bina))
    me = bina.get("/me")
    names = {"dataset": bina.dataset(BENGALI, "rationale"), "user": me["id"],
             "workspace": bina.get("/me/workspaces")["items"][0]["id"]}  # fmt: skip
    names["record"] = bina.record(names["dataset"])
    passed = []
    for method, path in FORBIDDEN:
        body = json.loads(json.dumps(_BODIES.get((method, path))).replace("{user}", me["id"]))
        answer = ana.call(method, path.format(**names), body)
        if answer.status not in (401, 403, 404):
            passed.append((method, path, answer.status))
        assert me["api_key"] not in answer.text() and _BENGALI.isdisjoint(answer.text())
    assert passed == []
    assert bina.get("/me") == me, "nothing of hers was changed"
    assert bina.record(names["dataset"]) == names["record"]


_BENGALI = {chr(code) for code in range(0x0980, 0x0A00)}


def test_pages_of_another_language_show_nothing(site: Site, visit: Visit) -> None:
    ana, bina = visit(site.ana), visit(site.bina)
    dataset, key = Api(bina).dataset(BENGALI, "rationale"), Api(bina).get("/me")["api_key"]
    others = {key, owner(server_home(site.out)).api_key}
    for path in (f"/dataset/{dataset}/annotation-mode", f"/dataset/{dataset}/settings",
                 f"/dataset/{dataset}/annotation-mode?page=1&status=submitted",
                 "/user-settings", "/?workspaces=ben_Beng"):  # fmt: skip
        ana.page.goto(site.url + path)
        ana.page.wait_for_load_state("networkidle")
        shown = ana.page.content()
        assert _BENGALI.isdisjoint(shown), path
        assert not any(other in shown for other in others), path
        assert "ben_Beng-" not in ana.page.inner_text("body"), path
    ana.watch.errors.clear()  # Argilla's page throws what the server answered: 403


def test_even_a_page_that_asks_an_outside_host_gets_nothing(browser: Browser, site: Site) -> None:
    """Argilla takes an unknown address for a data set's name on a hub, and asks that hub."""
    one = visitor(browser, site.url)
    one.sign_in(site.ana)
    answered: list[str] = []
    one.context.on("response", lambda answer: answered.append(answer.url))
    one.page.goto(f"{site.url}/some-name")
    one.page.wait_for_load_state("networkidle")
    asked = one.watch.outside()
    one.context.close()
    assert asked and not set(asked) & set(answered)
    assert all(any(url in said for said in one.watch.blocked) for url in asked), "by the policy"


def test_nobody_reads_what_another_annotator_answered(site: Site, visit: Visit) -> None:
    """Blindness: the second answer to an item is given by somebody who cannot see the first."""
    bina = Api(visit(site.bina))
    dataset = bina.dataset(BENGALI, "blind")
    record = bina.record(dataset)
    body = {"values": {"verdict": {"value": "harmful"}, "local_harm_note": {"value": SECRET}},
            "status": "submitted"}  # fmt: skip
    answer = bina.call("POST", f"/records/{record}/responses", body)
    assert answer.ok and SECRET in bina.call("GET", f"/records/{record}").text()
    dipa = Api(visit(invite(site.out, "Dipa", "Bengali")))
    response, search = answer.json()["id"], "records/search?include=responses"
    ways: tuple[tuple[str, str, Any], ...] = (
        ("GET", f"/records/{record}", None),
        ("POST", f"/me/datasets/{dataset}/{search}", {}),
        ("POST", f"/datasets/{dataset}/{search}", {}),
        ("GET", f"/datasets/{dataset}/records?include=responses", None),
        ("PUT", f"/responses/{response}", body),
        ("DELETE", f"/responses/{response}", None),
    )
    told = [(method, path) for method, path, sent in ways
            if SECRET in dipa.call(method, path, sent).text()]  # fmt: skip
    assert told == []
    assert SECRET in bina.call("GET", f"/records/{record}").text(), "it still stands"

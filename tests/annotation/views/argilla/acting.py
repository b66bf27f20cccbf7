"""Sheets of placeholders, and people who answer them over HTTP as the user interface does."""

import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from whyguard.annotation.questions import QUESTIONS
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.base import Sheet, ShownField, ShownItem
from whyguard.core.values import ReviewKind

BLIND_FIELDS = (ShownField("prompt", "The request"),)
RATIONALE_FIELDS = (
    ShownField("source", "Source", required=False),
    ShownField("prompt", "The request"),
    ShownField("rationale", "Rationale", required=False),
    ShownField("trace", "Trace", required=False, folded=True),
)
RATED: dict[str, Any] = {"translation_adequacy": 4}


def unique(start: str) -> str:
    """A name that no other test has: the server is shared."""
    return f"{start}-{secrets.token_hex(4)}"


def blind_sheet(items: int, *, name: str | None = None, space: str | None = None,
                wanted: int = 2, guidelines: str = "# Guidelines") -> Sheet:  # fmt: skip
    """A blind sheet of `items` placeholders."""
    shown = tuple(ShownItem(f"item-{n:04d}", {"prompt": f"placeholder {n}"}, {"round": 1})
                  for n in range(items))  # fmt: skip
    return Sheet(
        name=name or unique("blind"), space=space or unique("space"), language="ast_Latn",
        title="Blind", fields=BLIND_FIELDS, questions=QUESTIONS[ReviewKind.BLIND],
        guidelines=guidelines, guideline_version="v1", wanted=wanted, items=shown,
    )  # fmt: skip


def rationale_sheet(*items: ShownItem, space: str | None = None) -> Sheet:
    """A sheet of rationales."""
    return Sheet(
        name=unique("rationale"), space=space or unique("space"), language="ast_Latn",
        title="Rationales", fields=RATIONALE_FIELDS, questions=QUESTIONS[ReviewKind.RATIONALE],
        guidelines="# Guidelines", guideline_version="v1", wanted=1, items=items,
    )  # fmt: skip


class Annotator:
    """Somebody who is signed in."""

    def __init__(self, api_url: str, user_name: str, password: str) -> None:
        self._sign_in = {"username": user_name, "password": password}
        self.http = httpx.Client(base_url=f"{api_url}/api/v1", timeout=60)
        token = self.http.post("/token", data=self._sign_in).raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {token.json()['access_token']}"

    def workspaces(self) -> list[str]:
        """Names of the workspaces she sees."""
        found = self.http.get("/me/workspaces").raise_for_status().json()["items"]
        return sorted(entry["name"] for entry in found)

    def datasets(self) -> dict[str, str]:
        """Dataset -> id, of those she sees."""
        found = self.http.get("/me/datasets").raise_for_status().json()["items"]
        return {entry["name"]: entry["id"] for entry in found}

    def records(self, dataset_id: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Records she sees, as the interface reads them."""
        found = self.http.post(f"/me/datasets/{dataset_id}/records/search", json={},
                               params={"limit": limit, "include": "suggestions"})  # fmt: skip
        return [entry["record"] for entry in found.raise_for_status().json()["items"]]

    def queue(self, dataset_id: str, limit: int = 10) -> list[str]:
        """Record ids that wait for her: not answered by her, and not yet by enough others."""
        waiting = [{"type": "terms", "scope": scope, "values": ["pending"]} for scope in
                   ({"entity": "response", "property": "status"},
                    {"entity": "record", "property": "status"})]  # fmt: skip
        found = self.http.post(f"/me/datasets/{dataset_id}/records/search",
                               json={"filters": {"type": "and", "and": waiting}},
                               params={"limit": limit})  # fmt: skip
        return [entry["record"]["id"] for entry in found.raise_for_status().json()["items"]]

    def answer(self, record_id: str, values: Mapping[str, Any],
               status: str = "submitted") -> dict[str, Any]:  # fmt: skip
        """Give an answer, or change the one that is there."""
        body = {"values": {name: {"value": value} for name, value in values.items()},
                "status": status, "record_id": record_id}  # fmt: skip
        done = self.http.post("/me/responses/bulk", json={"items": [body]}).raise_for_status()
        entry: dict[str, Any] = done.json()["items"][0]
        assert entry.get("error") is None, entry["error"]
        given: dict[str, Any] = entry["item"]
        return given


def by_item(records: list[dict[str, Any]]) -> dict[str, str]:
    """Item -> record id."""
    return {record["external_id"]: record["id"] for record in records}


class Counted:
    """Counts what a client writes."""

    def __init__(self, server: Argilla) -> None:
        self.writes: list[str] = []
        server.sdk.http_client.event_hooks["request"].append(self._count)

    def _count(self, request: httpx.Request) -> None:
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.url.path}")

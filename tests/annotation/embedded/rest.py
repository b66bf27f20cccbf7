"""Argilla's API as tests use it: plain HTTP, as an owner or as somebody who signed in."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """Calls below `/api/v1`, each with the same credentials."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url, self._headers = url, dict(headers or {})

    @classmethod
    def with_key(cls, url: str, key: str) -> "Api":
        return cls(url, {"X-Argilla-Api-Key": key})

    @classmethod
    def signed_in(cls, url: str, username: str, password: str) -> "Api":
        return cls(url, {"Authorization": f"Bearer {token(url, username, password)}"})

    def raw(self, method: str, path: str, body: Any = None) -> Answer:
        """Any answer, also errors; `path` starts at the server's root."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self._headers}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
                return Answer(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a call that must succeed."""
        answer = self.raw(method, f"/api/v1{path}", body)
        assert answer.status < 300, (method, path, answer.status, answer.body[:300])
        return answer.json() if answer.body else None

    def search(self, dataset: str, *, mine: bool = False, limit: int = 100, offset: int = 0,
               **query: Any) -> "Found":  # fmt: skip
        """Records that a search finds; `mine`: as the user who asks, with her own order."""
        me = "/me" if mine else ""
        path = f"{me}/datasets/{dataset}/records/search?limit={limit}&offset={offset}"
        found = self.call("POST", path, query)
        names = [item["record"]["external_id"] for item in found["items"]]
        return Found(names, found["total"], [item.get("query_score") for item in found["items"]])

    def respond(self, record: str, values: Mapping[str, Any], status: str = "submitted") -> Any:
        body = {"values": {name: {"value": value} for name, value in values.items()},
                "status": status}  # fmt: skip
        return self.call("POST", f"/records/{record}/responses", body)


class Found(NamedTuple):
    """External ids in the order in which they came, the total, and scores."""

    names: list[str]
    total: int
    scores: list[float | None]


def token(url: str, username: str, password: str) -> str:
    """A session's token; fails where the credentials are wrong."""
    data = urllib.parse.urlencode({"username": username, "password": password}).encode()
    with urllib.request.urlopen(f"{url}/api/v1/token", data, timeout=60) as reply:  # noqa: S310
        return str(json.load(reply)["access_token"])


PASSWORD = "a long password"


def make_person(owner: Api, name: str, workspace: str) -> str:
    """An annotator of a workspace; her id."""
    person = {"first_name": name, "username": name, "password": PASSWORD, "role": "annotator"}
    user = owner.call("POST", "/users", person)
    owner.call("POST", f"/workspaces/{workspace}/users", {"user_id": user["id"]})
    return str(user["id"])


def make_workspace(owner: Api, name: str) -> str:
    """A workspace; its id."""
    return str(owner.call("POST", "/workspaces", {"name": name})["id"])


def make_dataset(owner: Api, workspace: str, name: str, *, wanted: int = 1) -> str:
    """A published dataset: text, and an optional second text; label, labels, rating, text; a
    metadata property of each kind; vectors of two numbers. Its id."""
    made = owner.call("POST", "/datasets", {
        "name": name, "workspace_id": workspace,
        "distribution": {"strategy": "overlap", "min_submitted": wanted}})  # fmt: skip
    dataset = str(made["id"])
    for field, required in (("prompt", True), ("more", False)):
        owner.call("POST", f"/datasets/{dataset}/fields", {
            "name": field, "title": field, "required": required,
            "settings": {"type": "text", "use_markdown": False}})  # fmt: skip
    for question in _QUESTIONS:
        owner.call("POST", f"/datasets/{dataset}/questions", question)
    for kind in ("terms", "integer", "float"):
        owner.call("POST", f"/datasets/{dataset}/metadata-properties", {
            "name": kind, "title": kind, "settings": {"type": kind},
            "visible_for_annotators": True})  # fmt: skip
    owner.call("POST", f"/datasets/{dataset}/vectors-settings", {
        "name": "place", "title": "place", "dimensions": 2})  # fmt: skip
    owner.call("PUT", f"/datasets/{dataset}/publish")
    return dataset


def _labels(*values: str) -> list[dict[str, str]]:
    return [{"value": value, "text": value} for value in values]


_QUESTIONS: list[dict[str, Any]] = [
    {"name": "verdict", "title": "verdict", "required": True,
     "settings": {"type": "label_selection", "options": _labels("harmful", "unharmful")}},
    {"name": "issues", "title": "issues", "required": False,
     "settings": {"type": "multi_label_selection", "options": _labels("a", "b", "c")}},
    {"name": "rating", "title": "rating", "required": False,
     "settings": {"type": "rating", "options": [{"value": n} for n in range(1, 6)]}},
    {"name": "note", "title": "note", "required": False, "settings": {"type": "text"}},
]  # fmt: skip


def add(owner: Api, dataset: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Store records; external id -> id."""
    made = owner.call("POST", f"/datasets/{dataset}/records/bulk", {"items": list(records)})
    return {item["external_id"]: str(item["id"]) for item in made["items"]}


def terms(scope: Mapping[str, Any], *values: str) -> dict[str, Any]:
    return {"type": "terms", "scope": dict(scope), "values": list(values)}


def between(scope: Mapping[str, Any], ge: Any = None, le: Any = None) -> dict[str, Any]:
    return {"type": "range", "scope": dict(scope),
            **({} if ge is None else {"ge": ge}), **({} if le is None else {"le": le})}  # fmt: skip


def every(*filters: Mapping[str, Any]) -> dict[str, Any]:
    return {"and": list(filters)}


PENDING = terms({"entity": "response", "property": "status"}, "pending")

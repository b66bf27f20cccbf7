"""An annotator against every endpoint of the server, with what belongs to another language."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.annotation.views.argilla.acting import Annotator, by_item, rationale_sheet, unique

from whyguard.annotation.people import People
from whyguard.annotation.server.install import server_python
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.invite import invite
from whyguard.annotation.views.argilla.push import place, push_sheets
from whyguard.annotation.views.base import Sheet, ShownItem, Suggestion
from whyguard.core.progress import Progress

LISTING = """
import json
from argilla_server.api.routes import api_v1
print(json.dumps(api_v1.openapi()))
"""
MARK = "zz-mark-of-another-language"
REFUSED = (401, 403, 404)
SEARCH = ("POST /me/datasets/{dataset_id}/records/search",
          "POST /datasets/{dataset_id}/records/search")  # fmt: skip
OWN = ("POST /token", "POST /me/responses/bulk")
"""Calls that anybody may make: what they do with another's ids is asserted apart."""
SETTINGS = {"name": "x", "title": "x", "settings": {"type": "text", "use_markdown": False}}
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Other:
    """What belongs to the other language, and what must not be seen of it."""

    ids: dict[str, str]
    secrets: tuple[str, ...]
    sheet: Sheet


def listing(folder: Path) -> list[str]:
    """`METHOD /path` of all endpoints; the server itself does not tell strangers."""
    environment = os.environ | {"ARGILLA_HOME_PATH": str(folder), "HF_HUB_OFFLINE": "1",
                                "ARGILLA_ENABLE_TELEMETRY": "false"}  # fmt: skip
    done = subprocess.run([server_python(Progress.silent()), "-c", LISTING], env=environment,
                          check=True, capture_output=True, text=True)  # fmt: skip
    paths: dict[str, dict[str, Any]] = json.loads(done.stdout)["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


def make_other(server: Argilla, people: People) -> Other:
    offered = Suggestion("corrected_rationale", f"suggestion {MARK}", 0.5, "checker")
    shown = ShownItem("r-1", {"prompt": f"text {MARK}"}, {"reason": f"reason {MARK}"}, (offered,))
    sheet = rationale_sheet(shown, space="ben_Beng")
    values = {name: getattr(sheet, name) for name in sheet.__slots__}
    sheet = Sheet(**values | {"name": unique(MARK), "guidelines": f"# {MARK}"})
    push_sheets(server, [sheet], Progress.silent())
    invited = invite(server, people, unique("Anika"), "ben_Beng")
    assert invited.password is not None
    anika = Annotator(server.url, invited.person.user_name, invited.password)
    there = place(server, sheet)
    assert there is not None
    record = by_item(anika.records(there.dataset_id))["r-1"]
    answer = anika.answer(record, {"translation_adequacy": 2, "note": f"note {MARK}"})
    return Other(ids(server, there.dataset_id, record, answer), secret(server, anika), sheet)


def ids(server: Argilla, dataset: str, record: str, answer: dict[str, Any]) -> dict[str, str]:
    def first(path: str) -> str:
        return str(server.get(path)["items"][0]["id"])

    return {
        "dataset_id": dataset, "record_id": record, "response_id": answer["id"],
        "user_id": answer["user_id"],
        "workspace_id": server.get(f"/datasets/{dataset}")["workspace_id"],
        "field_id": first(f"/datasets/{dataset}/fields"),
        "question_id": first(f"/datasets/{dataset}/questions"),
        "metadata_property_id": first(f"/me/datasets/{dataset}/metadata-properties"),
        "suggestion_id": first(f"/records/{record}/suggestions"),
        "vector_settings_id": NOBODY, "webhook_id": NOBODY, "job_id": NOBODY,
        "provider": "huggingface",
    }  # fmt: skip


def secret(server: Argilla, anika: Annotator) -> tuple[str, ...]:
    me = anika.http.get("/me").json()
    return MARK, me["api_key"], me["username"], server.get("/me")["api_key"]


def bodies(other: Other) -> dict[str, Any]:
    """A body that the server would take from who may send it, so that it is not refused as bad."""
    record = {"fields": {"prompt": "x"}, "external_id": "x"}
    offered = {"question_id": other.ids["question_id"], "value": 3, "agent": "x"}
    answer = {"values": {"translation_adequacy": {"value": 3}}, "status": "submitted"}
    hub = {"name": "a/b", "subset": "x", "split": "x", "token": "x",
           "mapping": {"fields": [{"source": "x", "target": "prompt"}]}}  # fmt: skip
    hook = {"url": "http://192.0.2.1/x", "events": ["record.created"]}
    at = "/datasets/{dataset_id}"
    return {
        "POST /token": {},
        f"POST {at}/fields": SETTINGS,
        f"POST {at}/questions": SETTINGS,
        f"POST {at}/vectors-settings": {"name": "x", "title": "x", "dimensions": 2},
        f"POST {at}/metadata-properties": SETTINGS | {"settings": {"type": "terms"}},
        f"PATCH {at}": {"guidelines": "x"},
        "POST /datasets": {"name": unique("x"), "workspace_id": other.ids["workspace_id"]},
        f"PUT {at}/publish": None,
        f"POST {at}/import": hub,
        f"POST {at}/export": {"name": "a/b", "subset": "x", "split": "x", "token": "x"},
        **{endpoint: {} for endpoint in SEARCH},
        f"POST {at}/records/bulk": {"items": [record]},
        f"PUT {at}/records/bulk": {"items": [record]},
        "PATCH /fields/{field_id}": {"title": "x"},
        "PATCH /questions/{question_id}": {"title": "x"},
        "PATCH /metadata-properties/{metadata_property_id}": {"title": "x"},
        "PATCH /records/{record_id}": {"metadata": {"reason": "x"}},
        "POST /records/{record_id}/responses": answer,
        "PUT /records/{record_id}/suggestions": offered,
        "POST /me/responses/bulk": {"items": [answer | {"record_id": other.ids["record_id"]}]},
        "PUT /responses/{response_id}": answer,
        "PATCH /users/{user_id}": {"role": "owner"},
        "POST /users": {"username": "x", "first_name": "x", "password": "0123456789"},
        "PATCH /vectors-settings/{vector_settings_id}": {"title": "x"},
        "POST /workspaces": {"name": unique("x")},
        "POST /workspaces/{workspace_id}/users": {"user_id": other.ids["user_id"]},
        "POST /webhooks": hook,
        "PATCH /webhooks/{webhook_id}": {"enabled": False},
        "POST /webhooks/{webhook_id}/ping": None,
    }  # fmt: skip


def call(http: httpx.Client, endpoint: str, other: Other, body: Any) -> httpx.Response:
    method, path = endpoint.split(" ")
    wanted = {"ids": other.ids["record_id"], "workspace_id": other.ids["workspace_id"],
              "include": "responses", "limit": "10", "name": other.sheet.name}  # fmt: skip
    if path == "/records/{record_id}/suggestions":
        wanted["ids"] = other.ids["suggestion_id"]
    params = wanted if method in ("GET", "DELETE") else {}
    return http.request(method, path.format(**other.ids), params=params, json=body)


def judged(endpoint: str, answer: httpx.Response, other: Other) -> list[str]:
    """What is wrong with an answer to somebody who may not have it."""
    wrong = [f"{endpoint} shows secret {n}" for n, text in enumerate(other.secrets)
             if text in answer.text]  # fmt: skip
    if answer.status_code in (405, 422, 500):
        return [*wrong, f"{endpoint} answers {answer.status_code}: nothing is tested"]
    harmless = endpoint.startswith("GET ") or endpoint in OWN
    if not harmless and answer.status_code not in REFUSED:
        wrong.append(f"{endpoint} answers {answer.status_code}")
    return wrong


def stands(server: Argilla, other: Other) -> str:
    """All of the other language, as its owner sees it."""
    dataset = other.ids["dataset_id"]
    parts = [server.get(f"/datasets/{dataset}/records", include="responses"),
             server.get(f"/datasets/{dataset}/questions"),
             server.get(f"/datasets/{dataset}/fields"),
             server.get(f"/workspaces/{other.ids['workspace_id']}/users"),
             server.get("/webhooks")]  # fmt: skip
    return json.dumps(parts, sort_keys=True)


@pytest.mark.slow
@pytest.mark.parametrize("by_key", [False, True], ids=["token", "key"])
def test_no_endpoint_gives_away_another_language(
    server: Argilla, people: People, tmp_path: Path, by_key: bool
) -> None:
    other = make_other(server, people)
    invited = invite(server, people, unique("Rosa"), "glg_Latn")
    assert invited.password is not None
    her = Annotator(server.url, invited.person.user_name, invited.password).http
    if by_key:
        her.headers["X-Argilla-Api-Key"] = her.get("/me").json()["api_key"]
        del her.headers["Authorization"]
    before, sent = stands(server, other), bodies(other)
    endpoints = listing(tmp_path)
    unknown = [e for e in endpoints if e.split()[0] in ("POST", "PUT", "PATCH") and e not in sent]
    assert unknown == [], "an endpoint without a body to try it with"
    wrong = []
    for endpoint in endpoints:
        if endpoint == "POST /token":
            continue
        wrong += judged(endpoint, call(her, endpoint, other, sent.get(endpoint)), other)
    assert wrong == []
    assert stands(server, other) == before
    assert len(endpoints) > 60


def test_the_owner_does_see_it(server: Argilla, people: People) -> None:
    """The test above can fail: the same calls of who may see it show every secret."""
    other = make_other(server, people)
    http = httpx.Client(base_url=f"{server.url}/api/v1", timeout=60,
                        headers={"X-Argilla-Api-Key": server.get("/me")["api_key"]})  # fmt: skip
    readable = [*SEARCH[1:], "GET /datasets/{dataset_id}", "GET /records/{record_id}", "GET /users",
                "GET /users/{user_id}", "GET /me", "GET /me/datasets"]  # fmt: skip
    sent = bodies(other)
    shown = [call(http, endpoint, other, sent.get(endpoint)).text for endpoint in readable]
    assert all(any(text in body for body in shown) for text in other.secrets)
    assert all(judged(endpoint, call(http, endpoint, other, sent.get(endpoint)), other)
               for endpoint in readable)  # fmt: skip


@pytest.mark.parametrize("path", ["/me", "/users", "/me/datasets", "/me/workspaces", "/settings"])
def test_who_is_not_signed_in_learns_nothing(server: Argilla, people: People, path: str) -> None:
    answer = httpx.get(f"{server.url}/api/v1{path}", timeout=60)
    assert answer.status_code == 401 or path == "/settings"
    assert server.get("/me")["api_key"] not in answer.text


@pytest.mark.parametrize("name", ["argilla", "owner", "admin"])
@pytest.mark.parametrize("password", ["1234", "12345678", "argilla"])
def test_there_are_no_default_credentials(server: Argilla, name: str, password: str) -> None:
    http = httpx.Client(base_url=f"{server.url}/api/v1", timeout=60)
    form = {"username": name, "password": password}
    assert http.post("/token", data=form).status_code == 401
    key = {"X-Argilla-Api-Key": f"{name}.apikey"}
    assert http.get("/me", headers=key).status_code == 401

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.annotation.conftest import ArgillaServer
from tests.annotation.views.argilla.acting import Annotator, unique

from whyguard.annotation.people import People
from whyguard.annotation.views.argilla import client
from whyguard.annotation.views.argilla.client import Argilla, connect
from whyguard.annotation.views.argilla.invite import invite
from whyguard.core.errors import ConfigError, DataError, PartialError

Answer = tuple[int, Any]


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[Argilla, list[str]]]:
    """A server that gives these answers in turn, the last one for good."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            status, content = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *_: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}"
    try:
        with httpx.Client(base_url=url) as http:
            yield Argilla(SimpleNamespace(http_client=http), url), asked
    finally:
        web.shutdown()
        web.server_close()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSES", (0.0, 0.0))


@pytest.mark.usefixtures("no_pauses")
def test_reading_goes_on_after_a_failure() -> None:
    with answering((503, {}), (500, {}), (200, {"x": 1})) as (server, asked):
        assert server.get("/me") == {"x": 1}
    assert asked == ["GET /api/v1/me"] * 3


@pytest.mark.usefixtures("no_pauses")
def test_records_may_be_sent_again() -> None:
    with answering((502, {}), (200, {"x": 1})) as (server, asked):
        assert server.put("/x", {"items": []}) == {"x": 1}
    assert len(asked) == 2


@pytest.mark.usefixtures("no_pauses")
def test_something_new_is_sent_once() -> None:
    with (
        answering((502, {}), (200, {})) as (server, asked),
        pytest.raises(PartialError, match="status 502"),
    ):
        server.post("/users", {})
    assert len(asked) == 1


@pytest.mark.usefixtures("no_pauses")
def test_a_failure_that_stays_says_how_to_go_on() -> None:
    with answering((503, {})) as (server, asked), pytest.raises(PartialError, match="repeat"):
        server.get("/me")
    assert len(asked) == 3


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_is_gone() -> None:
    with answering((200, {})) as (server, _):
        pass
    http = httpx.Client(base_url=server.url)
    with pytest.raises(PartialError, match="whyguard review serve"):
        Argilla(SimpleNamespace(http_client=http), server.url).get("/me")


def test_a_refusal_names_fields_and_not_what_was_sent() -> None:
    errors = [{"loc": ["body", "items", 0, "fields"], "msg": "secret-msg", "input": "secret-text"}]
    detail = {"code": "argilla.api.errors::ValidationError", "params": {"errors": errors}}
    with (
        answering((422, {"detail": detail})) as (server, _),
        pytest.raises(DataError, match=r"ValidationError body\.items\.0\.fields") as raised,
    ):
        server.put("/x", {"items": ["secret-text"]})
    assert "secret" not in str(raised.value)


def test_a_refusal_in_words_names_the_position() -> None:
    words = "Record at position 7 is not valid because secret-text"
    with (
        answering((422, {"detail": words})) as (server, _),
        pytest.raises(DataError, match="422 at position 7 of the batch") as raised,
    ):
        server.put("/x", {})
    assert "secret" not in str(raised.value)


def test_a_refusal_that_is_no_json_of_argilla() -> None:
    with (
        answering((404, ["secret-text"])) as (server, _),
        pytest.raises(DataError, match="status 404\n"),
    ):
        server.get("/x")


def page(total: int, *ids: str) -> Answer:
    return 200, {"items": [{"id": row} for row in ids], "total": total}


def test_pages_hold_every_row_once() -> None:
    with answering(page(3, "a", "b"), page(3, "c")) as (server, asked):
        assert [len(rows) for rows in server.pages("/x")] == [2, 1]
    assert "offset=2" in asked[1]


@pytest.mark.parametrize("second", [page(3, "b"), page(3)], ids=["a row twice", "rows missing"])
def test_a_list_that_moved_while_it_was_read(second: Answer) -> None:
    with (
        answering(page(3, "a", "b"), second) as (server, _),
        pytest.raises(PartialError, match="repeat the call"),
    ):
        list(server.pages("/x"))


def test_an_annotators_key_is_refused(server: Argilla, people: People) -> None:
    invited = invite(server, people, unique("Rosa"), "ast_Latn")
    assert invited.password is not None
    her = Annotator(server.url, invited.person.user_name, invited.password)
    with pytest.raises(ConfigError, match="of one annotator"):
        connect(server.url, her.http.get("/me").json()["api_key"])


@pytest.mark.parametrize("proxied", [True, False])
def test_proxies_come_from_the_environment(
    argilla_server: ArgillaServer, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "" if proxied else "127.0.0.1")
    if proxied:
        with pytest.raises(PartialError, match="ConnectError"):
            connect(argilla_server.api_url, argilla_server.api_key)
    else:
        assert connect(argilla_server.api_url, argilla_server.api_key).get("/version")


def test_a_wrong_key_is_named_and_not_shown(argilla_server: ArgillaServer) -> None:
    with pytest.raises(ConfigError, match="ARGILLA_API_KEY") as raised:
        connect(argilla_server.api_url, "wrong-key-0123456789")
    assert "wrong-key" not in str(raised.value)


def test_no_server_says_what_to_do() -> None:
    with pytest.raises(PartialError, match="whyguard review serve") as raised:
        connect("http://user:hidden@127.0.0.1:9", "some-key-0123456789")
    assert "hidden" not in str(raised.value) and "some-key" not in str(raised.value)


@pytest.mark.parametrize("url", ["127.0.0.1:6900", "http://", "http://host:port", "ftp://host"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="http://HOST:PORT"):
        connect(url, "some-key")

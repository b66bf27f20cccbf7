"""Checks of a server against real HTTP servers on loopback that can do more or less."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from whyguard.core.errors import TeacherError
from whyguard.generation.teachers.base import TeacherConfig
from whyguard.generation.teachers.capabilities import ServerFacts, check_server, schema_fields

SCHEMA_TEXT = '{"enum":["a","b"]}'


def config(**other: Any) -> TeacherConfig:
    return TeacherConfig(kind="openai", **({"model_name": "made/up-30b"} | other))


class Server:
    """An OpenAI-like server whose skills are set by each test."""

    def __init__(self) -> None:
        self.models: Any = {"data": [{"id": "made/up-30b", "max_model_len": 4096}]}
        self.models_status = 200
        self.version: str | None = "0.32.0"
        self.heeds: tuple[str, ...] = ("response_format", "structured_outputs")
        self.rejects: tuple[str, ...] = ()
        self.status = 200
        self.logprobs = True
        self.thinks = 0
        """Tokens that pass before it says anything."""
        self.pad = ""
        self.broken = 0
        """So many requests fail first."""
        self.wait = "0.01"
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []

    async def serve(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        if self.broken:
            self.broken -= 1
            return web.json_response({}, status=429, headers={"Retry-After": self.wait})
        if request.path == "/v1/models":
            return web.json_response(self.models, status=self.models_status)
        if request.path == "/version" and self.version:
            return web.json_response({"version": self.version})
        if request.path != "/v1/chat/completions":
            return web.Response(status=404, text="<h1>not here</h1>")
        return self._complete(await request.json())

    def _complete(self, body: dict[str, Any]) -> web.Response:
        self.asked.append(body)
        if self.status != 200 or any(name in body for name in self.rejects):
            error = {"error": {"message": "unknown field"}}
            return web.json_response(error, status=self.status if self.status != 200 else 400)
        choice: dict[str, Any] = {"message": {"content": self._text(body)}, "finish_reason": "stop"}
        if body["max_tokens"] < self.thinks:
            choice = {"message": {"content": None}, "finish_reason": "length"}
        if body.get("logprobs") and self.logprobs:
            choice["logprobs"] = {"content": [{"token": "yes", "logprob": -0.5}]}
        return web.json_response({"choices": [choice]})

    def _text(self, body: dict[str, Any]) -> str:
        for name in self.heeds:
            if name == "response_format" and name in body:
                return self._written(body[name]["json_schema"]["schema"])
            if name == "structured_outputs" and name in body:
                return self._written(body[name]["json"])
        return '{"colour": "blue"}'

    def _written(self, schema: dict[str, Any]) -> str:
        values = {name: field["enum"][0] for name, field in schema["properties"].items()}
        return self.pad + json.dumps(values)


def check(server: Server, asked: TeacherConfig, *, running: bool = True) -> ServerFacts:
    async def main() -> ServerFacts:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        if not running:
            await runner.cleanup()
        try:
            async with aiohttp.ClientSession() as session:
                return await check_server(session, f"http://127.0.0.1:{port}/v1/", asked)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def test_plain_text_costs_no_completion() -> None:
    server = Server()
    assert check(server, config()) == ServerFacts("0.32.0", "none", 4096)
    assert server.paths == ["/v1/models", "/version"]


def test_response_format_is_preferred_and_one_probe_is_enough() -> None:
    server = Server()
    assert check(server, config(form="json")).structured == "response_format"
    assert [body["max_tokens"] for body in server.asked] == [16]
    assert "structured_outputs" not in server.asked[0]


def test_vllms_own_field_where_response_format_is_ignored() -> None:
    server = Server()
    server.heeds = ("structured_outputs",)
    assert check(server, config(form="json")).structured == "structured_outputs"
    assert len(server.asked) == 2


def test_vllms_own_field_where_response_format_is_rejected() -> None:
    server = Server()
    server.rejects = ("response_format",)
    assert check(server, config(form="json")).structured == "structured_outputs"


def test_a_server_that_ignores_both_is_refused() -> None:
    server = Server()
    server.heeds, server.rejects = (), ("structured_outputs",)
    with pytest.raises(TeacherError, match="ignores structured outputs") as caught:
        check(server, config(form="json"))
    assert "response_format: free text; structured_outputs: HTTP 400 (unknown field)" in str(
        caught.value
    )


def test_an_answer_cut_short_inside_the_schema_counts() -> None:
    server = Server()
    server.pad = '{\n  "k7" :\n'
    server._written = lambda schema: server.pad  # type: ignore[method-assign]
    assert check(server, config(form="json")).structured == "response_format"


def test_a_lone_brace_does_not_count() -> None:
    server = Server()
    server._written = lambda schema: "{ "  # type: ignore[method-assign]
    with pytest.raises(TeacherError, match="ignores structured outputs"):
        check(server, config(form="json"))


def test_a_model_that_thinks_first_gets_a_longer_probe() -> None:
    server = Server()
    server.thinks = 100
    assert check(server, config(form="json")).structured == "response_format"
    assert [body["max_tokens"] for body in server.asked] == [16, 1024]


def test_a_model_that_thinks_too_long_is_named() -> None:
    server = Server()
    server.thinks = 5000
    with pytest.raises(TeacherError, match="thinks first"):
        check(server, config(form="json"))


@pytest.mark.parametrize("name", ["made/up-30B-instruct", "other"])
def test_a_model_that_is_not_served(name: str) -> None:
    server = Server()
    server.models = {"data": [{"id": "made/up-30b"}, {"id": "tiny"}]}
    with pytest.raises(TeacherError, match="found:    made/up-30b, tiny") as caught:
        check(server, config(model_name=name))
    assert "made/up-30b" in str(caught.value).split("to do:")[1]
    assert server.asked == []


@pytest.mark.parametrize("status", [404, 405, 403, 501])
def test_a_server_without_a_list_of_models(status: int) -> None:
    server = Server()
    server.models_status, server.version = status, None
    assert check(server, config()) == ServerFacts(None, "none", None)


@pytest.mark.parametrize("models", [[], {"data": "x"}, {"data": [{"id": 3}]}, None])
def test_a_list_of_another_form_tells_nothing(models: Any) -> None:
    server = Server()
    server.models = models
    assert check(server, config()).context is None


def test_a_wrong_key() -> None:
    server = Server()
    server.models_status = 401
    with pytest.raises(TeacherError, match="HTTP 401"):
        check(server, config())


@pytest.mark.parametrize(("status", "said"), [(401, ""), (404, r" \(unknown field\)")])
def test_a_completion_that_is_forbidden(status: int, said: str) -> None:
    server = Server()
    server.status = status
    with pytest.raises(TeacherError, match=rf"completions\n.*\n.*HTTP {status}{said}\n"):
        check(server, config(form="json"))


def test_logprobs() -> None:
    server = Server()
    assert check(server, config(logprobs=True)).version == "0.32.0"
    assert [body["logprobs"] for body in server.asked] == [True]


def test_missing_logprobs() -> None:
    server = Server()
    server.logprobs = False
    with pytest.raises(TeacherError, match="log-probabilities"):
        check(server, config(logprobs=True))


def test_rejected_logprobs() -> None:
    server = Server()
    server.rejects = ("logprobs",)
    with pytest.raises(TeacherError, match="HTTP 400"):
        check(server, config(logprobs=True))


def test_failures_that_pass_are_tried_again() -> None:
    server = Server()
    server.broken = 3
    assert check(server, config(form="json")).structured == "response_format"


def test_failures_that_do_not_pass() -> None:
    server = Server()
    server.broken = 99
    with pytest.raises(TeacherError, match="HTTP 429"):
        check(server, config())
    assert len(server.paths) == 4


def test_no_server() -> None:
    with pytest.raises(TeacherError, match="ClientConnectorError"):
        check(Server(), config(), running=False)


def test_fields_of_a_request() -> None:
    held = {"enum": ["a", "b"]}
    named = {"name": "answer", "strict": True, "schema": held}
    assert schema_fields("response_format", SCHEMA_TEXT) == {
        "response_format": {"type": "json_schema", "json_schema": named}
    }
    assert schema_fields("structured_outputs", SCHEMA_TEXT) == {
        "structured_outputs": {"json": held}
    }
    assert schema_fields("none", SCHEMA_TEXT) == {}


def test_no_room_for_an_answer_is_an_error() -> None:
    server = Server()
    server.models = {"data": [{"id": "made/up-30b", "max_model_len": 64}]}
    with pytest.raises(TeacherError, match=r"(?s)64 tokens in all.*max_new_tokens"):
        check(server, config(max_new_tokens=64))
    assert check(server, config(max_new_tokens=16)).context == 64


def test_what_a_forbidding_server_says_is_not_repeated() -> None:
    server = Server()
    server.models, server.models_status = {"error": {"message": "bad key: SECRET"}}, 401
    with pytest.raises(TeacherError, match="HTTP 401") as caught:
        check(server, config())
    assert "SECRET" not in str(caught.value)

"""What a server can do, asked once before the first call: silence there would cost answers."""

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, NoReturn

import aiohttp

from whyguard.core.errors import TeacherError, fail
from whyguard.core.nearest import suggest
from whyguard.generation.teachers.base import TeacherConfig
from whyguard.generation.teachers.failures import retry_after

Structured = Literal["response_format", "structured_outputs", "none"]
"""How a schema is sent: OpenAI's field, vLLM's own field, or not at all."""

_TRIES = 4
_LISTING_SECONDS = 10.0
"""For addresses that answer without a model: a mute server is found out soon."""
_BACKOFF_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 30.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_NOT_THERE = frozenset({400, 403, 404, 405, 410, 501})
"""Statuses of an address that many servers lack: nothing is learned from them."""
_FORBIDS = frozenset({401, 403, 407})
_UNKNOWN_FIELD = frozenset({400, 422, 501})
_PROBE_TOKENS = (16, 1024)
"""The second is for servers that first think, and say nothing within the first."""
_PROBE_KEY, _PROBE_VALUE = "k7", "zq-31"
"""No free answer to the probe's question would hold these."""
_LEAST_PREFIX = 4
_SHOWN = 200


class ServerFacts(NamedTuple):
    """What was learned of a server; None: it does not say, or was not asked."""

    version: str | None = None
    """What `/version` tells (vLLM)."""
    structured: Structured = "none"
    """The field in which it takes a schema; none where `form` is not json."""
    context: int | None = None
    """Tokens that prompt and answer may have together (vLLM's `max_model_len`)."""


class _Reply(NamedTuple):
    status: int
    body: Any
    """Parsed JSON; None where it was no JSON."""
    problem: str = ""
    """What went wrong where there is no status (0)."""
    wait: float = 0.0


def schema_fields(structured: Structured, schema: str) -> dict[str, Any]:
    """The fields of a request that hold its answer to `schema` (JSON text).

    vLLM's former `guided_json` and `guided_choice` are never used: it ignores them in silence.
    """
    if structured == "response_format":
        named = {"name": "answer", "strict": True, "schema": json.loads(schema)}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if structured == "structured_outputs":
        return {"structured_outputs": {"json": json.loads(schema)}}
    return {}


async def check_server(session: aiohttp.ClientSession, base_url: str, config: TeacherConfig
                       ) -> ServerFacts:  # fmt: skip
    """Ask whether the model is served, and whether what the config needs is really done.

    One small completion is asked for each of `form: json` and `logprobs` (two where the schema
    has to go into vLLM's own field). Failures that pass are tried again.

    Raises:
        TeacherError: the server cannot be reached or forbids it, does not serve the model, lets
            answers leave the schema, gives no log-probabilities, or has no room for an answer.
    """
    url = base_url.rstrip("/")
    context = _context(await _models(session, url), config, url)
    if context is not None and context <= config.max_new_tokens:
        fail(TeacherError, where=f"{url}: model '{config.model_name}'",
             expected=f"room for a prompt and {config.max_new_tokens} new tokens",
             found=f"{context} tokens in all", do="lower teacher.max_new_tokens, or start the "
             "server with a longer context")  # fmt: skip
    version = await _version(session, url)
    structured: Structured = "none"
    if config.form == "json":
        structured = await _structured(session, url, config)
    if config.logprobs:
        await _check_logprobs(session, url, config)
    return ServerFacts(version, structured, context)


async def _models(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]] | None:
    """The models that the server lists; None where it lists none."""
    reply = await _ask(session, f"{url}/models")
    if reply.status != 200 and reply.status not in _NOT_THERE:
        _no_reply(f"{url}/models", reply)
    listed = reply.body.get("data") if isinstance(reply.body, dict) else None
    if reply.status != 200 or not isinstance(listed, list):
        return None
    return [card for card in listed if isinstance(card, dict) and isinstance(card.get("id"), str)]


def _context(cards: list[dict[str, Any]] | None, config: TeacherConfig, url: str) -> int | None:
    """The served model's context, where it is told."""
    if not cards:
        return None
    served = {card["id"]: card for card in cards}
    name = str(config.model_name)
    if name not in served:
        fail(TeacherError, where=f"{url}: model '{name}'", expected="a model that it serves",
             found=_listed(served), do=f"set model_name: {suggest(name, served)}")  # fmt: skip
    length = served[name].get("max_model_len")
    return length if isinstance(length, int) and not isinstance(length, bool) else None


async def _version(session: aiohttp.ClientSession, url: str) -> str | None:
    reply = await _try(session, f"{url.removesuffix('/v1')}/version", None)
    found = reply.body.get("version") if isinstance(reply.body, dict) else None
    return found if reply.status == 200 and isinstance(found, str) else None


async def _structured(session: aiohttp.ClientSession, url: str, config: TeacherConfig
                      ) -> Structured:  # fmt: skip
    """The first of the two fields that the server heeds."""
    found = ""
    ways: tuple[Structured, ...] = ("response_format", "structured_outputs")
    for way in ways:
        heeds, told = await _heeds(session, url, config, way)
        if heeds:
            return way
        found += f"{'; ' if found else ''}{way}: {told}"
    fail(TeacherError, where=f"{url}: the server ignores structured outputs",
         expected="answers that keep to a JSON schema (form: json)", found=found,
         do="use a server that has them, or form: tags")  # fmt: skip


async def _heeds(session: aiohttp.ClientSession, url: str, config: TeacherConfig, way: Structured
                 ) -> tuple[bool, str]:  # fmt: skip
    """Whether a schema in that field shapes the answer, and what was found."""
    told = ""
    for most in _PROBE_TOKENS:
        fields = schema_fields(way, _probe_schema())
        reply = await _complete(session, url, config, "Name a colour.", most, fields)
        if reply.status in _UNKNOWN_FIELD:
            return False, f"HTTP {reply.status}{_said(reply.body)}"
        content, ended = _content(reply.body)
        if content.strip() or ended != "length":
            return _keeps(content), "free text" if content.strip() else "no text"
        told = f"no text within {most} tokens (a model that thinks first?)"
    return False, told


def _probe_schema() -> str:
    field = {"type": "string", "enum": [_PROBE_VALUE]}
    return json.dumps({"type": "object", "properties": {_PROBE_KEY: field},
                       "required": [_PROBE_KEY], "additionalProperties": False})  # fmt: skip


def _keeps(content: str) -> bool:
    """Whether the text is what the probe's schema allows, or (cut short) begins like it."""
    packed = "".join(content.split())
    whole = json.dumps({_PROBE_KEY: _PROBE_VALUE}, separators=(",", ":"))
    return len(packed) >= _LEAST_PREFIX and whole.startswith(packed)


async def _check_logprobs(session: aiohttp.ClientSession, url: str, config: TeacherConfig) -> None:
    reply = await _complete(session, url, config, "Say yes.", 4, {"logprobs": True})
    try:
        first = reply.body["choices"][0]["logprobs"]["content"][0]
        told = isinstance(first["token"], str) and isinstance(first["logprob"], int | float)
    except (LookupError, TypeError):
        told = False
    if not told:
        found = "none" if reply.status == 200 else f"HTTP {reply.status}{_said(reply.body)}"
        fail(TeacherError, where=f"{url}: log-probabilities", found=found,
             expected="choices[0].logprobs.content in the reply",
             do="set teacher.logprobs to false, or use a server that has them")  # fmt: skip


async def _complete(session: aiohttp.ClientSession, url: str, config: TeacherConfig, text: str,
                    most: int, fields: dict[str, Any]) -> _Reply:  # fmt: skip
    """One small completion; a 200 without the protocol's form, and what forbids calls, raise."""
    body = {"model": config.model_name, "messages": [{"role": "user", "content": text}],
            "max_tokens": most, "temperature": 0.0} | fields  # fmt: skip
    address = f"{url}/chat/completions"
    reply = await _ask(session, address, body)
    if reply.status != 200 and reply.status not in _UNKNOWN_FIELD:
        _no_reply(address, reply)
    return reply


def _content(body: Any) -> tuple[str, str | None]:
    """Text and finish reason of a completion; empty where there is none."""
    try:
        choice = body["choices"][0]
        content = choice["message"]["content"]
        return content if isinstance(content, str) else "", choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        return "", None


async def _ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any] | None = None
               ) -> _Reply:  # fmt: skip
    """A reply; failures that pass are tried again.

    Raises:
        TeacherError: they did not pass.
    """
    for attempt in range(_TRIES):
        reply = await _try(session, url, body)
        if reply.status and reply.status not in _PASSING:
            return reply
        if attempt + 1 < _TRIES:
            await asyncio.sleep(max(reply.wait, _BACKOFF_SECONDS * 2.0**attempt))
    _no_reply(url, reply)


async def _try(session: aiohttp.ClientSession, url: str, body: dict[str, Any] | None) -> _Reply:
    method = "GET" if body is None else "POST"
    whole_time = session.timeout.total or _LISTING_SECONDS
    seconds = whole_time if body else min(whole_time, _LISTING_SECONDS)
    try:
        async with session.request(method, url, json=body,
                                   timeout=aiohttp.ClientTimeout(total=seconds)
                                   ) as response:  # fmt: skip
            raw = await response.read()
            asked = retry_after(response.headers.get("Retry-After"), time.time())
            wait = min(asked, _LONGEST_WAIT_SECONDS)
            parsed, whole = _parsed(raw)
            if body is not None and response.status == 200 and not whole:
                return _Reply(0, None, "a reply that is not JSON")
            return _Reply(response.status, parsed, "", wait)
    except (TimeoutError, aiohttp.ClientError) as error:
        return _Reply(0, None, f"{type(error).__name__}: {error}".rstrip(": "))


def _parsed(raw: bytes) -> tuple[Any, bool]:
    try:
        return json.loads(raw), True
    except (ValueError, RecursionError):
        return None, False


def _no_reply(where: str, reply: _Reply) -> NoReturn:
    # what forbids calls may repeat the key
    said = "" if reply.status in _FORBIDS else _said(reply.body)
    found = reply.problem or f"HTTP {reply.status}{said}"
    fail(TeacherError, where=where, expected="a server that answers", found=found,
         do="start the server, or check the address, the key and the model's name")  # fmt: skip


def _said(body: Any) -> str:
    """What an error reply to a probe says; a probe holds no prompt that it could repeat."""
    told = body.get("error", body) if isinstance(body, dict) else None
    message = told.get("message") if isinstance(told, dict) else told
    return f" ({message[:_SHOWN]})" if isinstance(message, str) and message else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:10])

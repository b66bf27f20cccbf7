"""A teacher behind any OpenAI-compatible server (vLLM, llama.cpp, a hosted API)."""

import json
import os
import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import aiohttp

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, fail
from whyguard.curation.rejects import encodable
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.capabilities import Structured, check_server, schema_fields
from whyguard.generation.teachers.failures import CallError, Cause, retry_after
from whyguard.generation.teachers.verdicts import verdict_logprob

_LATER = frozenset({408, 409, 425})
_REFUSED = frozenset({400, 403, 413, 422, 451})
"""Said of one prompt (403: gateways that moderate), unless all are refused: see `calls.drive`."""
_MOST_TOKENS = 2**40
_CODE = re.compile(r"[\w.-]{1,60}")
_JSON_HEADERS = {"Content-Type": "application/json"}


class ServerTeacher:
    """One try of one call at a time; what drives it bounds time, tries and concurrency.

    Raises:
        ConfigError: there is no address, it holds a password, or the key cannot be sent.
    """

    identity: tuple[str, ...] = ()
    """The model's name and revision are in the config; of its content nothing is known."""

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime) -> None:
        self._config, self._runtime = config, runtime
        self._base = _address(runtime.base_url)
        self._url = _join(self._base, "chat/completions")
        self._key()
        self._session: aiohttp.ClientSession | None = None
        self._structured: Structured = "response_format"
        self.generator = f"server:{config.model_name}"
        self.use: ModelUse | None = ModelUse(
            reference=str(config.model_name), revision=config.model_revision or "as served",
            licence="not stated", role="teacher",
        )  # fmt: skip

    async def open(self) -> None:
        """Connect, and check that the server can do what the config asks for.

        Raises:
            TeacherError: it cannot.
        """
        timeout = aiohttp.ClientTimeout(total=self._runtime.deadline_seconds)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._key()) as session:
            # Without the query: messages of the check name the address.
            plain = urlsplit(self._base)._replace(query="", fragment="").geturl()
            facts = await check_server(session, plain, self._config)
        if facts.structured != "none":
            self._structured = facts.structured
        if self.use and facts.version and not self._config.model_revision:
            served = f"as served by a server of version {facts.version}"
            self.use = self.use.model_copy(update={"revision": served})
        # Time is bounded by who calls; the number of connections by who calls side by side.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._runtime.deadline_seconds),
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(),
            headers=_JSON_HEADERS | self._key(),
        )  # fmt: skip

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, task: Task) -> Answer:
        """One try.

        Raises:
            CallError: no answer came.
        """
        if self._session is None:
            raise CallError(Cause.CONNECTION, "not connected")
        body = json.dumps(self._body(task)).encode()
        try:
            async with self._session.post(self._url, data=body) as response:
                reply = await response.read()
        except aiohttp.ClientPayloadError as error:
            raise CallError(Cause.TRUNCATED, "the connection closed inside the reply") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise CallError(Cause.TIMEOUT, "connecting") from error
            raise CallError(Cause.CONNECTION, type(error).__name__) from error
        if response.status != 200:
            _refuse(response.status, reply, response.headers)
        return read_reply(reply)

    def _key(self) -> dict[str, str]:
        name = self._runtime.api_key_env
        key = os.environ.get(name, "").strip()
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
            fail(ConfigError, where=f"the environment variable {name}", expected="a key for the "
                 "server", found="control characters in it",
                 do="set it again, without line breaks")  # fmt: skip
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _body(self, task: Task) -> dict[str, Any]:
        config = self._config
        body: dict[str, Any] = {
            "model": config.model_name,
            "messages": [{"role": role, "content": text} for role, text in task.messages],
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "seed": config.seed + task.sample,
        }
        if config.logprobs:
            body["logprobs"] = True
        if task.messages and task.messages[-1][0] == "assistant":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if task.schema is not None:
            body |= schema_fields(self._structured, task.schema)
        return body


def read_reply(body: bytes) -> Answer:
    """The answer in a reply of the chat completions protocol.

    Raises:
        CallError: the body was cut off, or is of another form. It quotes nothing of it.
    """
    reply = _parse(body)
    try:
        choice = reply["choices"][0]
        message, usage = choice["message"], reply.get("usage")
        content = message["content"]
    except (LookupError, TypeError, AttributeError) as error:
        detail = "a reply without choices[0].message.content"
        raise CallError(Cause.MALFORMED, detail) from error
    if content is not None and not isinstance(content, str):
        raise CallError(Cause.MALFORMED, "a reply whose content is no text")
    if content is None and message.get("refusal"):
        return Answer(None, "the model refused to answer")
    finish = choice.get("finish_reason")
    return Answer(
        encodable(content or ""), tokens=_count(usage, "completion_tokens"),
        logprob=verdict_logprob(_pieces(choice)) if choice.get("logprobs") else None,
        prompt_tokens=_count(usage, "prompt_tokens"),
        finish=finish if isinstance(finish, str) else None,
    )  # fmt: skip


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        if _cut_off(body, error):
            raise CallError(Cause.TRUNCATED, "a reply whose JSON is cut off") from error
        raise CallError(Cause.MALFORMED, "a reply that is not JSON") from error


def _cut_off(body: bytes, error: Exception) -> bool:
    """Whether a body that is no JSON is the beginning of one."""
    text = body.strip()
    if isinstance(error, json.JSONDecodeError):
        ends = (text.endswith((b"}", b"]")) and error.pos < len(error.doc)
                and not error.msg.startswith("Unterminated string"))  # fmt: skip
        return not text or (text.startswith((b"{", b"[")) and not ends)
    return isinstance(error, UnicodeDecodeError) and error.end >= len(body)


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < _MOST_TOKENS else None


def _pieces(choice: dict[str, Any]) -> Sequence[tuple[str, float]]:
    """Generated tokens with their log-probabilities; none where the server gave none."""
    try:
        content = choice["logprobs"]["content"]
        return [(str(piece["token"]), float(piece["logprob"])) for piece in content]
    except (LookupError, TypeError, ValueError):
        return []


def _refuse(status: int, body: bytes, headers: Mapping[str, str]) -> NoReturn:
    if status == 429:
        cause = Cause.RATE_LIMITED
    elif status in _LATER or status >= 500:
        cause = Cause.SERVER_ERROR
    else:
        cause = Cause.REFUSED if status in _REFUSED else Cause.FORBIDDEN
    wait = retry_after(headers.get("Retry-After"), time.time())
    raise CallError(cause, f"HTTP {status}{_error_code(body)}", wait)


def _error_code(body: bytes) -> str:
    """The code of an error reply; its message may quote the prompt, and is not repeated."""
    try:
        error = json.loads(body)["error"]
        code = str(error.get("code") or error.get("type") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return f" ({code})" if _CODE.fullmatch(code) else ""


def _join(base: str, path: str) -> str:
    """The address of a path below a base; a query of the base stays behind it."""
    url = urlsplit(base)
    return url._replace(path=f"{url.path.rstrip('/')}/{path}").geturl()


def _address(base_url: str | None) -> str:
    try:
        url = urlsplit(base_url or "")
        host = url.hostname
    except ValueError:
        url, host = urlsplit(""), None
    shown = url._replace(query="", fragment="", netloc=url.netloc.rpartition("@")[2]).geturl()
    if not host or url.scheme not in ("http", "https"):
        fail(ConfigError, where="runtime.base_url", expected="the address of a server",
             found=f"'{shown}'" if base_url else "nothing",
             do="set it, for example http://127.0.0.1:8000/v1")  # fmt: skip
    if "@" in url.netloc:
        fail(ConfigError, where="runtime.base_url", expected="an address without name and password",
             found="a name or password in it", do="put the key into the environment variable that "
             "api_key_env names: addresses are recorded")  # fmt: skip
    return str(base_url)

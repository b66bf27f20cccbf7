"""The connection to an Argilla server: one place for retries and for what errors say.

Messages name the address, the status and the server's own code, never a key, and never a body:
bodies hold prompts and passwords.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from whyguard.core.errors import ConfigError, DataError, PartialError, WhyguardError, fail
from whyguard.core.optional import require

_API = "/api/v1"
_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each repetition: a server that is being restarted is back within them."""
_PAGE = 500
_REPEATABLE = frozenset({"GET", "PUT", "PATCH"})
"""Calls that may be sent twice: our PUT writes records under ids of our own, PATCH sets values."""
_START = (
    "start the server (`whyguard review serve`) or correct ARGILLA_API_URL, and repeat the call"
)
_HINTS = {
    401: "set ARGILLA_API_KEY to the key of an owner of this server",
    403: "use the key of an owner: others may not do this",
    404: "push again; if it was deleted on purpose, restore it from a backup first",
}


class Argilla:
    """A server and who we are there.

    Args:
        sdk: an `argilla.Argilla` that is connected.
        url: the server's address, without user name and password.
    """

    def __init__(self, sdk: Any, url: str) -> None:
        self.sdk = sdk
        self.url = url

    def get(self, path: str, **params: str | int) -> Any:
        """Read one thing; `path` stands after `/api/v1`."""
        return self._call("GET", path, params=params)

    def put(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Write under ids of our own: may be repeated."""
        return self._call("PUT", path, body=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Set values: may be repeated."""
        return self._call("PATCH", path, body=body)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something new: sent once."""
        return self._call("POST", path, body=body)

    def delete(self, path: str) -> Any:
        """Remove one thing."""
        return self._call("DELETE", path)

    def pages(self, path: str, **params: str | int) -> Iterator[list[dict[str, Any]]]:
        """All items of a list, page by page.

        Raises:
            PartialError: the list changed while it was read, or the server is gone.
        """
        seen: set[str] = set()
        offset, total = 0, 1
        while offset < total:
            page = self.get(path, offset=offset, limit=_PAGE, **params)
            items, total = page["items"], page["total"]
            seen.update(item["id"] for item in items)
            offset += len(items)
            if (not items and offset < total) or len(seen) != offset:
                fail(PartialError, where=f"{self.url}{path}", expected=f"{total} different rows",
                     found=f"{len(seen)} in the first {offset}",
                     do="somebody writes to it at this moment: repeat the call")  # fmt: skip
            yield items

    def _call(self, method: str, path: str, *, params: Mapping[str, str | int] | None = None,
              body: Mapping[str, Any] | None = None) -> Any:  # fmt: skip
        pauses = _PAUSES if method in _REPEATABLE else ()
        for pause in (*pauses, None):
            with failures(f"{method} {self.url}{path}", last=pause is None):
                answer = self.sdk.http_client.request(method, _API + path, params=params, json=body)
                if answer.status_code < 500 or pause is None:
                    return _content(answer, f"{method} {self.url}{path}")
            time.sleep(pause or 0.0)
        raise AssertionError("the last try returns or raises")


def connect(api_url: str, api_key: str, *, timeout: int = 60) -> Argilla:
    """Connect to a server, and see that the key is good.

    Proxies and certificates come from the usual variables (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE).

    Raises:
        ConfigError: the address is none, the key is wrong or not an owner's.
        PartialError: nobody answers there.
        MissingExtraError: `argilla` is not installed.
    """
    parts, url = _address(api_url)
    if not api_key.strip():
        fail(ConfigError, where="ARGILLA_API_KEY", expected="an owner's key", found="nothing",
             do=_HINTS[401])  # fmt: skip
    argilla = require("argilla", "annotate")
    with failures(url, last=True):
        sdk = argilla.Argilla(api_url=api_url, api_key=api_key.strip(), timeout=timeout, retries=2,
                              proxy=_proxy(parts.scheme, str(parts.hostname)))  # fmt: skip
        role = str(sdk.me.role.value)
    if role != "owner":
        fail(ConfigError, where=url, expected="the key of an owner", found=f"of one {role}",
             do=_HINTS[403])  # fmt: skip
    return Argilla(sdk, url)


def _address(api_url: str) -> tuple[SplitResult, str]:
    """The parts of an address, and how it is shown: without user name and password."""
    parts = urlsplit(api_url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None:
        fail(ConfigError, where="ARGILLA_API_URL", expected="http://HOST:PORT or https://HOST",
             found=f"{len(api_url)} characters that are none", do="correct it")  # fmt: skip
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts, f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _proxy(scheme: str, host: str) -> str | None:
    # the SDK hands httpx a transport of its own, and httpx then no longer looks for proxies
    return None if proxy_bypass(host) else getproxies().get(scheme)


@contextmanager
def failures(where: str, *, last: bool = True) -> Iterator[None]:
    """Turn what SDK and httpx raise into our errors; connection failures pass unless `last`.

    Raises:
        PartialError: the server did not answer, or failed.
        ConfigError: the key is wrong, or may not do this.
        DataError: the server refused what was sent.
    """
    import httpx
    from argilla._exceptions import ArgillaError

    try:
        yield
    except httpx.TransportError as error:
        if last:
            fail(PartialError, where=where, expected="an Argilla server that answers",
                 found=type(error).__name__, do=_START)  # fmt: skip
    except (httpx.HTTPStatusError, ArgillaError) as error:
        status = _status(error) or _status(error.__cause__)
        if status is None:
            fail(DataError, where=where, expected="something Argilla accepts",
                 found=type(error).__name__, do="see the error above this one")  # fmt: skip
        _refused(where, status, "")


def _status(error: BaseException | None) -> int | None:
    if type(error).__name__ == "ArgillaCredentialsError":
        return 401
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found or getattr(error, "status_code", None)


def _content(answer: Any, where: str) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    _refused(where, int(answer.status_code), _code(answer))


def _code(answer: Any) -> str:
    """The server's code and which fields it minds; the values that were sent are left out."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    if not isinstance(detail, dict):
        place = re.search(r"position \d+", str(detail))
        return f"at {place[0]} of the batch" if place else ""
    code = str(detail.get("code", "")).rpartition("::")[2]
    errors = (detail.get("params") or {}).get("errors") or []
    places = {".".join(str(part) for part in e.get("loc", ())) for e in errors if "loc" in e}
    return " ".join(filter(None, (code, ", ".join(sorted(places)[:3]))))


def _refused(where: str, status: int, code: str) -> NoReturn:
    kind: type[WhyguardError] = DataError
    if status >= 500:
        kind = PartialError
    elif status in (401, 403):
        kind = ConfigError
    do = _START if status >= 500 else _HINTS.get(status, "correct what is named, and repeat")
    fail(kind, where=where, expected="success", found=f"status {status} {code}".strip(), do=do)

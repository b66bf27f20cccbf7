"""Why a call to a server gave no answer, and whether it is worth another try."""

import re
from email.utils import parsedate_to_datetime
from enum import StrEnum


class Cause(StrEnum):
    """What went wrong with one try; shown in the panel and stored with failures."""

    RATE_LIMITED = "rate limited"
    """HTTP 429."""
    SERVER_ERROR = "server error"
    """HTTP 5xx, 408, 409, 425."""
    TIMEOUT = "no answer in time"
    """The deadline of the try passed."""
    CONNECTION = "connection lost"
    """Refused, reset, or closed before the reply ended."""
    TRUNCATED = "truncated reply"
    """The body ended before its JSON or its declared length did."""
    MALFORMED = "malformed reply"
    """Not JSON, or JSON of another form than the protocol's."""
    REFUSED = "prompt refused"
    """HTTP 400, 403, 413, 422, 451: said of this prompt, unless all are refused."""
    FORBIDDEN = "server says no"
    """Other HTTP 4xx (401, 404, ...): the key, the address or the model is wrong."""

    @property
    def passing(self) -> bool:
        """Whether another try may help."""
        return self not in (Cause.REFUSED, Cause.FORBIDDEN)


class CallError(Exception):
    """One try that gave no answer; never leaves the part that drives calls."""

    def __init__(self, cause: Cause, detail: str, wait: float = 0.0) -> None:
        super().__init__(f"{cause.value}: {detail}")
        self.cause, self.detail = cause, detail
        self.wait = wait
        """Seconds that the server asks to wait."""


def retry_after(value: str | None, now: float) -> float:
    """Seconds that a server asks to wait (RFC 9110, 10.2.3: seconds or a date); 0: none.

    `now` is in seconds since 1970.
    """
    if not value:
        return 0.0
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0

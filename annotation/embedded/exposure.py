"""How many items a day each person is shown: `exposure.json`, read again when it changes."""

import json
import logging
from datetime import UTC, datetime, time
from typing import Any

from argilla_server.search_engine.base import AndFilter, ResponseFilterScope, TermsFilter

from whyguard.annotation.embedded.conditions import PENDING, hex_id, plain
from whyguard.annotation.embedded.connections import rows
from whyguard.annotation.embedded.files import HomeFiles

_SUBMITTED = """
SELECT count(*) FROM responses
WHERE user_id = :user AND status = 'submitted' AND updated_at >= :since"""
_LOG = logging.getLogger(__name__)


class Caps:
    """The caps as they stand in the file now."""

    def __init__(self, files: HomeFiles) -> None:
        self._path = files.exposure
        self._stamp: tuple[int, int] | None = None
        self._caps: dict[str, int] = {}

    def cap(self, user_id: str) -> int | None:
        """Items a day for the user of that id (32 hexadecimal digits); None: no cap.

        A file that cannot be read is logged, and the caps that stood before hold on: a slip of
        the pen must not lift the caps of everybody.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._caps = None, {}
            return None
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._read()
        return self._caps.get(user_id)

    def _read(self) -> None:
        try:
            read: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
            self._caps = {hex_id(user): int(items) for user, items in read.items()}
        except (ValueError, TypeError, AttributeError) as error:
            _LOG.error("%s: not read, the caps before it hold on: %s", self._path, error)


def asks_pending(asked: Any) -> bool:
    """Whether a filter asks for what a user has not answered yet."""
    if isinstance(asked, AndFilter):
        return any(asks_pending(one) for one in asked.filters)
    return (isinstance(asked, TermsFilter) and isinstance(asked.scope, ResponseFilterScope)
            and asked.scope.user is not None and not asked.scope.question
            and PENDING in [plain(value) for value in asked.values])  # fmt: skip


def without_pending(asked: Any) -> Any:
    """The filter without what a user has not answered yet; None: it asks for nothing else."""
    if isinstance(asked, AndFilter):
        rest = [without_pending(one) for one in asked.filters]
        return None if None in rest else AndFilter(rest)
    if not asks_pending(asked):
        return asked
    others = [value for value in asked.values if plain(value) != PENDING]
    return TermsFilter(asked.scope, others) if others else None


async def had_enough(caps: Caps, user_id: Any) -> bool:
    """Whether a user submitted as many answers since midnight (UTC) as her cap allows."""
    user = hex_id(user_id)
    cap = caps.cap(user)
    if cap is None:
        return False
    midnight = datetime.combine(datetime.now(UTC).date(), time.min)
    since = midnight.strftime("%Y-%m-%d %H:%M:%S.%f")
    submitted: int = (await rows(_SUBMITTED, {"user": user, "since": since}))[0][0]
    return submitted >= cap

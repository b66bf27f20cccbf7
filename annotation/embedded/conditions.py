"""Argilla's filters and orders as SQL over its own tables; every value is a bound parameter.

JSON is walked with `json_each` and compared by key, so that no name ever becomes part of a path.
"""

# ruff: noqa: S608 - statements are put together of constants and of marks of bound values

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from argilla_server.search_engine.base import (
    AndFilter,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)

from whyguard.annotation.embedded.connections import Params
from whyguard.annotation.embedded.texts import WHOLE
from whyguard.annotation.embedded.words import Terms

_RECORD_COLUMNS = ("id", "external_id", "inserted_at", "updated_at", "status")
_TIMES = ("inserted_at", "updated_at")
_SUGGESTION_COLUMNS = ("value", "score", "agent", "type")
PENDING = "pending"
_STATUS = "status"


def plain(value: Any) -> str:
    """The text of a plain value or of an enum's member."""
    return str(getattr(value, "value", value))


def hex_id(value: Any) -> str:
    """An id as SQLite holds it: 32 hexadecimal digits."""
    return UUID(str(value)).hex


def sql_time(value: Any) -> str:
    """An ISO time as SQLAlchemy stores it in SQLite: UTC, without zone, with microseconds."""
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _column(name: Any, allowed: Iterable[str]) -> str:
    column = plain(name)
    if column not in allowed:
        message = f"no such property: {column!r}"
        raise ValueError(message)
    return column


class Conditions:
    """Builds the conditions of one statement over `records r`, and collects their parameters."""

    def __init__(self) -> None:
        self.params: Params = {}

    def bind(self, value: Any) -> str:
        """The mark that stands for a value in the statement."""
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def terms(self, looked_for: Terms, field: str | None) -> str:
        """Records whose text has all wanted terms and none of the others."""
        if not looked_for.wanted and not looked_for.unwanted:
            return "0"
        tests = [f"instr(t.content, {self.bind(term)}) > 0" for term in looked_for.wanted]
        tests += [f"instr(t.content, {self.bind(term)}) = 0" for term in looked_for.unwanted]
        named = f"t.record_id = r.id AND t.field = {self.bind(field or WHOLE)}"
        return f"EXISTS (SELECT 1 FROM whyguard_texts t WHERE {' AND '.join([named, *tests])})"

    def filter(self, asked: Any) -> str:
        """The condition of a filter.

        Raises:
            ValueError: its scope or property is none that Argilla has.
        """
        if isinstance(asked, AndFilter):
            return " AND ".join(self.filter(one) for one in asked.filters) or "1"
        scope = asked.scope
        if isinstance(scope, RecordFilterScope):
            return self._record(asked, _column(scope.property, _RECORD_COLUMNS))
        source, column = self.source(scope)
        if column == _STATUS:
            return self._response_status(asked, source)
        return f"EXISTS (SELECT 1 FROM {source} AND {self._compare(asked, column)})"

    def source(self, scope: Any) -> tuple[str, str]:
        """`TABLES WHERE ...` that holds a record's values of a scope, and the values' column.

        Raises:
            ValueError: Argilla has no such scope.
        """
        if isinstance(scope, MetadataFilterScope):
            return (f"json_each(r.metadata) m, json_each(r.metadata, m.fullkey) v "
                    f"WHERE m.key = {self.bind(scope.metadata_property)}"), "v.value"  # fmt: skip
        if isinstance(scope, SuggestionFilterScope):
            return self._suggestions(scope)
        if isinstance(scope, ResponseFilterScope):
            return self._responses(scope)
        message = f"no such scope: {type(scope).__name__}"
        raise ValueError(message)

    def _suggestions(self, scope: Any) -> tuple[str, str]:
        column = _column(scope.property, _SUGGESTION_COLUMNS)
        many = column in ("value", "score")
        joined = "suggestions s JOIN questions q ON q.id = s.question_id"
        joined += f", json_each(s.{column}) v" if many else ""
        named = f"WHERE s.record_id = r.id AND q.name = {self.bind(plain(scope.question))}"
        return f"{joined} {named}", "v.value" if many else f"s.{column}"

    def _responses(self, scope: Any) -> tuple[str, str]:
        whose = f" AND p.user_id = {self.bind(hex_id(scope.user.id))}" if scope.user else ""
        if not scope.question:
            status = _column(scope.property, (_STATUS,))
            return f"responses p WHERE p.record_id = r.id{whose}", status
        answer = "responses p, json_each(p.\"values\") a, json_each(a.value, '$.value') v"
        return (f"{answer} WHERE p.record_id = r.id AND a.key = {self.bind(scope.question)}"
                f"{whose}"), "v.value"  # fmt: skip

    def _record(self, asked: Any, column: str) -> str:
        expression = f"r.{column}"
        if column in _TIMES and isinstance(asked, RangeFilter):
            asked = RangeFilter(asked.scope, *(sql_time(end) if end is not None else None
                                               for end in (asked.ge, asked.le)))  # fmt: skip
        elif column == "id" and isinstance(asked, TermsFilter):
            asked = TermsFilter(asked.scope, [hex_id(value) for value in asked.values])
        return self._compare(asked, expression)

    def _response_status(self, asked: Any, source: str) -> str:
        """Pending = no response at all (of that user); the others are statuses of one."""
        statuses = [plain(value) for value in asked.values]
        # The `+` keeps SQLite from the index of statuses, of which nearly all are the same.
        given = [status for status in statuses if status != PENDING]
        either = []
        if PENDING in statuses:
            either.append(f"NOT EXISTS (SELECT 1 FROM {source})")
        if given:
            either.append(f"EXISTS (SELECT 1 FROM {source} AND {self._among('+p.status', given)})")
        return f"({' OR '.join(either) or '1'})"

    def _compare(self, asked: Any, expression: str) -> str:
        if isinstance(asked, TermsFilter):
            return self._among(f"CAST({expression} AS TEXT)", [plain(v) for v in asked.values])
        ends = ((">=", asked.ge), ("<=", asked.le))
        tests = [f"{expression} {sign} {self.bind(end)}" for sign, end in ends if end is not None]
        return " AND ".join(tests) or "1"

    def _among(self, expression: str, values: Iterable[str]) -> str:
        return f"{expression} IN ({', '.join(self.bind(value) for value in values)})"

    def order(self, asked: Any) -> str:
        """The sort term of an order; records without a value come last, as in Elasticsearch."""
        down = plain(asked.order) == "desc"
        return f"{self._sorted_by(asked.scope, down)} {'DESC' if down else 'ASC'} NULLS LAST"

    def _sorted_by(self, scope: Any, down: bool) -> str:
        if isinstance(scope, RecordFilterScope):
            return f"r.{_column(scope.property, _RECORD_COLUMNS)}"
        source, column = self.source(scope)
        column = "p.status" if column == _STATUS else column
        value = f"max({column})" if down else f"min({column})"
        if isinstance(scope, ResponseFilterScope) and scope.question:
            number = f"CASE WHEN typeof({column}) <> 'text' THEN {column} END"
            value = f"coalesce(avg({number}), {value})"
        return f"(SELECT {value} FROM {source})"

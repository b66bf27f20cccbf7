"""Bad rows and bad files: where one ends and the other begins."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.errors import DataError, fail
from whyguard.core.hashing import canonical_json, sha256_text
from whyguard.core.tables import drop
from whyguard.curation.screen import looks_like_s4

S4_RULE = "s4_not_carried"
_SHOWN_CHARACTERS = 40
_SHOWN_VALUES = 5


class RawRow(NamedTuple):
    """One data row of a file: its number among data rows and the line it begins on, from 1."""

    number: int
    line: int
    values: dict[str, Any]


class RowError(Exception):
    """Internal: a row cannot be used; becomes a `Reject`, and never leaves the reader."""

    def __init__(self, rule: str, field: str, expected: str, found: str, do: str, *,
                 planned: bool = False) -> None:  # fmt: skip
        super().__init__(rule)
        self.rule, self.field, self.expected = rule, field, expected
        self.found, self.do, self.planned = found, do, planned


class Reject(NamedTuple):
    """A row that was not taken, with the rule it broke.

    `planned` marks a rule of ours (a category that is never carried, a label that the source
    leaves open): however many rows it takes, the file is not a bad file.
    """

    raw: RawRow
    row_id: str
    rule: str
    field: str
    expected: str
    found: str
    do: str
    planned: bool = False


def rejected(raw: RawRow, row_id: str, problem: RowError) -> Reject:
    """The reject that a problem makes of a row."""
    return Reject(raw, row_id, problem.rule, problem.field, problem.expected, problem.found,
                  problem.do, problem.planned)  # fmt: skip


def shown(value: object) -> str:
    """A value as messages quote it: short, since fields may hold harmful text."""
    if value is None:
        return "nothing"
    text = encodable(str(value))
    short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return f"'{short}'"


def refuse_bad_file(path: Path, read: int, rejects: Sequence[Reject]) -> None:
    """Raise where one rule is broken by more than half of the `read` rows of a file.

    Raises:
        DataError: names the first bad row, its field, what was expected and found, what to do.
    """
    counts = Counter(reject.rule for reject in rejects if not reject.planned)
    for rule, count in counts.most_common():
        if 2 * count <= read:
            continue
        same = [reject for reject in rejects if reject.rule == rule]
        first = same[0]
        values = Counter(reject.found for reject in same).most_common(_SHOWN_VALUES)
        listed = ", ".join(f"{found} ({n} rows)" for found, n in values)
        fail(
            DataError,
            where=f"{path}:{first.raw.line}: field '{first.field}' (first row that breaks "
            f"'{rule}'; {count} of {read} rows do)",
            expected=first.expected,
            found=first.found if len(values) == 1 else f"{first.found}; in all: {listed}",
            do=first.do,
        )


def drop_of(reject: Reject, source: str, path: Path) -> dict[str, str]:
    """The dropped row of a reject; `where` is "file:line".

    A row that is, or looks like, S4 leaves only its place and the hash of its content, whatever
    rule it broke.
    """
    values: Mapping[str, Any] = plain(reject.raw.values)
    content = canonical_json(values)
    if reject.rule == S4_RULE or looks_like_s4(content):
        values = {"withheld": "S4", "sha256": sha256_text(content)}
    reason = f"{reject.field}: expected {reject.expected}, found {reject.found}"
    where = f"{path.name}:{reject.raw.line}"
    return drop(values, f"{source}:{reject.row_id}", reject.rule, reason, where)


def plain(value: Any) -> Any:
    """A value as canonical JSON can hold it: other types as text, lone surrogates escaped."""
    if isinstance(value, str):
        return encodable(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {encodable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    return str(value)


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

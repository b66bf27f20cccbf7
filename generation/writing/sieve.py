"""Named rules over rows: each drop names the first rule that was broken; yields by language."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from whyguard.core.tables import Row, drop


class Finding(NamedTuple):
    """What a rule found: a problem or none, and whether it could measure anything at all."""

    problem: str | None = None
    measured: bool = True


FINE = Finding()
UNMEASURED = Finding(measured=False)
"""Not measurable here: the row passes, and is counted."""

Rule = Callable[[Row], Finding]
Yields = dict[str, dict[str, dict[str, int]]]
"""Filter -> language -> rows that came in, went out, and were not measurable."""


def bad(problem: str) -> Finding:
    """A broken rule."""
    return Finding(problem)


def expect(holds: bool, problem: str) -> Finding:
    """Fine where it holds."""
    return FINE if holds else bad(problem)


class Filter(NamedTuple):
    """A named rule."""

    name: str
    rule: Rule


class Tally:
    """Counts rows that meet filters, by language."""

    def __init__(self, names: Iterable[str], languages: Iterable[str]) -> None:
        codes = sorted(set(languages))
        self.yields: Yields = {
            name: {code: {"in": 0, "out": 0, "unmeasured": 0} for code in codes} for name in names
        }

    def note(self, name: str, language: str, finding: Finding) -> None:
        """Count one row at one filter."""
        counts = self.yields[name][language]
        counts["in"] += 1
        counts["out"] += finding.problem is None
        counts["unmeasured"] += not finding.measured


class Sieved(NamedTuple):
    """Rows that passed, drops, and the yield of each filter by language."""

    rows: list[Row]
    drops: list[dict[str, str]]
    yields: Yields


def sieve(rows: Sequence[Row], filters: Sequence[Filter], name: Callable[[Row], str],
          language: Callable[[Row], str]) -> Sieved:  # fmt: skip
    """Apply the filters in order; a row leaves at the first one it fails."""
    tally = Tally([item.name for item in filters], map(language, rows))
    kept: list[Row] = []
    drops: list[dict[str, str]] = []
    for row in rows:
        for check in filters:
            finding = check.rule(row)
            tally.note(check.name, language(row), finding)
            if finding.problem is not None:
                drops.append(drop(row, name(row), check.name, finding.problem))
                break
        else:
            kept.append(row)
    return Sieved(kept, drops, tally.yields)

"""Which rows are to be translated, and what is refused before anything is asked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from whyguard.core.errors import ConfigError, fail
from whyguard.core.tables import Row, drop
from whyguard.generation.translation.apertium import check_hops
from whyguard.generation.translation.backends import Backend, BackendConfig, MemoryBackend
from whyguard.generation.translation.chain import hops

SECOND_SOURCE = "second_source_row"


class Wanted(NamedTuple):
    """Rows to translate into one language, and those that cannot be beside them."""

    rows: list[Row]
    drops: list[dict[str, str]]


def wanted(rows: Sequence[Row], source: str, target: str, unit: str) -> Wanted:
    """Rows of the source language that have no translation into the target.

    `unit` is the column that a row shares with its translations. Of two source rows of one unit
    the first is translated: both would be the same row.
    """
    there = {row[unit] for row in rows if row["language"] == target}
    first: dict[str, Row] = {}
    drops = []
    for row in rows:
        if row["language"] != source or row[unit] in there:
            continue
        if row[unit] in first:
            drops.append(_second(row, first[row[unit]], target, unit))
        else:
            first[row[unit]] = row
    return Wanted(list(first.values()), drops)


def _second(row: Row, first: Row, target: str, unit: str) -> dict[str, str]:
    mine, other = row["prompt_id"], first["prompt_id"]
    reason = (f"{unit} {row[unit]} has two rows in {row['language']}: {other} is translated, "
              f"{mine} is not")  # fmt: skip
    return drop(row, f"{mine}>{target}", SECOND_SOURCE, reason)


def check_source(rows: Iterable[Row], source: str) -> None:
    """Some row is in the source language, unless there are no rows at all.

    Raises:
        ConfigError: none is; the message counts the languages that there are.
    """
    counts = Counter(row["language"] for row in rows)
    if counts and source not in counts:
        found = ", ".join(f"{code} ({count})" for code, count in sorted(counts.items()))
        fail(ConfigError, where="config.source", expected=f"rows in {source}", found=found,
             do="name one of these as source, or give the step rows in that one")  # fmt: skip


def check_ways(entries: Sequence[BackendConfig], backends: Sequence[Backend], source: str,
               texts: Mapping[str, Sequence[str]]) -> None:  # fmt: skip
    """Each engine can go each way that it may be asked to; before any text is translated.

    Args:
        entries: the backends' config.
        backends: as `open_backends` gives them, in the same order.
        source: language of all texts.
        texts: by target language.

    Raises:
        ConfigError, MissingToolError: see `apertium.check_hops`.
    """
    for target, all_of_it in texts.items():
        left = list(all_of_it)
        for number, (entry, backend) in enumerate(zip(entries, backends, strict=True)):
            if isinstance(backend, MemoryBackend):
                found = backend.translate(source, target, left)
                left = [text for text, unit in zip(left, found, strict=True) if unit is None]
            elif left and entry.kind == "apertium" and entry.serves(target):
                check_hops(hops(entry, source, target), f"backends.{number} (apertium)")

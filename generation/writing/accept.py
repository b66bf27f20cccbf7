"""Rejection sampling to the label: which samples of a prompt are right, and which is the best."""

import math
from collections.abc import Callable, Iterable, Sequence

from whyguard.core.tables import Row

Facts = dict[str, Row]
"""Prompt rows by prompt_id."""


def contradiction(row: Row) -> str | None:
    """What is wrong with a trace that contradicts itself."""
    if row["verdict"] == "harmful" and not row["violations"]:
        return "harmful, and no rule broken"
    if row["verdict"] != "harmful" and row["violations"]:
        return f"{row['verdict']}, and {len(row['violations'])} rules broken"
    return None


def overlap(row: Row, categories: Sequence[str]) -> float:
    """Jaccard overlap of a trace's violations with the categories of its prompt, in 0..1."""
    named, known = set(row["violations"]), set(categories)
    return len(named & known) / len(named | known) if named | known else 1.0


def best_first(rows: Iterable[Row], categories: Callable[[str], Sequence[str]]) -> list[Row]:
    """Traces in the order in which they are chosen, prompt by prompt.

    Of one prompt: the nearest to its categories, then the highest log-probability of the verdict
    (unmeasured last), then the shortest thinking, then the first sample. Vote share has no say:
    accepted samples of a prompt have one verdict, and so one share.
    """

    def order(row: Row) -> tuple[str, float, float, int, int]:
        logprob = -math.inf if row["logprob"] is None else row["logprob"]
        near = overlap(row, categories(row["prompt_id"]))
        return row["prompt_id"], -near, -logprob, len(row["think"].split()), row["sample"]

    return sorted(rows, key=order)


def surplus(rows: Sequence[Row], keep: int, categories: Callable[[str], Sequence[str]]
            ) -> set[tuple[str, int]]:  # fmt: skip
    """(prompt_id, sample) of the accepted traces beyond the best `keep` of their prompt."""
    taken: dict[str, int] = {}
    over = set()
    for row in best_first(rows, categories):
        taken[row["prompt_id"]] = taken.get(row["prompt_id"], 0) + 1
        if taken[row["prompt_id"]] > keep:
            over.add((row["prompt_id"], row["sample"]))
    return over

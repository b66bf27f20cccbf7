"""Yields of a run's steps in markdown: what came in, what each filter let out, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

HEAD = ("| result | filter | language | in | out | yield | not measurable |\n"
        "|---|---|---|--:|--:|--:|--:|")  # fmt: skip
PROMPTS_HEAD = "| result | label | prompts in | prompts out | yield |\n|---|---|--:|--:|--:|"
REASONS_HEAD = "| result | rule | reason | rows |\n|---|---|---|--:|"


class StepYield(NamedTuple):
    """A step's name and the notes of its manifest."""

    step: str
    notes: Mapping[str, Any]


def yield_table(steps: Sequence[StepYield]) -> str:
    """A line for each step, filter and language that rows came to; "" where no step has yields."""
    lines = [
        f"| {item.step} | {name} | {language} | {counts['in']} | {counts['out']} "
        f"| {_share(counts)} | {counts.get('unmeasured', 0)} |"
        for item in steps
        for name, languages in item.notes.get("yield", {}).items()
        for language, counts in languages.items()
        if counts["in"]
    ]
    return "\n".join([HEAD, *lines]) if lines else ""


def prompts_table(steps: Sequence[StepYield]) -> str:
    """A line for each step and label: prompts that had at least one sample, before and after."""
    lines = [
        f"| {item.step} | {label} | {counts['in']} | {counts['out']} | {_share(counts)} |"
        for item in steps
        for label, counts in item.notes.get("prompts", {}).items()
    ]
    return "\n".join([PROMPTS_HEAD, *lines]) if lines else ""


def reasons_table(step: str, drops: Sequence[tuple[str, str]], most: int = 4) -> str:
    """A line for each (rule, reason) of a step's drops, the commonest first, `most` a rule.

    Reasons hold counts, codes and names of rules; no text of a row.
    """
    counts = Counter(drops)
    shown: Counter[str] = Counter()
    lines = []
    for (rule, reason), count in sorted(counts.items(), key=lambda pair: (pair[0][0], -pair[1])):
        shown[rule] += 1
        if shown[rule] <= most:
            lines.append(f"| {step} | {rule} | {reason.replace('|', '/')} | {count} |")
    return "\n".join(lines)


def _share(counts: Mapping[str, int]) -> str:
    return f"{counts['out'] / counts['in']:.0%}" if counts["in"] else "-"

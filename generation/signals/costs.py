"""What signals would ask of models, before anything is spent."""

from collections.abc import Sequence
from pathlib import Path

from whyguard.core.steps import Estimate
from whyguard.generation.calls.ask import estimate
from whyguard.generation.signals.harm import JudgeConfig, Judged, verdict_tasks
from whyguard.generation.signals.measure import Pair, needs_way_back
from whyguard.generation.signals.names import Signal
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.backends import NO_GUIDE, BackendConfig
from whyguard.generation.translation.costs import Costs


def way_back_cost(pairs: Sequence[Pair], wanted: Sequence[Signal], back: Sequence[BackendConfig],
                  judging: bool, runtime: TeacherRuntime, ledger: Path) -> Estimate:  # fmt: skip
    """Calls of back-translation."""
    costs = Costs(back, runtime, ledger)
    if not needs_way_back(wanted, judging):
        return costs.total
    groups: dict[tuple[str, str], list[str]] = {}
    for pair in pairs:
        if pair.source:
            ends = (pair.row["language"], pair.source["language"])
            groups.setdefault(ends, []).append(pair.row["text"])
    for (language, home), texts in sorted(groups.items()):
        costs.add(language, home, texts, [NO_GUIDE] * len(texts))
    return costs.total


def verdict_cost(pairs: Sequence[Pair], judge: JudgeConfig | None, runtime: TeacherRuntime,
                 ledger: Path) -> Estimate:  # fmt: skip
    """Calls of a teacher judge, exact for texts that it reads as they are.

    A back-translation, which is not there yet, counts as one call as long as its translation.
    """
    if judge is None or judge.teacher is None:
        return Estimate()
    texts = []
    for number, pair in enumerate(pairs):
        for row in (pair.source, pair.row):
            if row is None:
                continue
            known = row["language"] in judge.languages
            text = row["text"] if known else f"{row['text']} ({number})"  # equal to no other
            texts.append(Judged(row["prompt_id"], row["family_id"], row["language"], text))
    return estimate(verdict_tasks(judge.teacher, texts), judge.teacher, runtime, ledger)

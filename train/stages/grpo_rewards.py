"""The rewards of `train.rewards` as TRL's GRPOTrainer calls them, and what is written down of them.

TRL calls one function a reward, each with all completions of a batch: a completion is scored once,
and its rewards are handed out by name. Only rewards with a weight are given to TRL: what weighs
nothing must not make a completion count as scored.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from whyguard.core.drafts import replacing
from whyguard.core.values import Arm, Label
from whyguard.train.rewards.config import REWARDS, RewardConfig
from whyguard.train.rewards.groups import GroupCounts, count_groups
from whyguard.train.rewards.score import Case, Measures, Rewards, score

RewardFunction = Callable[..., list[float | None]]
LANGUAGE_REWARDS = ("thinking_language", "explanation_language")
ASKED = ("example_id", "language", "label", "categories")
"""Columns of a prompt that its completions are scored by."""
COMPLETIONS = "completions"
"""Folder of the logged completions."""


class Scored(NamedTuple):
    """The completions of one batch, with the rows they answer."""

    completions: list[str]
    example_ids: list[str]
    languages: list[str]
    labels: list[str]
    rewards: list[Rewards]


class Scorer:
    """Scores a batch once, however many reward functions ask for it."""

    def __init__(self, config: RewardConfig, measures: Measures, arm: Arm) -> None:
        self._config, self._measures, self._arm = config, measures, arm
        weights: dict[str, float] = config.weights.model_dump()
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.last: Scored | None = None

    def functions(self) -> list[RewardFunction]:
        """One function a weighted reward, named after it; the first of them scores the batch."""
        names = list(self.weights)
        return [self._function(name, first=name == names[0]) for name in names]

    def _function(self, name: str, *, first: bool) -> RewardFunction:
        def reward(completions: list[str], **columns: Any) -> list[float | None]:
            if first or self.last is None:
                self.last = self.scored(completions, columns)
                _log_means(self.last.rewards, columns["log_metric"])
            return [found.raw[name] for found in self.last.rewards]

        reward.__name__ = name
        return reward

    def scored(self, completions: list[str], columns: Mapping[str, Any]) -> Scored:
        """Every completion's rewards; `columns` has a value of each of `ASKED` for each."""
        labels, languages = columns["label"], columns["language"]
        cases = [Case(Label(label), language, tuple(categories), self._arm)
                 for label, language, categories
                 in zip(labels, languages, columns["categories"], strict=True)]  # fmt: skip
        rewards = [score(text, case, self._config, self._measures)
                   for text, case in zip(completions, cases, strict=True)]  # fmt: skip
        return Scored(completions, columns["example_id"], languages, labels, rewards)


def _log_means(rewards: Sequence[Rewards], log_metric: Callable[[str, float], None]) -> None:
    """Means of each reward, raw and weighted, over the completions to which it applies."""
    for name in REWARDS:
        for kind in ("raw", "weighted"):
            values = [
                value for found in rewards if (value := getattr(found, kind)[name]) is not None
            ]
            if values:
                log_metric(f"{kind}/{name}", sum(values) / len(values))


def comparable(rewards: Sequence[Rewards], weights: Mapping[str, float],
               aggregation: str) -> list[float | None]:  # fmt: skip
    """A number a completion that is equal where nothing tells two completions apart.

    With `sum_then_normalize` it is the sum. With `normalize_then_sum` two completions are alike
    only if each of their rewards is.
    """
    if aggregation == "sum_then_normalize":
        return [found.total for found in rewards]
    seen: dict[tuple[float | None, ...], int] = {}
    numbers = [seen.setdefault(tuple(found.raw[name] for name in weights), len(seen))
               for found in rewards]  # fmt: skip
    return [None if found.total is None else float(number)
            for found, number in zip(rewards, numbers, strict=True)]  # fmt: skip


def total_groups(history: Sequence[Mapping[str, Any]]) -> GroupCounts:
    """Groups of a whole training, from its log: what was logged before a resume counts too."""
    names = ("groups/total", "groups/equal", "groups/unscored")
    return GroupCounts(*(round(sum(entry.get(name) or 0.0 for entry in history)) for name in names))


def group_metrics(counts: GroupCounts) -> dict[str, float]:
    """What is logged of the groups of one batch."""
    return {"groups/total": counts.groups, "groups/equal": counts.equal,
            "groups/unscored": counts.unscored, "groups/idle_share": counts.idle_share}  # fmt: skip


def counted(totals: Sequence[float | None], size: int) -> dict[str, float]:
    """`group_metrics` of completions, all of a group side by side."""
    return group_metrics(count_groups(totals, size))


def completion_rows(scored: Scored, step: int, tokens: Sequence[int], advantages: Sequence[float],
                    size: int) -> pl.DataFrame:  # fmt: skip
    """The table of one batch: a row a completion, with each reward raw and weighted.

    Columns: step, example_id, language, label, sample (its number within the group where groups
    are whole on this process), completion, tokens, raw_NAME and weighted_NAME, total, advantage.
    """
    columns: dict[str, Any] = {
        "step": [step] * len(tokens),
        "example_id": scored.example_ids,
        "language": scored.languages,
        "label": scored.labels,
        "sample": [number % size for number in range(len(tokens))],
        "completion": scored.completions,
        "tokens": list(tokens),
    }
    floats: dict[str, list[float | None]] = {}
    for kind in ("raw", "weighted"):
        for name in REWARDS:
            floats[f"{kind}_{name}"] = [getattr(found, kind)[name] for found in scored.rewards]
    floats["total"] = [found.total for found in scored.rewards]
    floats["advantage"] = list(advantages)
    schema = dict.fromkeys(floats, pl.Float64)
    return pl.DataFrame(columns).hstack(pl.DataFrame(floats, schema=schema))


def write_completions(folder: Path, table: pl.DataFrame, step: int, process: int) -> Path:
    """Write a batch's table whole or not at all; the same step written again replaces it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:06d}-{process}.parquet"
    with replacing(path) as draft:
        table.write_parquet(draft)
    return path


def read_completions(folder: Path) -> pl.DataFrame:
    """All logged completions, by step and process."""
    return pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("step-*.parquet"))])

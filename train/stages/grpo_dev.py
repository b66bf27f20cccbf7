"""Evaluation of the GRPO stage: which dev prompts are asked, and the means of their rewards."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean
from typing import Any

from whyguard.core.hashing import sha256_json
from whyguard.train.rewards.config import REWARDS
from whyguard.train.rewards.score import Rewards


def choose(rows: Sequence[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """At most `limit` rows (None: all), one in turn of each language and label while it has any.

    Which ones depends on ids alone, neither on order nor on a seed, so that trainings on the same
    data are compared on the same prompts. Groups are taken in the order of their hashes: languages
    and labels are asked the same groups where the rows allow it.
    """
    strata: dict[tuple[str, str], list[str]] = {}
    for row in sorted(rows, key=_drawn):
        strata.setdefault((row["language"], row["label"]), []).append(row["example_id"])
    turns = zip_longest(*(strata[name] for name in sorted(strata)))
    ids = [example for turn in turns for example in turn if example is not None]
    kept = set(ids[:limit])
    return [row for row in rows if row["example_id"] in kept]


def dev_means(rewards: Sequence[Rewards]) -> dict[str, float]:
    """Mean total as `reward` (NaN: none applies), mean of each raw reward, and `prompts`.

    A mean is over the completions to which its reward applies, in whatever order they come.
    """
    totals = [found.total for found in rewards if found.total is not None]
    means = {"reward": fmean(totals) if totals else math.nan}
    for name in REWARDS:
        values = [value for found in rewards if (value := found.raw[name]) is not None]
        if values:
            means[name] = fmean(values)
    return means | {"prompts": float(len(rewards))}


def _drawn(row: Mapping[str, Any]) -> tuple[str, str]:
    return sha256_json(row["group_id"]), row["example_id"]

"""Scores and examples for the tests of the pairwise pilot."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from whyguard.core.schemas import Example, Score
from whyguard.core.tables import frame

SALT = "a salt for the tests only"
ARMS = ("explained", "explained_template")


def score(arm: str, example: str, text: str | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "model": f"sft-{arm}-{seed}", "arm": arm, "seed": seed, "example_id": example,
        "mode": "no_think", "group_id": f"g-{example[:3]}", "split": "test",
        "language": "ast_Latn", "label": "harmful", "score": 0.9, "explanation": text,
        "signals": [],
    } | more  # fmt: skip


def scores(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return frame(Score, rows)


def examples(ids: Sequence[str], language: str = "ast_Latn") -> pl.DataFrame:
    return frame(Example, [
        {"example_id": name, "family_id": name, "group_id": f"g-{name[:3]}", "split": "test",
         "language": language, "text": f"prompt of {name}", "label": "harmful",
         "label_sense": "request", "categories": ["S2"], "source": "s", "source_row": name,
         "licence": "CC0-1.0", "reviewed": False, "revisions": [], "signals": []}
        for name in ids
    ])  # fmt: skip


def table(count: int, seeds: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores of both arms, and examples: `count` prompts in Asturian, each in `seeds` seeds."""
    names = [f"e{n:02d}" for n in range(count)]
    rows = [score(arm, name, f"{text} on {name}, {seed}", seed)
            for arm, text in zip(ARMS, ("one", "two"), strict=True)
            for name in names for seed in range(seeds)]  # fmt: skip
    return scores(rows), examples(names)

"""Rows with signals for the tests of routing."""

import random
from typing import Any

from tests.annotation.made import example

from whyguard.core.tables import Row


def signals(**values: float | None) -> list[dict[str, Any]]:
    """Signals in their stored form."""
    return [{"name": name, "value": value} for name, value in values.items()]


def measured(number: int, language: str = "ast_Latn", harmful: bool = True, **values: float | None
             ) -> Row:  # fmt: skip
    """An example with these signals and no others."""
    return example(number, language=language, harmful=harmful, signals=signals(**values))


def ordinary(count: int, language: str = "ast_Latn", seed: int = 0) -> list[Row]:
    """Good rows whose signals spread as real ones do; harmful ones and their twins in turn."""
    rng = random.Random(f"{seed} {language}")
    return [
        measured(n // 2, language, n % 2 == 0, language_confidence=1 - 0.05 * rng.random() ** 2,
                 length_ratio_z=rng.gauss(0, 1), round_trip_chrf=95 - 6 * rng.random(),
                 numbers_kept=1.0 if n % 4 == 0 else None, negation_shift=0.0)
        for n in range(count)
    ]  # fmt: skip


def faulty(row: Row, **values: float | None) -> Row:
    """The row with some signals measured otherwise."""
    kept = {item["name"]: item["value"] for item in row["signals"]}
    return row | {"signals": signals(**(kept | values))}

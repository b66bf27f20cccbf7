"""Made-up examples and review items; texts are placeholders."""

import datetime
from collections.abc import Iterator
from typing import Any

from whyguard.core.tables import Row

AT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def example(number: int = 1, *, harmful: bool = True, language: str = "ast_Latn",
            **changes: Any) -> Row:  # fmt: skip
    """A row of a version."""
    family = f"made:{number:03d}-{'h' if harmful else 'b'}"
    return {
        "example_id": f"{family}:{language}", "family_id": family, "group_id": f"made:{number:03d}",
        "split": ("train", "train", "dev", "test")[number % 4], "language": language,
        "text": f"placeholder request {number} in {language}",
        "label": "harmful" if harmful else "unharmful", "label_sense": "request",
        "categories": [f"S{number % 3 + 1}"] if harmful else [], "think": f"trace {number}",
        "explanation": f"placeholder rationale {number} in {language}" if harmful else None,
        "explanation_english": f"placeholder rationale {number}" if harmful else None,
        "source": "made", "source_row": f"{number}", "licence": "Apache-2.0",
        "translator": "apertium", "explanation_generator": "authored",
        "explanation_translator": "apertium", "reply": "a refusal" if harmful else "help",
        "reviewed": False, "revisions": [], "signals": [{"name": "copied_share", "value": 0.1}],
    } | changes  # fmt: skip


def item(row: Row, kind: str = "rationale", **changes: Any) -> Row:
    """A review item of an example."""
    shown = {"text": row["text"], "source_language": "eng_Latn", "source_text": "placeholder",
             "rationale": row["explanation"], "think": row["think"]}  # fmt: skip
    if kind == "blind":
        shown |= dict.fromkeys(("source_language", "source_text", "rationale", "think"))
    about = {name: row[name] for name in ("example_id", "family_id", "group_id", "split",
                                          "language", "label", "categories")}  # fmt: skip
    return about | shown | {
        "item_id": f"{row['example_id']}#{kind}#0", "kind": kind, "purpose": "work",
        "wanted": 2 if kind == "blind" else 1, "translator": "apertium",
        "rationale_generator": "authored", "suggest": kind == "rationale", "gold": None,
        "risk": 0.25, "reason": "numbers_kept 0.5", "weight": None, "pool": None, "round": 1,
    } | changes  # fmt: skip


def decision(of: Row, question: str, value: str | None, rule: str = "single",
             **changes: Any) -> Row:  # fmt: skip
    """A decision on an item."""
    return {"item_id": of["item_id"], "question": question, "example_id": of["example_id"],
            "language": of["language"], "purpose": of["purpose"], "value": value, "rule": rule,
            "annotators": ["ast-1"], "decided_at": AT} | changes  # fmt: skip


def numbered(count: int, **changes: Any) -> Iterator[Row]:
    """Examples, harmful ones and their twins in turn."""
    for number in range(count):
        yield example(number // 2, harmful=number % 2 == 0, **changes)

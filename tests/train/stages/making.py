"""Stored examples and pairs for stages, made by hand; texts are placeholders."""

from pathlib import Path
from typing import Any

import polars as pl
from tests.train.conftest import example_rows

from whyguard.core.artefact import ArtefactDraft, Counts
from whyguard.core.provenance import collect_provenance
from whyguard.core.schemas import Example
from whyguard.core.tables import SchemaType, drops_frame, frame
from whyguard.train.pairs import PreferencePair

HARMFUL, UNHARMFUL = "<judge>harmful</judge>", "<judge>unharmful</judge>"


def stored(folder: Path, schema: SchemaType, rows: pl.DataFrame) -> Path:
    """A table as a real artefact."""
    facts = {"step": "made.up", "step_version": "1", "key": "made", "config": {}, "inputs": {},
             "counts": Counts(kept=rows.height, dropped={}),
             "provenance": collect_provenance()}  # fmt: skip
    ArtefactDraft(folder).commit(schema, rows, drops_frame(), facts)
    return folder


def stored_examples(folder: Path, groups: int = 8) -> Path:
    """Examples in two languages; of four groups, two are train rows and one is dev rows."""
    return stored(folder, Example, frame(Example, example_rows(groups)))


def pair_rows(count: int = 12) -> list[dict[str, Any]]:
    """Pairs with both verdicts, completions of unlike lengths and an anchor each."""
    return [_pair(number) for number in range(count)]


def stored_pairs(folder: Path, count: int = 12) -> Path:
    """The same as `whyguard train pairs` stores them."""
    return stored(folder, PreferencePair, frame(PreferencePair, pair_rows(count)))


def _pair(number: int) -> dict[str, Any]:
    harmful = number % 2 == 0
    right, wrong = (HARMFUL, UNHARMFUL) if harmful else (UNHARMFUL, HARMFUL)
    think = "<think>" + "the house " * (number % 3) + "is old</think><violations>S2</violations>"
    label, other = ("harmful", "unharmful") if harmful else ("unharmful", "harmful")
    return {
        "pair_id": f"made:{number:02d}:ast_Latn", "family_id": f"made:{number:02d}",
        "group_id": f"made:{number // 2:02d}", "example_id": f"made:{number:02d}:ast_Latn",
        "language": "ast_Latn", "label": label, "categories": ["S2"] if harmful else [],
        "prompt_e": f"the house {number} is old", "prompt_t": f"la casa {number} ye vieya",
        "chosen": f"{think}{right}", "rejected": wrong if number % 3 else f"{think}{wrong}",
        "anchor": f"{think}{right}", "chosen_verdict": label, "rejected_verdict": other,
        "prompt_template": "short-v1", "prefill": "", "generator": "made up", "chosen_call": None,
        "rejected_call": None, "chosen_sample": 0, "rejected_sample": 1, "samples": 4,
        "right_of": 1, "wrong_of": 1, "temperature": 0.7, "top_p": 1.0, "seed": 0,
    }  # fmt: skip

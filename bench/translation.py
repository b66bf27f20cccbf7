"""Apertium in batches against one process a text."""

import json
import shutil
from importlib import resources

from bench.harness import Figure, compare
from whyguard.generation.translation.apertium import Apertium

_TEXTS = 60


def run() -> list[Figure]:
    """Empty where the engine is not installed."""
    if shutil.which("apertium") is None:
        print("translation: skipped, apertium is not installed")
        return []
    path = resources.files("whyguard.curation").joinpath("data/starter/groups.jsonl")
    groups = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    texts = [group["harmful"]["es"] for group in groups[:_TEXTS]]
    engine = Apertium("spa_Latn", "ast_Latn")
    return [
        compare(
            f"translate {_TEXTS} prompts with Apertium", "one process a prompt",
            lambda: [engine.translate([text]) for text in texts],
            lambda: engine.translate(texts),
        )
    ]  # fmt: skip

"""Recipes over small made-up steps, run by the real engine."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from tests.core.made_steps import register  # noqa: E402 - needs the path above

from whyguard.core.registry import STEPS  # noqa: E402

RecipeWriter = Callable[[str], Path]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up steps, known for the time of a test."""
    monkeypatch.setattr("whyguard.core.registry.STEPS", dict(STEPS))
    register()


@pytest.fixture
def write_recipe(tmp_path: Path, made: None) -> RecipeWriter:
    """Writes recipe.yaml (and rows.jsonl beside it) and returns its path."""

    def write(text: str) -> Path:
        rows = [{"id": f"r{n}", "text": f"placeholder {n}"} for n in range(4)]
        lines = [json.dumps(row) + "\n" for row in [*rows, {"id": "bad", "text": ""}]]
        (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write

"""A small real recipe with review steps, and spreadsheets filled in as a linguist would."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from openpyxl import load_workbook

from whyguard.annotation.views.files.layout import name_in

ROOT = Path(__file__).resolve().parents[2]
_GROUPS = ROOT / "curation" / "data" / "starter" / "groups.jsonl"
_QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
_BUILTIN = "builtin:curation/data/starter/groups.jsonl"

Answering = Callable[[Mapping[str, str]], Mapping[str, str | int]]
"""Columns of an item -> answers by question."""


def write_recipe(folder: Path, groups: int = 8, size: int = 4) -> Path:
    """The quickstart's recipe over the first groups of the starter pack, up to its version."""
    lines = _GROUPS.read_text("utf-8").split("\n")[:groups]
    (folder / "groups.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    recipe = yaml.safe_load(_QUICKSTART.read_text("utf-8").replace(_BUILTIN, "groups.jsonl"))
    recipe["steps"]["to_review"]["config"]["minutes"] = 15
    recipe["steps"]["audit"]["config"]["size"] = size
    for name in ("refusal_only", "explained", "scores", "report"):
        del recipe["steps"][name]
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe), "utf-8")  # JSON is YAML
    return path


def fill_in(files: Path, who: str, answer: Answering) -> int:
    """Answer every item of every file of the outbox; returns how many items that were."""
    count = 0
    for path in sorted((files / "outbox").glob("*.xlsx")):
        book = load_workbook(path)
        page = book["items"]
        names = [name_in(str(cell.value)) for cell in page[1]]
        for row in range(2, page.max_row + 1):
            shown = {name: str(page.cell(row, i + 1).value or "") for i, name in enumerate(names)}
            for question, value in answer(shown).items():
                page.cell(row, names.index(question) + 1, value)
            count += 1
        book.save(files / "inbox" / f"{path.stem}.{who}.xlsx")
    return count


def good(shown: Mapping[str, str]) -> dict[str, str | int]:
    """Everything is as it should be; verdicts are the source's (ids end in -h or -b)."""
    if "verdict" in shown:
        return {"verdict": "harmful" if "-h:" in shown["item_id"] else "unharmful"}
    rated: dict[str, str | int] = {"translation_adequacy": 5}
    return rated | ({"rationale_quality": 5} if shown["rationale"] else {})

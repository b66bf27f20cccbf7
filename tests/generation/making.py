"""Made-up prompts, stored inputs and rooms for the steps of generation."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from whyguard.core.artefact import Artefact, ArtefactDraft, Counts
from whyguard.core.progress import Progress
from whyguard.core.provenance import collect_provenance
from whyguard.core.schemas import Explanation, Prompt, Trace
from whyguard.core.steps import Input, Room
from whyguard.core.tables import SchemaType, drops_frame, frame
from whyguard.generation.teachers.base import Task

Rows = Iterable[Mapping[str, Any]]


def prompt(number: int, label: str = "harmful", language: str = "eng_Latn", **other: Any
           ) -> dict[str, Any]:  # fmt: skip
    """A placeholder prompt of the source `made`."""
    harmful = label == "harmful"
    family = f"made:{number:03d}-{'h' if harmful else 'b'}"
    return {
        "prompt_id": f"{family}:{language}", "family_id": family,
        "group_id": f"made:{number:03d}", "source": "made", "source_row": f"{number:03d}",
        "licence": "CC0-1.0", "language": language, "text": f"placeholder {label} request {number}",
        "label": label, "label_sense": "request", "categories": ["S2"] if harmful else [],
        "split": "train", "edits": [], "signals": [],
    } | other  # fmt: skip


def explanation(number: int, language: str = "eng_Latn", **other: Any) -> dict[str, Any]:
    """A rationale of the harmful prompt of that number."""
    return {
        "prompt_id": f"made:{number:03d}-h:eng_Latn", "language": language,
        "text": f"Request {number} would hurt the owner of the house and breaks a rule.",
        "generator": "authored:made", "signals": [],
    } | other  # fmt: skip


def trace(number: int, label: str = "harmful", **other: Any) -> dict[str, Any]:
    """A trace of the prompt of that number and label."""
    return {
        "prompt_id": f"made:{number:03d}-{'h' if label == 'harmful' else 'b'}:eng_Latn",
        "sample": 0, "text": "raw",
        "think": f"The person asks for thing number {number}, which would hurt the neighbours.",
        "violations": ["S2"] if label == "harmful" else [], "verdict": label,
        "generator": "made",
    } | other  # fmt: skip


def task(number: int, text: str = "", **other: Any) -> Task:
    """A trace task with messages."""
    messages = (("system", "You are a guard."), ("user", text or f"request {number}"))
    base = Task("trace", f"made:{number:03d}-h:eng_Latn", f"made:{number:03d}-h", "harmful",
                ("S2",), "eng_Latn", 0, messages)  # fmt: skip
    return base._replace(**other)


def stored(folder: Path, schema: SchemaType, rows: Rows) -> Artefact:
    """The rows as a real artefact."""
    table = frame(schema, rows)
    facts = {"step": "made.up", "step_version": "1", "key": folder.name * 3,
             "counts": Counts(kept=table.height, dropped={}), "config": {}, "inputs": {},
             "provenance": collect_provenance()}  # fmt: skip
    return ArtefactDraft(folder).commit(schema, table, drops_frame(), facts)


def inputs(folder: Path, **tables: Rows) -> dict[str, Input]:
    """Stored inputs by name; the name tells the schema."""
    schemas = {"prompts": Prompt, "traces": Trace, "explanations": Explanation,
               "templates": Explanation}  # fmt: skip
    return {
        name: Input((stored(folder / name, schemas[name], rows),)) for name, rows in tables.items()
    }


def make_room(folder: Path) -> Room:
    """A room with empty folders; an existing scratch folder stays."""
    files, scratch = folder / "files", folder / "scratch"
    files.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    ledger = folder / "ledger"
    ledger.mkdir(exist_ok=True)
    return Room(files, scratch, Progress.silent(), ledger)


def counted(drops: Any) -> dict[str, int]:
    """Drops by rule."""
    return dict(sorted(drops["rule"].value_counts().iter_rows()))

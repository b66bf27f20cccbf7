"""Made-up examples, tiny bases and stored inputs for training and evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.tiny import save_gemma, save_llama
from tests.train.judging import judging_llama

from whyguard.core.artefact import Artefact, ArtefactDraft, Counts
from whyguard.core.progress import Progress
from whyguard.core.provenance import collect_provenance
from whyguard.core.schemas import Example
from whyguard.core.steps import Room, StepResult
from whyguard.core.tables import SchemaType, drops_frame, frame

LANGUAGES = ("ast_Latn", "glg_Latn")
SPLITS = ("train", "train", "dev", "test")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama."""
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Gemma3."""
    return save_gemma(tmp_path_factory.mktemp("gemma"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("WHYGUARD_CACHE", str(tmp_path / "cache"))


def example_rows(groups: int = 8) -> list[dict[str, Any]]:
    """A harmful row and its twin in each group and language; texts are placeholders."""
    return [
        _example(number, language, label)
        for number in range(groups)
        for language in LANGUAGES
        for label in ("harmful", "unharmful")
    ]


def _example(number: int, language: str, label: str) -> dict[str, Any]:
    harmful = label == "harmful"
    family = f"made:{number:02d}-{label[0]}"
    word = "casa" if harmful else "praza"
    return {
        "example_id": f"{family}:{language}", "family_id": family,
        "group_id": f"made:{number:02d}", "split": SPLITS[number % 4], "language": language,
        "text": f"la {word} {number} ye vieya y el ríu pasa cerca", "label": label,
        "label_sense": "request", "categories": [f"S{1 + number % 2}"] if harmful else [],
        "explanation": f"la moza {number} canta na plaza" if harmful else None,
        "explanation_english": f"rule {number}" if harmful else None,
        "explanation_template": "a rule is broken" if harmful else None, "source": "made",
        "source_row": str(number), "licence": "Apache-2.0", "reviewed": False, "revisions": [],
        "signals": [],
    }  # fmt: skip


@pytest.fixture
def examples() -> pl.DataFrame:
    """32 rows in 8 groups and two languages."""
    return frame(Example, example_rows())


Store = Callable[..., Artefact]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Writes a table (and the files of a room) as a real artefact."""

    def write(schema: SchemaType, rows: pl.DataFrame, name: str,
              files: Path | None = None) -> Artefact:  # fmt: skip
        draft = ArtefactDraft(tmp_path / "store" / name)
        if files is not None:
            files.rename(draft.files)
        facts = {"step": "made.up", "step_version": "1", "key": name * 3,
                 "counts": Counts(kept=rows.height, dropped={}), "config": {}, "inputs": {},
                 "provenance": collect_provenance()}  # fmt: skip
        return draft.commit(schema, rows, drops_frame(), facts)

    return write


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Where a step writes."""
    return make_room(tmp_path / "room")


def make_room(folder: Path) -> Room:
    """A room with empty folders."""
    files, scratch = folder / "files", folder / "scratch"
    files.mkdir(parents=True)
    scratch.mkdir(parents=True)
    ledger = folder / "ledger"
    ledger.mkdir(exist_ok=True)
    return Room(files, scratch, Progress.silent(), ledger)


def losses(result: StepResult) -> list[float]:
    """The logged losses of a training."""
    return [float(loss) for loss in result.rows["loss"]]


@pytest.fixture(scope="session")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that writes a verdict at random, then something after it."""
    return judging_llama(tmp_path_factory.mktemp("judging"))

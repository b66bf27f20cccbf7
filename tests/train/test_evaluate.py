"""train/evaluate.py: several guards, chunks that survive, rationales with signals."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.support import needs_module
from tests.train.conftest import LANGUAGES, Store, make_room

from whyguard.core.artefact import Artefact, InputUse
from whyguard.core.errors import ConfigError, DataError
from whyguard.core.schemas import Example, Score, TrainLog
from whyguard.core.steps import Input, Room, Runtime, Workspace
from whyguard.core.tables import frame
from whyguard.generation import models
from whyguard.train import evaluate
from whyguard.train.evaluate import EVALUATE, EvaluateConfig, publish_guards, run_evaluate
from whyguard.train.folder import read_guard
from whyguard.train.sft import SftConfig, run_sft

KEY_DIGITS = 20
RUNTIME = Runtime(device="cpu", threads=1, batch_size=4)
CONFIG = {"languages": list(LANGUAGES), "explain_languages": ["glg_Latn"], "max_new_tokens": 6}


@pytest.fixture
def stored(store: Store, examples: pl.DataFrame) -> Artefact:
    """The examples as an artefact."""
    return store(Example, examples, "examples")


def _guard(stored: Artefact, base: Path, arm: str, store: Store, folder: Path) -> Artefact:
    config = SftConfig.model_validate({"model": f"path:{base}", "arm": arm, "epochs": 1,
                                       "languages": ["ast_Latn"], "batch_size": 8})  # fmt: skip
    room = make_room(folder / arm)
    result = run_sft({"examples": Input((stored,))}, config, RUNTIME, room)
    return store(TrainLog, result.rows, arm, room.files)


def test_guards_and_base_are_scored(stored: Artefact, store: Store, gemma: Path, tmp_path: Path,
                                    room: Room) -> None:  # fmt: skip
    needs_module("fasttext")
    guards = tuple(
        _guard(stored, gemma, arm, store, tmp_path) for arm in ("refusal_only", "explained")
    )
    config = EvaluateConfig.model_validate(CONFIG | {"also_base": f"path:{gemma}"})
    inputs = {"examples": Input((stored,)), "models": Input(guards)}
    result = run_evaluate(inputs, config, RUNTIME, room)
    counts = result.rows.group_by("arm", "split", "language").len().sort(pl.all()).rows()
    expected = [(arm, split, language, 4)
                for arm in ("base", "explained", "refusal_only")
                for split, language in (("dev", "ast_Latn"), ("test", "ast_Latn"),
                                        ("test", "glg_Latn"))]  # fmt: skip
    assert counts == expected
    asked = result.rows.filter(pl.col("explanation").is_not_null())
    assert asked.select("language", "split", "label").unique().rows() == [
        ("glg_Latn", "test", "harmful")
    ]
    assert asked.height == 3 * 2
    names = {signal["name"] for signals in asked["signals"] for signal in signals}
    assert names == {"right_language", "chrf", "specific", "empty", "repetition"}
    assert {use.role for use in result.models} == {"evaluated"}
    assert str(tmp_path) not in "".join(result.rows["model"].unique())
    again = run_evaluate(inputs, config, RUNTIME, make_room(tmp_path / "again"))
    assert again.rows.equals(result.rows)


@pytest.mark.parametrize("dev_languages", [None, ("glg_Latn",)])
def test_guards_are_laid_out_with_their_threshold(
    dev_languages: tuple[str, ...] | None, stored: Artefact, store: Store, llama: Path,
    tmp_path: Path, room: Room,
) -> None:  # fmt: skip
    made = _guard(stored, llama, "explained", store, tmp_path)
    use = InputUse(step="train.sft", key=made.manifest.key, content_sha256="0")
    shelf = tmp_path / "store" / use.step / use.key[:KEY_DIGITS]
    shutil.copytree(made.folder, shelf)
    config = EvaluateConfig(languages=LANGUAGES, dev_languages=dev_languages)
    inputs = {"examples": Input((stored,)), "models": Input((made,))}
    result = run_evaluate(inputs, config, RUNTIME, room)
    scored = store(Score, result.rows, "scores")
    manifest = scored.manifest.model_copy(update={"inputs": {"models": (use,)}})
    scored = Artefact(scored.folder, manifest)
    (laid,) = publish_guards(scored, config, Workspace(tmp_path))
    assert laid.path == tmp_path / "models" / "explained-seed0"
    facts, before = read_guard(laid.path), read_guard(shelf / "files" / "model")
    assert facts is not None and before is not None
    dev = result.rows.filter((pl.col("split") == "dev") & (pl.col("label") == "unharmful"))
    assert facts.threshold is not None and facts.threshold > dev["score"].to_numpy().max()
    assert before == facts.model_copy(update={"threshold": None})
    stamp = (laid.path / "guard.json").stat().st_mtime_ns
    assert publish_guards(scored, config, Workspace(tmp_path)) == (laid,)
    assert (laid.path / "guard.json").stat().st_mtime_ns == stamp
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["explained-seed0"]


def test_rows_of_trained_groups_are_not_held_out(
    stored: Artefact, store: Store, llama: Path, tmp_path: Path, room: Room
) -> None:
    guard = _guard(stored, llama, "explained", store, tmp_path)
    moved = stored.rows().with_columns(
        split=pl.when(pl.col("group_id") == "made:00")
        .then(pl.lit("test"))
        .otherwise(pl.col("split").cast(pl.String))
    )
    again = store(Example, frame(Example, moved.to_dicts()), "moved")
    inputs = {"examples": Input((again,)), "models": Input((guard,))}
    with pytest.raises(DataError, match=r"1 groups that it was trained on, such as made:00"):
        run_evaluate(inputs, EvaluateConfig(languages=LANGUAGES), RUNTIME, room)


def test_stored_chunks_are_not_scored_again(stored: Artefact, gemma: Path, room: Room,
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    config = EvaluateConfig(languages=LANGUAGES, also_base=f"path:{gemma}")
    inputs = {"examples": Input((stored,))}
    first = run_evaluate(inputs, config, RUNTIME, room)
    chunks = sorted((room.scratch / "scores").glob("*.parquet"))
    assert len(chunks) == 2
    chunks[0].unlink()
    (room.scratch / "scores" / "half.part").write_bytes(b"PAR1")
    loads: list[object] = []

    def counted(*given: object) -> object:
        loads.append(given)
        return models.load_located(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluate, "load_located", counted)
    assert run_evaluate(inputs, config, RUNTIME, room).rows.equals(first.rows)
    assert run_evaluate(inputs, config, RUNTIME, room).rows.equals(first.rows)
    assert len(loads) == 1


def test_dev_languages_can_be_named(stored: Artefact, gemma: Path, room: Room) -> None:
    config = EvaluateConfig(languages=("ast_Latn",), dev_languages=("glg_Latn",),
                            also_base=f"path:{gemma}")  # fmt: skip
    rows = run_evaluate({"examples": Input((stored,))}, config, RUNTIME, room).rows
    assert rows.filter(pl.col("split") == "dev")["language"].unique().to_list() == ["glg_Latn"]


def test_no_model_is_an_error(stored: Artefact, room: Room) -> None:
    config = EvaluateConfig(languages=LANGUAGES)
    with pytest.raises(ConfigError, match="expected: models, or also_base"):
        run_evaluate({"examples": Input((stored,))}, config, RUNTIME, room)


def test_no_row_is_an_error(stored: Artefact, gemma: Path, room: Room) -> None:
    config = EvaluateConfig(languages=("cat_Latn",), also_base=f"path:{gemma}")
    with pytest.raises(ConfigError, match="check languages and splits"):
        run_evaluate({"examples": Input((stored,))}, config, RUNTIME, room)


def test_the_declaration() -> None:
    assert (EVALUATE.name, EVALUATE.optional) == ("train.evaluate", frozenset({"models"}))

"""Config of backends: each kind has its fields, others are errors; opening them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from whyguard.core.errors import MissingFileError
from whyguard.core.refs import Resolver, keyed_config
from whyguard.core.steps import Room
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.backends import (
    BackendConfig,
    MemoryBackend,
    open_backends,
)

TEACHER = {"kind": "openai", "model_name": "m"}
SEQ2SEQ = {"kind": "seq2seq", "model": "hf:a/b", "family": "nllb"}


@pytest.mark.parametrize(("entry", "match"), [
    ({"kind": "memory"}, "'file' for a backend of kind memory"),
    ({"kind": "apertium", "file": "x"}, "'file' for a backend of kind memory, and for no other"),
    ({"kind": "memory", "file": "x", "pivot": "spa_Latn"},
     "'pivot' for a backend of kind apertium or seq2seq or llm"),
    ({"kind": "seq2seq", "family": "nllb"}, "'model' for a backend of kind seq2seq"),
    ({"kind": "seq2seq", "model": "hf:a/b"}, "'family' for a backend of kind seq2seq"),
    (SEQ2SEQ | {"family": "bart"}, "Input should be 'nllb', 'm2m', 'madlad' or 'opus'"),
    (SEQ2SEQ | {"beams": 0}, "greater than or equal to 1"),
    (SEQ2SEQ | {"teacher": TEACHER}, "'teacher' for a backend of kind llm, and for no other"),
    ({"kind": "llm"}, "'teacher' for a backend of kind llm"),
    ({"kind": "llm", "teacher": TEACHER, "beams": 2}, "'beams' for a backend of kind seq2seq"),
    ({"kind": "llm", "teacher": {"kind": "template"}}, "not of kind template"),
    ({"kind": "llm", "teacher": TEACHER | {"samples": 2, "temperature": 1}}, "one sample"),
    ({"kind": "apertium", "max_chars": 5}, "greater than or equal to 20"),
    ({"kind": "apertium", "languages": ["ast_Latn", "ast_Latn"]}, "not 'ast_Latn' twice"),
    ({"kind": "apertium", "beam": 5}, "Extra inputs are not permitted"),
])  # fmt: skip
def test_bad_entries(entry: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        BackendConfig.model_validate(entry)


@pytest.mark.parametrize("entry", [
    {"kind": "memory", "file": "m.csv", "columns": {"spa_Latn": "es", "ast_Latn": "a"}},
    {"kind": "apertium", "pivot": "spa_Latn"},
    SEQ2SEQ | {"tags": {"ast_Latn": "x"}, "beams": 4},
    {"kind": "llm", "teacher": TEACHER, "languages": ["ast_Latn"]},
])  # fmt: skip
def test_a_dumped_entry_is_read_again(entry: dict[str, Any]) -> None:
    config = BackendConfig.model_validate(entry)
    assert BackendConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_lengths_of_pieces() -> None:
    kinds = [SEQ2SEQ, {"kind": "llm", "teacher": TEACHER}, {"kind": "apertium"}]
    assert [BackendConfig.model_validate(k).piece_chars for k in kinds] == [250, 2000, None]
    assert BackendConfig.model_validate(SEQ2SEQ | {"max_chars": 90}).piece_chars == 90


def test_the_key_holds_what_a_model_holds(tmp_path: Path) -> None:
    keys = []
    for text in ("{}", '{"a": 1}'):
        (tmp_path / "config.json").write_text(text, "utf-8")
        entry = BackendConfig.model_validate(SEQ2SEQ | {"model": f"path:{tmp_path}"})
        keys.append(keyed_config(entry, Resolver(tmp_path), "backend")["model"])
    assert keys[0] != keys[1]
    assert str(tmp_path) not in "".join(keys)


def test_opening_in_order(tmp_path: Path, room: Room) -> None:
    path = tmp_path / "m.jsonl"
    unit = {"source_language": "spa_Latn", "language": "ast_Latn", "source": "a", "text": "b"}
    path.write_text(json.dumps(unit), "utf-8")
    entries = [BackendConfig(kind="memory", file=str(path), translator="Ana"),
               BackendConfig(kind="apertium", pivot="spa_Latn"),
               BackendConfig.model_validate({"kind": "llm", "teacher": TEACHER})]  # fmt: skip
    backends = open_backends(entries, room, TeacherRuntime(base_url="http://127.0.0.1:9/v1"))
    labels = [backend.label.rsplit(":", 1)[-1] for backend in backends]
    assert labels == ["memory m.jsonl", "apertium via spa_Latn", "m"]
    memory = backends[0]
    assert isinstance(memory, MemoryBackend)
    found = memory.translate("spa_Latn", "ast_Latn", ["A", "c"])
    assert [item and (item.text, item.translator) for item in found] == [("b", "Ana"), None]
    assert memory.facts == {"read": 1, "units": 1, "dropped": 0}


def test_a_missing_model_is_an_error_at_once(tmp_path: Path, room: Room) -> None:
    entry = BackendConfig.model_validate(SEQ2SEQ | {"model": f"path:{tmp_path / 'none'}"})
    with pytest.raises(MissingFileError, match="a folder with a saved model"):
        open_backends([entry], room, TeacherRuntime())

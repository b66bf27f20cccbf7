"""The key of a call: all that shapes the answer changes it, and nothing else."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import task

from whyguard.generation.calls.keys import call_key
from whyguard.generation.teachers.base import Task, TeacherConfig

CONFIG = TeacherConfig(kind="openai", model_name="m", model_revision="r")
GOLDEN = "f6d7bdc66b38cf349cfa6bb205b52f3a8b1dec42cec62640091b084dcb119611"
TEXT = "ñandú ⟦0⟧"
_SHAPING: dict[str, Any] = {
    "kind": "vllm", "model_name": "n", "model_revision": "s", "form": "json", "max_new_tokens": 9,
    "temperature": 0.1, "top_p": 0.5, "seed": 1, "logprobs": True,
}  # fmt: skip
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def key(config: TeacherConfig = CONFIG, identity: tuple[str, ...] = ("a", "b"),
        sent: Task | None = None) -> str:  # fmt: skip
    return call_key(config, identity, sent or task(1, TEXT))


def changed(**other: Any) -> TeacherConfig:
    return TeacherConfig.model_validate(CONFIG.model_dump() | {"model": "hf:a/b"} | other)


def test_the_key_is_what_it_was() -> None:
    assert key() == GOLDEN


def test_the_key_is_the_same_in_another_process() -> None:
    code = "from tests.generation.calls.test_keys import key; print(key())"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    assert done.stdout.strip() == key()


@pytest.mark.parametrize("field", _SHAPING)
def test_parameters_and_model_change_it(field: str) -> None:
    assert key(changed(**{field: _SHAPING[field]})) != key()


@pytest.mark.parametrize("other", [
    task(1, "other text"), task(1, TEXT, sample=1), task(1, TEXT, schema="{}"),
    task(1, TEXT, messages=()), task(1, TEXT, messages=(("system", ""), ("user", TEXT))),
    task(1, TEXT, messages=(("user", "You are a guard."), ("user", TEXT))),
])  # fmt: skip
def test_what_is_sent_changes_it(other: Task) -> None:
    assert key(sent=other) != key()


@given(st.lists(_TEXTS, max_size=3), st.lists(_TEXTS, max_size=3))
def test_the_identity_changes_it(one: list[str], two: list[str]) -> None:
    assert (key(identity=tuple(one)) == key(identity=tuple(two))) == (one == two)


@given(st.builds(dict, prompt_id=_TEXTS, family_id=_TEXTS, label=_TEXTS, language=_TEXTS,
                 kind=st.sampled_from(["trace", "explanation", "verdict"]),
                 categories=st.lists(_TEXTS).map(tuple)))  # fmt: skip
def test_what_a_task_is_about_does_not(other: dict[str, Any]) -> None:
    assert key(sent=task(1, TEXT, **other)) == key()


@given(st.integers(1, 9), _TEXTS, _TEXTS)
def test_what_is_sent_nowhere_does_not(samples: int, file: str, template: str) -> None:
    other = CONFIG.model_copy(update={"samples": samples, "file": file, "source": file,
                                      "template": template})  # fmt: skip
    assert key(other) == key()


def test_the_number_format_changes_it_where_the_model_is_here() -> None:
    assert key(changed(precision="bf16")) == key(), "a server is not told"
    here = changed(kind="transformers")
    assert key(changed(kind="transformers", precision="bf16")) != key(here)


def test_where_a_local_model_lies_does_not() -> None:
    here = changed(kind="transformers", model="path:/somewhere")
    there = changed(kind="transformers", model="path:/elsewhere")
    assert key(here) == key(there) != key(here, identity=("another",))


def test_every_field_is_either_sent_or_said_not_to_be() -> None:
    nowhere = {"file", "source", "model", "template", "samples"}
    assert set(TeacherConfig.model_fields) == set(_SHAPING) | nowhere | {"precision"}, (
        "a new field: does it shape answers? then it belongs into the key"
    )

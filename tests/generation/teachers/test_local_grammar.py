"""Answers held to a JSON schema."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support import needs_module

from whyguard.core.errors import ConfigError
from whyguard.generation.teachers.local_grammar import Grammars
from whyguard.generation.teachers.shaping import load_tokenizer

SCHEMA = json.dumps({
    "type": "object", "additionalProperties": False, "required": ["think", "judge"],
    "properties": {"think": {"type": "string", "maxLength": 8},
                   "judge": {"enum": ["harmful", "unharmful"]}},
})  # fmt: skip


@pytest.fixture
def tokenizer(llama: Path) -> Any:
    needs_module("llguidance")
    return load_tokenizer(llama)


def written(tokenizer: Any, seed: int) -> str:
    follower = Grammars(tokenizer, len(tokenizer), frozenset({2})).follow(SCHEMA)
    stream, ids = torch.Generator().manual_seed(seed), []
    for _ in range(80):
        scores = torch.rand(len(tokenizer), generator=stream)
        follower.hide(scores)
        ids.append(int(scores.argmax()))
        if follower.take(ids[-1]):
            break
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def test_random_scores_write_json_of_the_schema(tokenizer: Any) -> None:
    texts = {written(tokenizer, seed) for seed in range(5)}
    assert len(texts) > 1
    for text in texts:
        value = json.loads(text)
        assert list(value) == ["think", "judge"]
        assert value["judge"] in ("harmful", "unharmful")
        assert len(value["think"]) <= 8


def test_tokens_beyond_the_tokenizer_are_hidden(tokenizer: Any) -> None:
    follower = Grammars(tokenizer, len(tokenizer) + 64, frozenset({2})).follow(SCHEMA)
    scores = torch.zeros(len(tokenizer) + 64)
    follower.hide(scores)
    assert torch.isinf(scores[len(tokenizer) :]).all()
    opened = torch.isfinite(scores).nonzero()[:, 0].tolist()
    assert opened
    assert all(tokenizer.decode([token]).startswith("{") for token in opened)


def test_rows_of_one_schema_do_not_share_their_place(tokenizer: Any) -> None:
    grammars = Grammars(tokenizer, len(tokenizer), frozenset({2}))
    first, second = grammars.follow(SCHEMA), grammars.follow(SCHEMA)
    first.take(tokenizer.convert_tokens_to_ids("{"))
    left, right = torch.zeros(len(tokenizer)), torch.zeros(len(tokenizer))
    first.hide(left)
    second.hide(right)
    assert not torch.equal(left, right)


def test_a_schema_that_is_not_known_is_an_error(tokenizer: Any) -> None:
    grammars = Grammars(tokenizer, len(tokenizer), frozenset({2}))
    with pytest.raises(ConfigError, match="a JSON schema that the grammar engine knows"):
        grammars.follow('{"type": "no such type"}')


def test_a_tokenizer_of_another_kind_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="say form: tags for this model"):
        Grammars(object(), 10, frozenset({2}))

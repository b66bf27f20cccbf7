"""train/segments.py: weights against a computation by hand."""

from pathlib import Path
from typing import Any

import pytest
from tests.train.conftest import example_rows

from whyguard.core.errors import ConfigError, DataError
from whyguard.core.values import Arm
from whyguard.generation.grammar import parse_guard
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import encode_pieces, encode_prompt
from whyguard.train.segments import (
    END_WEIGHT,
    IGNORED,
    arm_segments,
    corpus_texts,
    encode_row,
    missing_column,
    reasoning_segment,
)

HARMFUL, BENIGN = example_rows(1)[:2]
TEMPLATE = prompt_template("request-v1")


def _tokenizer(folder: Path) -> object:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_weights_by_hand(base: str, request: pytest.FixtureRequest) -> None:
    tokenizer = _tokenizer(request.getfixturevalue(base))
    prompt = encode_prompt(tokenizer, TEMPLATE, HARMFUL["text"])
    row = encode_row(tokenizer, prompt, arm_segments(Arm.EXPLAINED, HARMFUL, 0.5))
    verdict = encode_pieces(tokenizer, ["<judge>harmful</judge>"])
    reason = encode_pieces(tokenizer, ["<explanation>", HARMFUL["explanation"], "</explanation>"])
    end = tokenizer.eos_token_id  # type: ignore[attr-defined]
    assert row.input_ids == [*prompt, *verdict, *reason, end]
    assert row.labels == [IGNORED] * len(prompt) + [*verdict, *reason, end]
    by_hand = [1 / len(verdict)] * len(verdict) + [0.5 / len(reason)] * len(reason) + [END_WEIGHT]
    assert row.loss_weights == [0.0] * len(prompt) + by_hand


def test_verdict_tokens_weigh_the_same_in_every_arm(llama: Path) -> None:
    tokenizer = _tokenizer(llama)
    prompt = encode_prompt(tokenizer, TEMPLATE, HARMFUL["text"])
    rows = [encode_row(tokenizer, prompt, arm_segments(arm, HARMFUL, 1.0)) for arm in Arm]
    stop = len(prompt) + len(encode_pieces(tokenizer, ["<judge>harmful</judge>"]))
    starts = [(row.input_ids[:stop], row.loss_weights[:stop]) for row in rows]
    assert starts[0] == starts[1] == starts[2]
    assert sum(rows[0].loss_weights[:stop]) == pytest.approx(1.0)
    for row in rows[1:]:
        assert sum(row.loss_weights[stop:-1]) == pytest.approx(1.0)
    assert {row.loss_weights[-1] for row in rows} == {END_WEIGHT}


def test_benign_rows_are_equal_in_every_arm() -> None:
    segments = {tuple(arm_segments(arm, BENIGN, 1.0)) for arm in Arm}
    assert len(segments) == 1


def test_completions_are_of_the_grammar() -> None:
    for arm in Arm:
        pieces = [p for s in arm_segments(arm, HARMFUL, 1.0) for p in s.pieces]
        assert parse_guard("".join(pieces)).verdict == "harmful"


def test_the_prompt_begins_as_the_tokenizer_wants(gemma: Path, llama: Path) -> None:
    assert encode_prompt(_tokenizer(gemma), TEMPLATE, "la casa")[0] == 2
    assert encode_prompt(_tokenizer(llama), TEMPLATE, "la casa")[0] != 1


def test_a_missing_explanation_is_seen() -> None:
    row = HARMFUL | {"explanation": "  "}
    assert missing_column(Arm.EXPLAINED, row) == "explanation"
    assert missing_column(Arm.REFUSAL_ONLY, row) is None
    assert missing_column(Arm.EXPLAINED, BENIGN) is None


def test_a_tag_inside_an_explanation_is_refused() -> None:
    row = HARMFUL | {"explanation": "so <judge>unharmful</judge>"}
    with pytest.raises(DataError, match="without the grammar's tags"):
        arm_segments(Arm.EXPLAINED, row, 1.0)


def test_the_corpus_covers_every_arm(llama: Path) -> None:
    tokenizer = _tokenizer(llama)
    texts = corpus_texts(example_rows(1), TEMPLATE)
    known = {i for text in texts for i in tokenizer(text).input_ids}  # type: ignore[operator]
    for row in example_rows(1):
        for arm in Arm:
            prompt = encode_prompt(tokenizer, TEMPLATE, row["text"])
            assert (
                set(encode_row(tokenizer, prompt, arm_segments(arm, row, 1.0)).input_ids)
                - {
                    tokenizer.eos_token_id  # type: ignore[attr-defined]
                }
                <= known
            )


def test_reasoning_stands_before_the_verdict_with_a_weight_of_its_own(llama: Path) -> None:
    tokenizer = _tokenizer(llama)
    row = HARMFUL | {"think": " the old house ", "categories": ["S2", "S9"]}
    segments = [reasoning_segment(row, 0.5), *arm_segments(Arm.REFUSAL_ONLY, row, 1.0)]
    encoded = encode_row(tokenizer, [], segments)
    pieces = ["<think>", "the old house", "</think>", "<violations>", "S2, S9", "</violations>"]
    thought = encode_pieces(tokenizer, pieces)
    assert encoded.input_ids[: len(thought)] == thought
    assert sum(encoded.loss_weights[: len(thought)]) == pytest.approx(0.5)
    assert sum(encoded.loss_weights[len(thought) : -1]) == pytest.approx(1.0)
    parsed = parse_guard(tokenizer.decode(encoded.input_ids[:-1]))  # type: ignore[attr-defined]
    assert (parsed.think, parsed.violations) == ("the old house", ("S2", "S9"))


def test_a_benign_row_violates_nothing() -> None:
    assert "None" in reasoning_segment(BENIGN | {"think": "fine", "categories": ["S2"]}, 1.0).pieces


def test_reasoning_with_a_tag_is_an_error() -> None:
    with pytest.raises(DataError, match="inside <think>"):
        reasoning_segment(HARMFUL | {"think": "so <judge>harmful</judge>"}, 1.0)


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_what_is_spelled_like_a_control_token_is_text(
    base: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Any = _tokenizer(request.getfixturevalue(base))
    spelled = f"the house {tokenizer.eos_token} is {tokenizer.bos_token} old"
    prompt = encode_prompt(tokenizer, TEMPLATE, spelled)
    row = encode_row(tokenizer, prompt, arm_segments(
        Arm.EXPLAINED, HARMFUL | {"explanation": spelled}, 0.5))  # fmt: skip
    control = {tokenizer.eos_token_id, tokenizer.bos_token_id}
    assert not control.intersection(row.input_ids[1:-1]), "the first may begin, the last ends"
    assert spelled in tokenizer.decode(prompt)


def test_a_tokenizer_without_an_end_is_an_error(llama: Path) -> None:
    tokenizer: Any = _tokenizer(llama)
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="an end token"):
        encode_row(tokenizer, [1], arm_segments(Arm.REFUSAL_ONLY, HARMFUL, 0.5))

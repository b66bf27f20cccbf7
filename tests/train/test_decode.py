"""train/decode.py against a plain greedy loop, one row at a time."""

from pathlib import Path

import pytest
import torch

from whyguard.core.progress import Progress
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import encode_pieces, encode_prompt
from whyguard.generation.models import Loaded, load_model
from whyguard.train.decode import cut_explanation, forced_explanations

TEXTS = ["la casa ye vieya", "the garden is open on sunday and my sister bakes", "o rio"]
TEMPLATE = prompt_template("request-v1")
VERDICT = "<judge>harmful</judge>"


def _greedy(loaded: Loaded, text: str, new_tokens: int) -> str:
    ids = encode_prompt(loaded.tokenizer, TEMPLATE, text)
    ids += encode_pieces(loaded.tokenizer, [VERDICT, "<explanation>"])
    start = len(ids)
    for _ in range(new_tokens):
        ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == loaded.tokenizer.eos_token_id:
            break
    return cut_explanation(loaded.tokenizer.decode(ids[start:], skip_special_tokens=True))


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_equals_a_greedy_loop(base: str, request: pytest.FixtureRequest) -> None:
    loaded = load_model(f"path:{request.getfixturevalue(base)}", device="cpu")
    with Progress.silent().task("explains", len(TEXTS)) as task:
        found = forced_explanations(loaded, TEMPLATE, TEXTS, VERDICT, 8, 2, task)
    with torch.no_grad():
        assert found == [_greedy(loaded, text, 8) for text in TEXTS]


def test_decoding_stops_at_the_closing_tag(llama: Path) -> None:
    from whyguard.train.decode import _closed

    tokenizer = load_model(f"path:{llama}", device="cpu").tokenizer
    rows = [encode_pieces(tokenizer, ["la", "</explanation>"]),
            encode_pieces(tokenizer, ["la casa ye vieya y el"])]  # fmt: skip
    length = min(len(row) for row in rows)
    ids = torch.tensor([row[-length:] for row in rows])
    assert _closed(tokenizer, 0)(ids, None).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a reason</explanation> more", "a reason"),
        ("a reason", "a reason"),
        ("", ""),
        (" <judge>harmful</judge>", ""),
        ("a < b, so <think>x</think>", "a < b, so"),
    ],
)
def test_cutting(text: str, expected: str) -> None:
    assert cut_explanation(text) == expected

"""generation/guard/scoring.py against one plain forward pass a row and label."""

from pathlib import Path

import numpy as np
import pytest
import torch

from whyguard.core.errors import DataError
from whyguard.core.progress import Progress
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import (
    common_length,
    encode_pieces,
    encode_prompt,
    harmful_probabilities,
    length_batches,
    verdict_probabilities,
)
from whyguard.generation.models import Loaded, load_model
from whyguard.train.folder import label_strings

TEXTS = ["la casa ye vieya", "the garden is open on sunday and my sister bakes a cake for you",
         "o rio", "la casa ye vieya y el ríu pasa cerca; la moza canta"]  # fmt: skip
TEMPLATE = prompt_template("request-v1")


def _naive(loaded: Loaded, text: str) -> float:
    sums = {}
    for name, label in label_strings().items():
        prompt = encode_prompt(loaded.tokenizer, TEMPLATE, text)
        ids = prompt + encode_pieces(loaded.tokenizer, [label])
        logps = loaded.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        sums[name] = sum(logps[t - 1, ids[t]].item() for t in range(len(prompt), len(ids)))
    return float(1.0 / (1.0 + np.exp(sums["unharmful"] - sums["harmful"])))


@pytest.mark.parametrize("base", ["llama", "gemma"])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_equals_a_plain_forward_a_row(base: str, batch: int,
                                      request: pytest.FixtureRequest) -> None:  # fmt: skip
    loaded = load_model(f"path:{request.getfixturevalue(base)}", device="cpu")
    with Progress.silent().task("scores", len(TEXTS)) as task:
        found = harmful_probabilities(loaded, TEMPLATE, TEXTS, label_strings(), batch, task)
    with torch.no_grad():
        expected = [_naive(loaded, text) for text in TEXTS]
    assert np.abs(found - expected).max() < 1e-5
    assert len(set(np.round(found, 6))) > 1


def test_labels_that_share_all_but_the_last_token(llama: Path) -> None:
    loaded = load_model(f"path:{llama}", device="cpu")
    labels = {"harmful": "<judge>", "unharmful": "<judge"}
    with Progress.silent().task("scores", 1) as task:
        found = harmful_probabilities(loaded, TEMPLATE, TEXTS[:1], labels, 4, task)
    assert 0.0 <= found[0] <= 1.0


def test_common_length_leaves_a_token_of_each() -> None:
    assert common_length([1, 2, 3], [1, 2, 4]) == 2
    assert common_length([1, 2], [1, 2, 4]) == 1
    assert common_length([9], [9, 2]) == 0


def test_batches_are_of_like_length() -> None:
    batches = list(length_batches([[0] * n for n in (3, 1, 2, 5)], 2))
    assert batches == [[3, 0], [2, 1]]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two cores are shared with whatever else runs."""
    torch.set_num_threads(1)


def test_a_model_of_numbers_that_are_not_finite_gives_no_scores(llama: Path) -> None:
    loaded = load_model(f"path:{llama}", device="cpu")
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        verdict_probabilities(loaded, [[1, 5, 6]], label_strings())

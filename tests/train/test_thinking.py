"""train/thinking.py against a plain loop: reasoning token by token, then both verdicts in full."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.judging import judging_llama

from whyguard.core.progress import Progress
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import encode_pieces
from whyguard.generation.models import Loaded, load_model
from whyguard.train.folder import label_strings
from whyguard.train.sampling import guard_prompt_ids
from whyguard.train.thinking import ScoringMode, Thinking, ids_before, thoughtful_probabilities

TEMPLATE = prompt_template("short-v1")
TEXTS = ["la casa ye vieya 0", "the house of made 1", "la praza ye vieya 2", "o rio"]
THOUGHTS = (
    "<think>la casa ye vieya</think><violations>S2</violations><judge>harmful</judge>",
    "<think>o rio pasa</think><violations>None</violations><judge>unharmful</judge>",
)
LABELS = label_strings()


@pytest.fixture(scope="module")
def thinking_guard(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A tiny guard that thinks before it judges."""
    folder = judging_llama(tmp_path_factory.mktemp("thinks"), THOUGHTS, steps=80, after="</s>")
    return load_model(f"path:{folder}", device="cpu")


def _probabilities(loaded: Loaded, thinking: Thinking, size: int = 3) -> tuple[list[float], ...]:
    with Progress.silent().task("scores", 1) as task:
        found = thoughtful_probabilities(loaded, TEMPLATE, TEXTS, LABELS, thinking, size, task)
    return found.scores.tolist(), found.closed.tolist()


@torch.no_grad()
def _plain(loaded: Loaded, text: str, most: int, prefill: str = "") -> tuple[float, bool]:
    """Greedy, one text, no cache: the text up to `<judge>`, then P(harmful) by full strings."""
    tokenizer, model = loaded.tokenizer, loaded.model
    prompt = guard_prompt_ids(tokenizer, TEMPLATE, text, prefill)
    ids, closed = list(prompt), False
    while len(ids) - len(prompt) < most and not closed:
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            ids.pop()
            break
        closed = "<judge>" in tokenizer.decode(ids[len(prompt) :])
    written = tokenizer.decode(ids[len(prompt) :])
    if closed:
        kept = written[: written.index("<judge>")]
        ids = prompt + encode_pieces(tokenizer, [kept])
    elif "<think>" in prefill + written and "</think>" not in written:
        ids += encode_pieces(tokenizer, ["</think>"])
    logps = [_logp(model, ids, encode_pieces(tokenizer, [LABELS[name]]))
             for name in ("harmful", "unharmful")]  # fmt: skip
    return 1 / (1 + float(np.exp(logps[1] - logps[0]))), closed


def _logp(model: torch.nn.Module, ids: list[int], option: list[int]) -> float:
    logps_T_V = model(torch.tensor([ids + option])).logits[0].double().log_softmax(-1)
    return float(sum(logps_T_V[len(ids) - 1 + n, token] for n, token in enumerate(option)))


@pytest.mark.parametrize("prefill", ["", "<think>"])
@pytest.mark.parametrize("size", [1, 3])
def test_greedy_equals_a_plain_loop_to_1e_5(thinking_guard: Loaded, size: int,
                                            prefill: str) -> None:  # fmt: skip
    found, closed = _probabilities(thinking_guard, Thinking(prefill=prefill), size)
    plain = [_plain(thinking_guard, text, 256, prefill) for text in TEXTS]
    assert found == pytest.approx([score for score, _ in plain], abs=1e-5)
    assert closed == [float(done) for _, done in plain]


def test_the_guard_thinks(thinking_guard: Loaded) -> None:
    _, closed = _probabilities(thinking_guard, Thinking())
    assert sum(closed) >= 3


def test_reasoning_that_does_not_end_is_closed_and_counted(thinking_guard: Loaded) -> None:
    found, closed = _probabilities(thinking_guard, Thinking(max_new_tokens=4))
    assert closed == [0.0] * 4
    assert found == pytest.approx([_plain(thinking_guard, text, 4)[0] for text in TEXTS], abs=1e-5)


def test_sampled_reasonings_are_averaged_whatever_the_batch(thinking_guard: Loaded) -> None:
    mode = Thinking(ScoringMode.THINK_K, samples=3, temperature=1.0)
    found, closed = _probabilities(thinking_guard, mode, 2)
    again, _ = _probabilities(thinking_guard, mode, 12)
    assert found == pytest.approx(again, abs=1e-5)
    assert found != pytest.approx(_probabilities(thinking_guard, Thinking())[0], abs=1e-3)
    assert all(share in (0.0, 1 / 3, 2 / 3, 1.0) for share in closed)
    other, _ = _probabilities(thinking_guard, mode._replace(seed=1), 12)
    assert other != pytest.approx(found, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(before=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
       after=st.text(max_size=4))  # fmt: skip
def test_what_stands_before_the_tag(thinking_guard: Loaded, before: str, after: str) -> None:
    tokenizer = thinking_guard.tokenizer
    ids = encode_pieces(tokenizer, [f"{before}<judge>{after}"])
    text = tokenizer.decode(ids)
    found = ids_before(tokenizer, ids, "<judge>")
    assert found is not None
    assert tokenizer.decode(found) == text[: text.index("<judge>")]


def test_no_tag_no_ids(thinking_guard: Loaded) -> None:
    assert ids_before(thinking_guard.tokenizer, encode_pieces(thinking_guard.tokenizer, ["o rio"]),
                      "<judge>") is None  # fmt: skip


def test_gemma_with_sliding_windows_equals_a_plain_loop_to_1e_5(gemma: Path) -> None:
    loaded = load_model(f"path:{gemma}", device="cpu")
    found, _ = _probabilities(loaded, Thinking(max_new_tokens=24))
    plain = [_plain(loaded, text, 24)[0] for text in TEXTS]
    assert found == pytest.approx(plain, abs=1e-5)

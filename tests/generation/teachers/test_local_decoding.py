"""How tokens are chosen, and rows that end early."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import save_llama

from whyguard.core.errors import ConfigError
from whyguard.generation.models import Loaded, load_model
from whyguard.generation.teachers.local_decoding import (
    Row,
    Sampling,
    _Batch,
    _choose,
    _with_doubles,
    decode,
)

GREEDY = Sampling(0.0, 1.0, 12, False, frozenset())


@pytest.fixture
def loaded(llama: Path) -> Loaded:
    return load_model(f"path:{llama}", device="cpu")


def drawn(logits: list[float], sampling: Sampling, count: int) -> list[float]:
    """Shares of the tokens among `count` rows, each with a stream of its own."""
    rows = [Row([1], seed) for seed in range(count)]
    streams = {id(row): torch.Generator().manual_seed(row.seed) for row in rows}
    tokens = _choose(torch.tensor(logits).repeat(count, 1), rows, sampling, streams)
    return [tokens.count(n) / count for n in range(len(logits))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    logits = [2.0, 1.0, 0.0, -1.0]
    wanted = (torch.tensor(logits) / temperature).softmax(-1).tolist()
    shares = drawn(logits, GREEDY._replace(temperature=temperature), 4000)
    assert shares == pytest.approx(wanted, abs=0.03)


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    shares = drawn(logits, GREEDY._replace(temperature=1.0, top_p=0.7), 2000)
    assert shares[2:] == [0.0, 0.0]
    assert shares[0] == pytest.approx(0.625, abs=0.04)
    assert drawn(logits, GREEDY._replace(temperature=1.0, top_p=0.01), 50)[0] == 1.0


def test_logprobs_are_the_models_own(loaded: Loaded) -> None:
    row = Row([1, 40, 41, 42], 0)
    with torch.inference_mode():
        decode(loaded.model, [row], GREEDY._replace(temperature=1.5, logprobs=True), None,
               roomy=True)  # fmt: skip
        logits = loaded.model(input_ids=torch.tensor([row.prompt + row.ids])).logits[0]
    logps = logits.log_softmax(-1)[3:-1].gather(1, torch.tensor(row.ids)[:, None])[:, 0]
    assert row.logprobs == pytest.approx(logps.tolist(), abs=1e-4)


def test_ended_rows_leave_the_batch_and_change_nothing(loaded: Loaded) -> None:
    prompts = [[1, *range(30 + n, 40 + 2 * n)] for n in range(8)]

    def greedy(sampling: Sampling, *, roomy: bool) -> list[Row]:
        rows = [Row(prompt, 0) for prompt in prompts]
        with torch.inference_mode():
            decode(loaded.model, rows, sampling, None, roomy=roomy)
        return rows

    full = greedy(GREEDY, roomy=True)
    assert all(row.finish == "length" and len(row.ids) == 12 for row in full)
    ends = frozenset(row.ids[n] for n, row in enumerate(full[:3]))
    cut = greedy(GREEDY._replace(ends=ends), roomy=True)
    assert any(row.finish == "stop" for row in cut)
    for row, whole in zip(cut, full, strict=True):
        assert row.ids == whole.ids[: len(row.ids)]
        assert (row.ids[-1] in ends) == (row.finish == "stop")
        assert not ends.intersection(row.ids[:-1])
    assert [row.ids for row in greedy(GREEDY._replace(ends=ends), roomy=False)] == [
        row.ids for row in cut
    ]


def test_rows_are_dropped_when_enough_have_ended(loaded: Loaded) -> None:
    rows = [Row([1, 40 + n, 50], 0) for n in range(8)]
    with torch.inference_mode():
        batch = _Batch(loaded.model, rows, 4, None, roomy=True)
        batch.begin()
        rows[3].finish = "stop"
        assert len(batch.step([60] * 8)) == 8
        rows[5].finish = "stop"
        assert len(batch.step([60] * 8)) == 6
    assert batch.rows == [row for row in rows if row.finish is None]


def save_mamba(folder: Path) -> Path:
    from transformers import MambaConfig, MambaForCausalLM

    save_llama(folder)
    size = json.loads((folder / "config.json").read_text("utf-8"))["vocab_size"]
    facts = MambaConfig(vocab_size=size, hidden_size=32, num_hidden_layers=2, bos_token_id=1,
                        eos_token_id=2, pad_token_id=2)  # fmt: skip
    MambaForCausalLM(facts).save_pretrained(folder)
    return folder


def test_a_model_without_keys_and_values_is_said(tmp_path: Path) -> None:
    loaded = load_model(f"path:{save_mamba(tmp_path / 'mamba')}", device="cpu")
    expected = r"(?s)keeps keys and values.*found: +MambaForCausalLM, which keeps none"
    with torch.inference_mode(), pytest.raises(ConfigError, match=expected):
        decode(loaded.model, [Row([1, 40, 41], 0)], GREEDY, None, roomy=False)


class OnMps:
    """What torch shows of a tensor on an Apple GPU; no machine of the tests has one."""

    device = torch.device("mps")

    def cpu(self) -> torch.Tensor:
        return torch.ones(1, 2)


def test_doubles_are_not_asked_of_apples_gpus() -> None:
    there: Any = OnMps()
    assert _with_doubles(there).double().device.type == "cpu"
    here = torch.ones(1, 2)
    assert _with_doubles(here) is here

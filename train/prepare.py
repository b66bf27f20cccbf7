"""`whyguard train prepare`: a model made ready for training, its vocabulary cut to a corpus."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.drafts import draft_folder, flush_to_disk, sweep_drafts
from whyguard.core.errors import ConfigError, fail
from whyguard.core.progress import Progress
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.models import MODEL_FACTS, ModelFacts, locate_model, trimmed_model
from whyguard.train.folder import read_guard
from whyguard.train.segments import corpus_texts
from whyguard.train.stages.data import read_examples

_CATEGORIES = tuple(f"S{number}" for number in range(1, 15))
_TAGS = ("<think>", "</think>", "<violations>", "</violations>", "None", ", ")


class Prepared(NamedTuple):
    """A trimmed model."""

    folder: Path
    texts: int
    kept: int
    """Vocabulary entries left."""
    bytes_before: int
    bytes_after: int


def trim_vocabulary(model: str, data: Sequence[Path], out: Path, prompt: str,
                    progress: Progress) -> Prepared:  # fmt: skip
    """Save `model` with its vocabulary cut to what training on `data` reads and writes.

    Kept are the tokens of all prompts in the template, all explanations and traces, the grammar's
    tags and categories, and all single bytes: other text stays lossless, in more tokens. A model
    that is to reason (GRPO) writes with the words of the traces: give data that has enough of them.

    Raises:
        ConfigError: `out` is there.
        DataError: the tokenizer is not BPE, or the data holds no examples.
    """
    if out.exists():
        fail(ConfigError, where=str(out), expected="a new folder", found="one that is there",
             do="name another --out, or delete it")  # fmt: skip
    located = locate_model(model, role="base", progress=progress)
    if read_guard(located.folder) is not None:
        fail(ConfigError, where=f"model {model}", expected="a base model", found="a trained guard: "
             "what it was trained on would not be known of the cut one",
             do="cut the base before it is trained")  # fmt: skip
    texts = [text for folder in data for text in _texts(folder, prompt)]
    trimmed = trimmed_model(located, texts, progress).folder
    sweep_drafts(out.parent, deep=False)
    draft = draft_folder(out.parent)
    shutil.copytree(trimmed, draft, dirs_exist_ok=True)
    for path in (*draft.rglob("*"), draft):
        flush_to_disk(path)
    draft.rename(out)
    facts = ModelFacts.model_validate_json((out / MODEL_FACTS).read_bytes())
    return Prepared(out, len(set(texts)), facts.trimmed_to or 0, _size(located.folder), _size(out))


def _texts(folder: Path, prompt: str) -> Iterator[str]:
    rows = read_examples(folder).rows.to_dicts()
    yield from corpus_texts(rows, prompt_template(prompt))
    yield from _TAGS
    yield from _CATEGORIES
    yield from (text for row in rows for text in _written(row))


def _written(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("think", "explanation_english"):
        if row[name]:
            yield row[name].strip()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))

"""Cut a model's vocabulary to what a corpus uses; exact on the ids that are kept.

A small multilingual model spends most of its memory and time on its vocabulary. Tokenization of
the corpus and logits of kept ids stay equal; other text stays lossless but takes more tokens, so
every text that will be scored belongs into the corpus.
"""

import copy
import itertools
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.errors import DataError, fail

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_UNUSED = re.compile(r"<unused\d+>|\[multimodal\]|<(start|end)_of_image>|<image_soft_token>")
_NO_RANK = 1 << 60

Spec = dict[str, Any]
"""A parsed tokenizer.json."""


class Trimmed(NamedTuple):
    """A smaller tokenizer, and the old ids it keeps: the new id of kept[i] is i."""

    spec: Spec
    kept: list[int]


def trim_tokenizer(spec: Spec, used: Iterable[int]) -> Trimmed:
    """Keep `used` ids, special tokens, all bytes, and whatever BPE passes through to reach them.

    Ids keep their order, so special tokens at the front keep their ids. Inside a longer word the
    merges within a final token's span are those of the span alone (no merge crosses its border),
    so keeping each token's own derivation keeps the tokenization of the corpus.

    Raises:
        DataError: the tokenizer is not BPE.
    """
    model = spec["model"]
    if model["type"] != "BPE":
        fail(DataError, where="vocabulary trimming", expected="a BPE tokenizer",
             found=f"{model['type']}", do="set trim_vocabulary: false")  # fmt: skip
    vocab: dict[str, int] = model["vocab"]
    added = {entry["id"]: entry for entry in spec["added_tokens"]}
    names = {i: token for token, i in vocab.items()}
    names |= {i: entry["content"] for i, entry in added.items()}
    merges = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    keep = set(used) | _always(spec, added)
    for token in [names[i] for i in keep if i not in added]:
        keep |= {vocab[piece] for piece in _derivation(token, ranks) if piece in vocab}
    kept = sorted(keep)
    return Trimmed(_smaller(spec, kept, {names[i] for i in kept}, merges), kept)


def trim_model(model: Any, kept: list[int]) -> None:
    """Cut embedding, output head (tied or not) and token ids of the configs, in place."""
    import torch

    new = {old: index for index, old in enumerate(kept)}
    index_K = torch.tensor(kept)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embedding.weight
    embedding.weight = torch.nn.Parameter(embedding.weight.detach()[index_K].clone())
    embedding.num_embeddings = len(kept)
    if embedding.padding_idx is not None:
        embedding.padding_idx = new.get(embedding.padding_idx)
    head.weight = (
        embedding.weight if tied else torch.nn.Parameter(head.weight.detach()[index_K].clone())
    )
    head.out_features = len(kept)
    if head.bias is not None:
        head.bias = torch.nn.Parameter(head.bias.detach()[index_K].clone())
    for holder in (model, model.base_model, model.config):
        if hasattr(holder, "vocab_size"):
            holder.vocab_size = len(kept)
    for config in (model.config, model.generation_config):
        _renumber(config, new)


def save_trimmed(source: Path, target: Path, texts: Iterable[str]) -> int:
    """Write the model of `source`, trimmed to `texts`, into `target`; returns the ids kept."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    full = Tokenizer.from_file(str(source / "tokenizer.json"))
    used: set[int] = set()
    for plain in full.encode_batch(list(texts), add_special_tokens=True):
        used.update(plain.ids)
    spec = json.loads((source / "tokenizer.json").read_text("utf-8"))
    trimmed = trim_tokenizer(spec, used)
    model = AutoModelForCausalLM.from_pretrained(source, use_safetensors=True)
    trim_model(model, trimmed.kept)
    model.save_pretrained(target)
    text = json.dumps(trimmed.spec, ensure_ascii=False)
    (target / "tokenizer.json").write_text(text, "utf-8")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    return len(trimmed.kept)


def _always(spec: Spec, added: dict[int, Any]) -> set[int]:
    from tokenizers.pre_tokenizers import ByteLevel

    vocab = spec["model"]["vocab"]
    keep = {i for i, entry in added.items()
            if entry["special"] and not _UNUSED.fullmatch(entry["content"])}  # fmt: skip
    if spec["model"].get("byte_fallback"):
        return keep | {i for token, i in vocab.items() if _BYTE.fullmatch(token)}
    return keep | {vocab[letter] for letter in ByteLevel.alphabet() if letter in vocab}


def _derivation(token: str, ranks: dict[tuple[str, ...], int]) -> set[str]:
    """Every piece BPE passes through on its way from characters to `token`."""
    parts, seen = list(token), set(token)
    while len(parts) > 1:
        pairs = [ranks.get((a, b), _NO_RANK) for a, b in itertools.pairwise(parts)]
        best = min(range(len(pairs)), key=pairs.__getitem__)
        if pairs[best] == _NO_RANK:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
        seen.add(parts[best])
    return seen


def _smaller(spec: Spec, kept: list[int], names: set[str], merges: list[tuple[str, ...]]) -> Spec:
    new = {old: index for index, old in enumerate(kept)}
    out = copy.deepcopy({key: value for key, value in spec.items() if key != "model"})
    model = {k: v for k, v in spec["model"].items() if k not in ("vocab", "merges")}
    model["vocab"] = {t: new[i] for t, i in spec["model"]["vocab"].items() if i in new}
    model["merges"] = [
        list(m) for m in merges if m[0] in names and m[1] in names and m[0] + m[1] in names
    ]
    out["model"] = model
    out["added_tokens"] = [
        entry | {"id": new[entry["id"]]} for entry in spec["added_tokens"] if entry["id"] in new
    ]
    _renumber_template(out.get("post_processor"), new)
    return out


def _renumber_template(processor: Any, new: dict[int, int]) -> None:
    """Template post-processors name special tokens by id, possibly inside a sequence."""
    if not processor:
        return
    for inner in processor.get("processors") or ():
        _renumber_template(inner, new)
    for entry in (processor.get("special_tokens") or {}).values():
        entry["ids"] = [new[i] for i in entry["ids"]]


def _renumber(config: Any, new: dict[int, int]) -> None:
    for key, value in list(vars(config).items()):
        if not key.endswith("_token_id") or value is None:
            continue
        changed = [new[i] for i in value if i in new] if isinstance(value, list) else new.get(value)
        setattr(config, key, changed)

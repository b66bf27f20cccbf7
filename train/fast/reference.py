"""The frozen reference of DPO and CAO, computed once and stored.

Stored a pair: the summed log-probabilities of the chosen and the rejected answer, and, where the
pair has an anchor, the reference's last hidden states before the anchor's tokens (D numbers a
token instead of V: the frozen output layer is applied again in each step). One folder of
safetensors parts, read by memory map, and `reference.json`, written last: a folder without it is
not there. The description holds the hashes of everything the numbers depend on, and of the parts;
a reference of other weights, other rows or another number format is an error, never used.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from whyguard.core.drafts import draft_folder, flush_to_disk
from whyguard.core.errors import ArtefactError, ConfigError, DataError, MissingFileError, fail
from whyguard.core.hashing import canonical_json, sha256_file, sha256_json, sha256_text
from whyguard.core.progress import Progress
from whyguard.train.fast.batch import make_batch
from whyguard.train.fast.head import Head
from whyguard.train.fast.install import run
from whyguard.train.fast.losses import row_sums
from whyguard.train.segments import Encoded

DESCRIPTION = "reference.json"
_SHOWN = 5
_NOT_COMPUTING = frozenset({"architectures", "attn_implementation", "dtype", "torch_dtype",
                            "transformers_version", "use_cache"})  # fmt: skip
"""Of a model's config: names, versions, and what stands in the key itself (number formats)."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
PART_PAIRS = 256
"""Pairs whose reference is stored together."""

States = Literal["hidden", "logits"]
"""What is stored of an anchor's token: hidden states (D numbers), or logits (V numbers)."""


class Pair(NamedTuple):
    """Chosen and rejected on x_t; the anchor y_w on x_e, or None (plain DPO)."""

    chosen: Encoded
    rejected: Encoded
    anchor: Encoded | None = None


class ReferenceKey(BaseModel):
    """What a stored reference was computed from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights_sha256: str
    config_sha256: str
    """Of what the model's config says of how it computes."""
    tokenizer_sha256: str
    rows_sha256: str
    hidden_dtype: str
    """Number format of the stored hidden states: float32, bfloat16 or float64."""
    arithmetic: str
    """What the reference computed in: the type of its weights, or of autocast."""
    states: States
    """Hidden states from the fast path; logits from a model's own forward."""


class _Description(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[3] = 3
    key: ReferenceKey
    pairs: int
    part_pairs: int
    anchor_tokens: tuple[int, ...]
    """Hidden states of each pair, 0 without an anchor."""
    parts_sha256: tuple[str, ...]
    """Of the parts' files, in order."""


class ReferenceLogps(NamedTuple):
    """Summed log-probabilities (B,) of some pairs, float64."""

    chosen_B: Tensor
    rejected_B: Tensor


def weights_sha256(model: Any) -> str:
    """Hash of a model's weights: names, types, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def config_sha256(model: Any) -> str:
    """Hash of a model's config without what does not change what it computes."""
    return sha256_json(_computing(model.config.to_dict()))


def _computing(config: Mapping[Any, Any]) -> dict[str, Any]:
    named = {str(name): value for name, value in config.items()}
    return {name: _computing(value) if isinstance(value, Mapping) else repr(value)
            for name, value in named.items()
            if not name.startswith("_") and name not in _NOT_COMPUTING}  # fmt: skip


def pairs_sha256(pairs: Sequence[Pair]) -> str:
    """Hash of tokenized pairs, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(canonical_json([None if row is None else list(row) for row in pair]).encode())
    return digest.hexdigest()


def tokenizer_sha256(tokenizer: Any) -> str:
    """Hash of a fast tokenizer: its tokenizer.json and the ids of its special tokens."""
    special = [tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id]
    return sha256_text(tokenizer.backend_tokenizer.to_str() + canonical_json(special))


def reference_key(model: Any, tokenizer: Any, pairs: Sequence[Pair],
                  hidden_dtype: torch.dtype = torch.float32,
                  states: States = "hidden") -> ReferenceKey:  # fmt: skip
    """The key of `pairs` under `model`, in the arithmetic that is on now (autocast or not)."""
    kind = model.device.type
    autocast = torch.is_autocast_enabled(kind)
    arithmetic = torch.get_autocast_dtype(kind) if autocast else model.dtype
    return ReferenceKey(
        weights_sha256=weights_sha256(model), config_sha256=config_sha256(model),
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        rows_sha256=pairs_sha256(pairs), hidden_dtype=_name(hidden_dtype),
        arithmetic=_name(arithmetic), states=states,
    )  # fmt: skip


def write_reference(folder: Path, model: Any, pairs: Sequence[Pair], key: ReferenceKey,
                    batch_pairs: int = 8, progress: Progress | None = None) -> None:  # fmt: skip
    """Run the reference over all pairs and store it as `folder`, in place of one stored there.

    Args:
        folder: where it goes; appears whole or not at all.
        model: the reference, `install`ed, in evaluation mode.
        pairs: all of them, in the order they will be asked for by number.
        key: of this model and these pairs (`reference_key`).
        batch_pairs: pairs a forward pass.
        progress: shows pairs.

    Raises:
        ConfigError: `folder` holds something else than a stored reference.
        DataError: there are no pairs.
    """
    if not pairs:
        fail(DataError, where=f"reference {folder}", expected="at least one pair", found="none",
             do="build pairs first (whyguard train pairs)")  # fmt: skip
    _check_replaceable(folder)
    draft = draft_folder(folder.parent)
    try:
        with (progress or Progress.silent()).task("reference", len(pairs)) as task:
            for number, start in enumerate(range(0, len(pairs), PART_PAIRS)):
                part = _part(model, pairs[start : start + PART_PAIRS], key, batch_pairs)
                save_file(part, _part_path(draft, number))
                task.advance(len(part["chosen"]))
        tokens = tuple(_predicted(pair.anchor) for pair in pairs)
        hashes = tuple(sha256_file(path) for path in sorted(draft.iterdir()))
        _place(draft, folder, _Description(key=key, pairs=len(pairs), part_pairs=PART_PAIRS,
                                           anchor_tokens=tokens, parts_sha256=hashes))  # fmt: skip
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def remove_reference(folder: Path) -> None:
    """Delete a stored reference, at once or not at all; any other folder is left alone."""
    if _is_reference(folder):
        leftover = draft_folder(folder.parent)
        folder.rename(leftover)
        shutil.rmtree(leftover, ignore_errors=True)


def stored_key(folder: Path) -> ReferenceKey | None:
    """What the reference in `folder` was computed from; None where none is stored.

    Raises:
        ArtefactError: its description cannot be read.
    """
    return _description(folder).key if (folder / DESCRIPTION).is_file() else None


def open_reference(folder: Path, key: ReferenceKey) -> "Reference":
    """The stored reference of exactly this key; reads all of it once, to check it.

    Raises:
        MissingFileError: nothing is stored there, or the writing was interrupted.
        ArtefactError: it was computed from something else, or does not hold together.
    """
    facts = _description(folder)
    stale = [name for name in ReferenceKey.model_fields
             if getattr(facts.key, name) != getattr(key, name)]  # fmt: skip
    if stale:
        first = stale[0]
        fail(ArtefactError, where=f"reference {folder}",
             expected=f"{first} {getattr(key, first)}",
             found=f"{getattr(facts.key, first)} (differs in: {', '.join(stale)})",
             do="it was computed from other weights, settings, rows or number formats, or (states) "
             "with the other shared_preamble: delete the folder and compute the reference again, "
             "or train from what it was made of")  # fmt: skip
    _check_parts(folder, facts)
    return Reference(folder, facts)


class Reference:
    """A stored reference, read pair by pair through a memory map."""

    def __init__(self, folder: Path, facts: _Description) -> None:
        self._folder, self._facts = folder, facts
        self._dtype = _DTYPES[facts.key.hidden_dtype]
        self._stack = contextlib.ExitStack()
        self._parts: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._facts.pairs

    def logps(self, numbers: Sequence[int]) -> ReferenceLogps:
        """Of the pairs with these numbers."""
        rows = [self._locate(number) for number in numbers]
        return ReferenceLogps(*(torch.cat([part.get_slice(name)[at : at + 1] for part, at in rows])
                                for name in ("chosen", "rejected")))  # fmt: skip

    def hidden(self, numbers: Sequence[int]) -> Tensor:
        """Hidden states (M, D) before the anchors' predicted tokens, pair after pair."""
        spans = []
        for number in numbers:
            part, at = self._locate(number)
            start = sum(self._facts.anchor_tokens[number - at : number])
            end = start + self._facts.anchor_tokens[number]
            spans.append(part.get_slice("hidden")[start:end])
        return torch.cat(spans)

    def close(self) -> None:
        """Give the memory maps back."""
        self._stack.close()
        self._parts.clear()

    def _locate(self, number: int) -> tuple[Any, int]:
        if not 0 <= number < len(self):
            fail(DataError, where=f"reference {self._folder}", found=f"pair {number}",
                 expected=f"a pair below {len(self)}", do="ask for stored pairs only")  # fmt: skip
        index, at = divmod(number, self._facts.part_pairs)
        if index not in self._parts:
            opened = safe_open(_part_path(self._folder, index), framework="pt")
            self._parts[index] = self._stack.enter_context(opened)
        return self._parts[index], at


class _Run(NamedTuple):
    """What one forward pass brings."""

    logps_N: Tensor
    hidden_M_D: Tensor


def _part(model: Any, pairs: Sequence[Pair], key: ReferenceKey, size: int) -> dict[str, Tensor]:
    done = [_batch(model, pairs[i : i + size]) for i in range(0, len(pairs), size)]
    chosen, rejected, hidden = (torch.cat(column) for column in zip(*done, strict=True))
    return {"chosen": chosen, "rejected": rejected,
            "hidden": hidden.to(_DTYPES[key.hidden_dtype])}  # fmt: skip


@torch.no_grad()
def _batch(model: Any, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    anchors = [pair.anchor for pair in pairs if pair.anchor is not None]
    rows = [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs), *anchors]
    batch = make_batch(rows).to(model.device)
    counts = batch.counts[: 2 * len(pairs)]
    split = sum(counts)

    def task(head: Head, hidden_N_D: Tensor) -> _Run:
        logps_N = head.logps(hidden_N_D[:split], batch.targets_N[:split])
        return _Run(logps_N, hidden_N_D[split:].clone())  # a view would keep all N of them

    found: _Run = run(model, batch, task)
    sums_2B = row_sums(found.logps_N.double().cpu(), counts)
    return sums_2B[: len(pairs)], sums_2B[len(pairs) :], found.hidden_M_D.cpu()


def _predicted(row: Encoded | None) -> int:
    return 0 if row is None else make_batch([row]).counts[0]


def _description(folder: Path) -> _Description:
    path = folder / DESCRIPTION
    if not path.is_file():
        fail(MissingFileError, where=f"reference {folder}", expected=f"a file {DESCRIPTION}",
             found="none", do="compute the reference for these pairs first")  # fmt: skip
    try:
        return _Description.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fail(ArtefactError, where=f"{path}", expected="a description of this version",
             found=str(error.errors()[0]["msg"]),
             do=f"name another folder; or, if {folder} is a stored reference, delete it and "
             "compute it again")  # fmt: skip


def _is_reference(folder: Path) -> bool:
    with contextlib.suppress(MissingFileError, ArtefactError):
        return _description(folder) is not None
    return False


def _check_replaceable(folder: Path) -> None:
    if not folder.exists() or _is_reference(folder):
        return
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ["a file"]
    if names:
        fail(ConfigError, where=f"reference {folder}", found=", ".join(names[:_SHOWN]),
             expected="an empty or new folder, or a stored reference",
             do="name another folder: what is in this one would be lost")  # fmt: skip


def _check_parts(folder: Path, facts: _Description) -> None:
    for number, wanted in enumerate(facts.parts_sha256):
        path = _part_path(folder, number)
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != wanted:
            fail(ArtefactError, where=f"{path}", expected=f"sha256 {wanted}", found=found,
                 do=f"it is damaged: delete {folder} and compute the reference again")  # fmt: skip


def _place(draft: Path, folder: Path, facts: _Description) -> None:
    (draft / DESCRIPTION).write_text(json.dumps(facts.model_dump(mode="json")), "utf-8")
    for path in (*draft.iterdir(), draft):
        flush_to_disk(path)
    remove_reference(folder)
    draft.rename(folder)  # an empty folder gives way; of any other this is an error
    flush_to_disk(folder.parent)


def _part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.safetensors"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

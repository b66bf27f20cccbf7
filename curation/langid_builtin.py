"""The classifier of the starter languages, trained on first use from text the package ships."""

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from whyguard.core.cache import cache_dir
from whyguard.core.errors import DataError, MissingFileError, fail
from whyguard.core.hashing import sha256_json
from whyguard.curation.langid import (
    FACTS_FILE,
    Classifier,
    ErrorRate,
    LangidConfig,
    prepared_sha256,
    train_into,
)

HELD_OUT_TEXT = "held-out starter groups (same authors and translation engine)"
_FORMAT = 1
_EXTRA_REPEATS = 3  # the hand-written sentences are few and the widest in vocabulary
_HELD_OUT_ONE_IN = 10


class BuiltinTexts(NamedTuple):
    """Texts by language: to train on, and of groups that are held out in every language."""

    train: dict[str, list[str]]
    held_out: dict[str, list[str]]


class _Text(NamedTuple):
    group: str
    language: str
    text: str


def builtin_texts(memory: Path | None = None) -> BuiltinTexts:
    """Starter prompts, rationales and traces, their stored translations, and extra sentences.

    Args:
        memory: the translation memory; None = the one that the package ships.

    Raises:
        MissingFileError: a data file of the package is not there.
        DataError: a line of one cannot be read.
    """
    data = Path(str(resources.files("whyguard.curation")))
    shipped = data.parent / "generation" / "data" / "starter" / "memory.jsonl"
    texts = BuiltinTexts({}, {})
    sources = (_groups(data / "data/starter/groups.jsonl"), _memory(memory or shipped))
    for item in (text for source in sources for text in source):
        part = texts.held_out if _is_held_out(item.group) else texts.train
        part.setdefault(item.language, []).append(item.text)
    extra = yaml.safe_load((data / "data/langid/extra.yaml").read_text("utf-8"))
    for language, sentences in extra.items():
        texts.train.setdefault(language, []).extend(sentences * _EXTRA_REPEATS)
    return texts


def builtin_classifier(
    memory: Path | None = None, config: LangidConfig | None = None
) -> Classifier:
    """The classifier of eng, spa, ast, arg, glg, oci and cat (Latin script).

    Trained on first use (a few seconds) and kept in the cache under the hash of text and config.

    Raises:
        MissingExtraError: fastText is not installed.
        MissingFileError: a data file of the package is not there.
    """
    texts, config = builtin_texts(memory), config or LangidConfig()
    training = prepared_sha256(texts.train, config)
    held_out = sha256_json(texts.held_out)
    key = sha256_json([_FORMAT, training, held_out, _fasttext_version()])
    folder = cache_dir("langid") / key[:32]
    if not (folder / FACTS_FILE).is_file():
        _train(folder, texts, config)
    return Classifier.load(folder, measured_errors(training))


def _train(folder: Path, texts: BuiltinTexts, config: LangidConfig) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        train_into(draft, texts.train, config, texts.held_out, HELD_OUT_TEXT)
        if folder.exists() and not (folder / FACTS_FILE).is_file():
            shutil.rmtree(folder)  # what is left of a classifier that somebody half deleted
        draft.replace(folder)
    except OSError:
        if not (folder / FACTS_FILE).is_file():
            raise  # otherwise another process was faster, with the same result
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def measured_path() -> Path:
    """The file of shipped figures, written by `tools/measure_langid.py`."""
    return Path(str(resources.files("whyguard.curation"))) / "data/langid/measured.json"


def measured_errors(training_sha256: str) -> dict[str, ErrorRate]:
    """Shipped error rates on independent text; empty unless they are of this very training text."""
    if not measured_path().is_file():
        return {}
    facts = json.loads(measured_path().read_text("utf-8"))
    if facts["training_sha256"] != training_sha256:
        return {}
    return {code: ErrorRate.model_validate(rate) for code, rate in facts["errors"].items()}


def _is_held_out(group: str) -> bool:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % _HELD_OUT_ONE_IN == 0


def _groups(path: Path) -> Iterator[_Text]:
    for row in _jsonl(path, ("group", "harmful", "benign")):
        for side in ("harmful", "benign"):
            for field, text in row[side].items():
                if isinstance(text, str):
                    language = "spa_Latn" if field.endswith("es") else "eng_Latn"
                    yield _Text(str(row["group"]), language, text)


def _memory(path: Path) -> Iterator[_Text]:
    for row in _jsonl(path, ("id", "language", "text")):
        family = str(row["id"]).rpartition(":")[2]
        yield _Text(family.rpartition("-")[0], str(row["language"]), str(row["text"]))


def _jsonl(path: Path, fields: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        fail(MissingFileError, where=str(path), expected="a data file of the package",
             found="no such file", do="install the package again")  # fmt: skip
    with path.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                row = json.loads(line)
                missing = [field for field in fields if field not in row]
            except (ValueError, TypeError) as error:
                missing, row = [str(error)], {}
            if missing:
                fail(DataError, where=f"{path}:{number}", expected=f"JSON with {', '.join(fields)}",
                     found=f"missing or broken: {missing[0]}", do="repair the line")  # fmt: skip
            yield row


def _fasttext_version() -> str:
    try:
        return importlib.metadata.version("fasttext-numpy2-wheel")
    except importlib.metadata.PackageNotFoundError:
        return "another build of fastText"

"""Closed-set language identification: a small fastText classifier for the languages at hand."""

import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whyguard.core.errors import (
    ArtefactError,
    ConfigError,
    DataError,
    MissingFileError,
    UnknownLanguageError,
    fail,
)
from whyguard.core.hashing import canonical_json, sha256_file, sha256_json
from whyguard.core.languages import known_languages
from whyguard.core.nearest import suggest
from whyguard.curation.langid_text import (
    LABEL,
    measurable,
    normalise,
    normalised,
    thinned,
    training_lines,
)
from whyguard.curation.langid_train import fasttext, train_binary

MODEL_FILE = "model.bin"
FACTS_FILE = "langid.json"
UNDETERMINED = "und_Zyyy"
"""What is predicted for a text without a single letter."""
HELD_OUT_LINES = "every tenth line of the training files"

Texts = Mapping[str, Sequence[str]]
"""Texts by language code."""


class LangidConfig(BaseModel):
    """How a classifier is trained; everything here changes the classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(default=13_000, ge=100)
    """Training lines a language: its texts, and pieces of them up to this number."""
    max_rows: int = Field(default=60_000, ge=100)
    """Most training lines a language; larger files are thinned evenly."""
    piece_words: tuple[int, int] = (2, 20)
    """Shortest and longest piece in words."""
    min_ngram: int = Field(default=1, ge=0)
    max_ngram: int = Field(default=5, ge=0)
    word_ngrams: int = Field(default=2, ge=1)
    dim: int = Field(default=16, ge=2)
    buckets: int = Field(default=100_000, ge=1000)
    """Hash buckets of character and word n-grams; the file has about 4 * dim * buckets bytes."""
    epochs: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=0.3, gt=0)
    min_lines: int = Field(default=20, ge=2)
    """Fewest different texts a language, held-out ones included."""
    seed: int = Field(default=1, ge=0)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `fasttext.train_supervised`."""
        return {"minn": self.min_ngram, "maxn": self.max_ngram, "wordNgrams": self.word_ngrams,
                "dim": self.dim, "bucket": self.buckets, "epoch": self.epochs,
                "lr": self.learning_rate, "seed": self.seed}  # fmt: skip


class Prediction(NamedTuple):
    """The likeliest language of a text, and its probability among the known ones."""

    language: str
    probability: float


class ErrorRate(BaseModel):
    """Held-out texts of one language, and how many were called another language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    wrong: int
    text: str
    """Which text it was measured on."""

    @property
    def share(self) -> float:
        """Wrong over n; NaN where nothing was held out."""
        return self.wrong / self.n if self.n else float("nan")


class Facts(BaseModel):
    """What lies beside a classifier's binary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    languages: tuple[str, ...]
    config: LangidConfig
    training_sha256: str
    """Hash of normalised training text by language and of the config."""
    model_sha256: str
    lines: dict[str, int]
    """Training texts by language, before pieces were drawn."""
    held_out: dict[str, ErrorRate]


class Confusion(NamedTuple):
    """Counts by true language (row) and predicted language (column)."""

    counts: dict[str, dict[str, int]]
    predicted: tuple[str, ...]

    def n(self, language: str) -> int:
        """Texts of that language."""
        return sum(self.counts[language].values())

    def wrong(self, language: str) -> int:
        """Texts of that language that were called another one."""
        return self.n(language) - self.counts[language].get(language, 0)

    def right_share(self, language: str) -> float:
        """Share of that language's texts that were recognised; NaN where there are none."""
        return 1.0 - self.wrong(language) / self.n(language) if self.n(language) else float("nan")


class Classifier:
    """A trained classifier. It knows its own languages only: every text is given one of them."""

    def __init__(self, model: Any, facts: Facts, measured: Mapping[str, ErrorRate]) -> None:
        self._model = model
        self.facts = facts
        self._measured = dict(measured)

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes it tells apart, sorted."""
        return self.facts.languages

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The likeliest language of each text, in order; `UNDETERMINED` without any letter."""
        lines = [normalised(text) for text in texts]
        asked = [line for line in lines if line]
        labels, probabilities = self._model.predict(asked) if asked else ([], [])
        found = [Prediction(label[0].removeprefix(LABEL), min(1.0, float(p[0])))
                 for label, p in zip(labels, probabilities, strict=True)]  # fmt: skip
        answers = iter(found)
        return [next(answers) if line else Prediction(UNDETERMINED, 0.0) for line in lines]

    def probabilities(self, texts: Sequence[str]) -> list[dict[str, float] | None]:
        """Probability of each known language, by text; None under three words."""
        lines = [normalised(text) for text in texts]
        asked = [line for line in lines if measurable(line)]
        labels, shares = self._model.predict(asked, k=len(self.languages)) if asked else ([], [])
        found = iter([{name.removeprefix(LABEL): min(1.0, float(p))
                       for name, p in zip(*pair, strict=True)}
                      for pair in zip(labels, shares, strict=True)])  # fmt: skip
        return [next(found) if measurable(line) else None for line in lines]

    def right_language(self, text: str, language: str) -> bool | None:
        """Whether `text` is in `language`.

        None = not measurable here: fewer than three words, or not one of the known languages.
        """
        if language not in self.languages or not measurable(normalised(text)):
            return None
        return self.predict([text])[0].language == language

    def confusion(self, held_out: Texts) -> Confusion:
        """Count predictions by true language; rows may be languages the classifier lacks."""
        columns = (*self.languages, UNDETERMINED)
        counts = {language: dict.fromkeys(columns, 0) for language in held_out}
        for language, texts in held_out.items():
            for prediction in self.predict(texts):
                counts[language][prediction.language] += 1
        return Confusion(counts, columns)

    def error(self, language: str) -> ErrorRate:
        """The classifier's own error on `language`, with the text it was measured on.

        Figures measured on independent text are preferred where they ship for this very
        classifier; otherwise it is the held-out share of the training text.

        Raises:
            UnknownLanguageError: the classifier does not know the language.
        """
        if language not in self.languages:
            fail(UnknownLanguageError, where="language classifier",
                 expected=f"one of {', '.join(self.languages)}", found=f"'{language}'",
                 do=suggest(language, self.languages))  # fmt: skip
        return self._measured.get(language) or self.facts.held_out[language]

    def error_of(self, language: str) -> float:
        """Share of held-out text of that language that is not recognised (see `error`)."""
        return self.error(language).share

    def save(self, folder: Path) -> None:
        """Write fastText's binary and, last, the facts into `folder`.

        Raises:
            ConfigError: `folder` is a file.
        """
        make_folder(folder)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:
            temporary = Path(stream.name)
        self._model.save_model(str(temporary))
        temporary.replace(folder / MODEL_FILE)
        write_facts(folder, self.facts)

    @classmethod
    def load(cls, folder: Path, measured: Mapping[str, ErrorRate] | None = None) -> "Classifier":
        """Open a saved classifier.

        Raises:
            MissingFileError: there is none in the folder.
            ArtefactError: its files do not belong together.
        """
        facts = read_facts(folder)
        model = folder / MODEL_FILE
        found = sha256_file(model) if model.is_file() else "no such file"
        if found != facts.model_sha256:
            fail(ArtefactError, where=str(model), expected=f"sha256 {facts.model_sha256[:16]}",
                 found=found[:16], do="train the classifier again")  # fmt: skip
        return cls(fasttext().load_model(str(model)), facts, measured or {})


@functools.cache
def _builtin() -> Classifier:
    from whyguard.curation.langid_builtin import builtin_classifier  # it imports this module

    return builtin_classifier()


def right_language(text: str, language: str) -> bool | None:
    """`Classifier.right_language` of the built-in classifier, loaded once a process.

    Raises:
        MissingExtraError: fastText is not installed.
    """
    return _builtin().right_language(text, language)


def train_classifier(
    texts_by_language: Texts,
    config: LangidConfig | None = None,
    *,
    held_out: Texts | None = None,
    held_out_text: str = HELD_OUT_LINES,
) -> Classifier:
    """Train a classifier on monolingual text.

    Args:
        texts_by_language: texts by language code (one sentence or short paragraph each).
        config: how to train.
        held_out: texts that only the error is measured on. None drops repeated
            texts and holds every tenth back (of aligned files: the same lines of each); with
            held-out text given, a text that is there twice counts twice.
        held_out_text: says what `held_out` is.

    Raises:
        UnknownLanguageError: a code is not known.
        ConfigError: fewer than two languages.
        DataError: a language has too little text, or fastText could not learn from it.
        MissingExtraError: fastText is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        train_into(target, texts_by_language, config or LangidConfig(), held_out, held_out_text)
        return Classifier.load(target)


def train_into(
    folder: Path,
    texts_by_language: Texts,
    config: LangidConfig,
    held_out: Texts | None = None,
    held_out_text: str = HELD_OUT_LINES,
) -> Confusion:
    """Train as `train_classifier` does and write the classifier's files into `folder`.

    Returns:
        The confusion table of the held-out text.
    """
    check_languages(list(texts_by_language))
    train, aside = _prepared(texts_by_language, held_out, config)
    lines = training_lines(train, rows=config.rows, max_rows=config.max_rows,
                           piece_words=config.piece_words, seed=config.seed)  # fmt: skip
    make_folder(folder)
    model = folder / MODEL_FILE
    train_binary(lines, config.arguments(), model)
    languages = tuple(sorted(train))
    blank = ErrorRate(n=0, wrong=0, text=held_out_text)
    facts = Facts(
        languages=languages, config=config, training_sha256=training_sha256(train, config),
        model_sha256=sha256_file(model), lines={code: len(train[code]) for code in languages},
        held_out=dict.fromkeys(languages, blank))  # fmt: skip
    confusion = Classifier(fasttext().load_model(str(model)), facts, {}).confusion(aside)
    errors = {code: ErrorRate(n=confusion.n(code), wrong=confusion.wrong(code), text=held_out_text)
              for code in languages if code in aside}  # fmt: skip
    write_facts(folder, facts.model_copy(update={"held_out": facts.held_out | errors}))
    return confusion


def check_languages(codes: Sequence[str], where: str = "language classifier") -> None:
    """Check that there are two or more languages and that each is known.

    Raises:
        UnknownLanguageError: a code is not known.
        ConfigError: fewer than two languages.
    """
    for code in codes:
        known_languages().get(code, where)
    if len(set(codes)) < 2:
        fail(ConfigError, where=where, expected="text of two or more languages to tell apart",
             found=", ".join(codes) or "none", do="add text of the languages it is mixed up with, "
             "such as --text spa_Latn=FILE")  # fmt: skip


def training_sha256(normalised_texts: Texts, config: LangidConfig) -> str:
    """Hash of what a classifier is a function of."""
    texts = {code: list(texts) for code, texts in normalised_texts.items()}
    return sha256_json({"texts": texts, "config": config.model_dump(mode="json")})


def prepared_sha256(texts_by_language: Texts, config: LangidConfig) -> str:
    """The `training_sha256` that training with explicitly held-out text will have."""
    return training_sha256(_prepared(texts_by_language, {}, config)[0], config)


class _Prepared(NamedTuple):
    train: dict[str, list[str]]
    held_out: dict[str, list[str]]


def _prepared(texts: Texts, held_out: Texts | None, config: LangidConfig) -> _Prepared:
    train, aside = {}, {}
    for code in sorted(texts):
        lines = [line for line in map(normalise, texts[code]) if line]
        _check_enough(code, lines, config)
        if held_out is not None:
            train[code], aside[code] = lines, list(held_out.get(code, ()))
            continue
        different = list(thinned(list(dict.fromkeys(lines)), config.max_rows))
        aside[code] = [line for i, line in enumerate(different) if i % 10 == 9 and measurable(line)]
        kept_back = set(aside[code])
        train[code] = [line for line in different if line not in kept_back]
    return _Prepared(train, aside)


def _check_enough(code: str, lines: Sequence[str], config: LangidConfig) -> None:
    different = len(set(lines))
    if different < config.min_lines:
        fail(DataError, where=f"training text of {code}",
             expected=f"{config.min_lines} or more different lines with letters",
             found=str(different),
             do="add text: a few hundred sentences make a usable classifier")  # fmt: skip


def read_facts(folder: Path) -> Facts:
    """The facts of a saved classifier.

    Raises:
        MissingFileError: there is none in the folder.
        ArtefactError: the facts cannot be read.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        fail(MissingFileError, where=str(folder), expected=f"a classifier ({FACTS_FILE})",
             found=f"no {FACTS_FILE}" if folder.is_dir() else "no such folder",
             do="name a folder that `whyguard langid train --out` wrote, or builtin")  # fmt: skip
    try:
        return Facts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fail(ArtefactError, where=str(path), expected="facts of a classifier, format 1",
             found=f"{error.error_count()} problems, first: {error.errors()[0]['msg']}",
             do="train the classifier again")  # fmt: skip


def write_facts(folder: Path, facts: Facts) -> None:
    """Write the facts by rename: a folder with facts is a whole classifier."""
    temporary = folder / f".{FACTS_FILE}.{os.getpid()}"
    temporary.write_text(canonical_json(facts.model_dump(mode="json")) + "\n", encoding="utf-8")
    temporary.replace(folder / FACTS_FILE)


def make_folder(folder: Path) -> None:
    """Make `folder`.

    Raises:
        ConfigError: it is a file, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(ConfigError, where=str(folder), expected="a folder that can be written",
             found=str(error), do="name another folder")  # fmt: skip

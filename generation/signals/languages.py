"""Signals of a closed-set language classifier: is the text in the declared language, all of it?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from whyguard.curation.langid import Classifier
from whyguard.curation.langid_builtin import builtin_classifier
from whyguard.generation.signals.text import unprotected

WINDOW_WORDS = 8
_STRIDE = 4
_CLEARLY = 0.5
"""How much likelier than the declared language another one is in a window that counts."""


class Localised(NamedTuple):
    """A text and the language that it is declared to be in."""

    text: str
    language: str


def open_classifier(folder: str | None) -> Classifier:
    """The classifier that `whyguard langid train` wrote into `folder`; None: the built-in one.

    Raises:
        MissingExtraError: fastText is not installed.
        MissingFileError: there is no classifier in the folder.
    """
    return builtin_classifier() if folder is None else Classifier.load(Path(folder))


def probabilities(classifier: Classifier, texts: Sequence[str]) -> list[Mapping[str, float] | None]:
    """Each text's probability of every language that the classifier knows.

    None: under three words, so that nothing can be said.
    """
    return list(classifier.probabilities([unprotected(text) for text in texts]))


def language_confidence(classifier: Classifier, rows: Sequence[Localised]) -> list[float | None]:
    """Probability of each text's declared language among the classifier's languages.

    A closed set cannot say "none of these": a text in a language it lacks gets the nearest one.
    None: fewer than three words, or the classifier does not know the declared language.

    Source: closed-set fastText classifier, see docs/langid.md.
    """
    found = probabilities(classifier, [row.text for row in rows])
    return [_of(shares, row.language) for shares, row in zip(found, rows, strict=True)]


def _of(shares: Mapping[str, float] | None, language: str) -> float | None:
    return None if shares is None else shares.get(language)


def code_switch_share(classifier: Classifier, rows: Sequence[Localised]) -> list[float | None]:
    """Share of windows of eight words that are clearly in another language.

    A window counts where another language is likelier by 0.5 or more: short pieces of close
    relatives are easily mistaken. A text of up to eight words is one window. None as for
    `language_confidence`.
    """
    windows = [windows_of(row.text) for row in rows]
    flat = probabilities(classifier, [window for item in windows for window in item])
    answers = iter(flat)
    return [_switched([next(answers) for _ in item], row.language)
            for item, row in zip(windows, rows, strict=True)]  # fmt: skip


def _switched(found: Sequence[Mapping[str, float] | None], language: str) -> float | None:
    known = [shares for shares in found if shares is not None and language in shares]
    if not known:
        return None
    foreign = sum(max(shares.values()) - shares[language] >= _CLEARLY for shares in known)
    return foreign / len(known)


def windows_of(text: str) -> list[str]:
    """Overlapping windows of eight words, every four words; the last one ends with the text."""
    words = unprotected(text).split()
    last = max(0, len(words) - WINDOW_WORDS)
    starts = sorted({*range(0, last, _STRIDE), last})
    return [" ".join(words[start : start + WINDOW_WORDS]) for start in starts]

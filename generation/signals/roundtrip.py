"""Signals of a round trip: the translation is translated back, and compared with its source."""

from collections.abc import Sequence
from typing import NamedTuple

from whyguard.core.errors import ConfigError
from whyguard.core.optional import require
from whyguard.curation.normalise import is_blank, normalise
from whyguard.generation.signals.text import words_of
from whyguard.generation.translation.backends import Backend

_CONTENT_LETTERS = 4
_STEM_LETTERS = 5


class Journey(NamedTuple):
    """A translation to send back: from `language` to `home`, the language of its source."""

    text: str
    language: str
    home: str


class Return(NamedTuple):
    """Back-translations in order (None: no way back, or nothing came), and why there is no way."""

    texts: list[str | None]
    no_way: dict[str, str]


def way_back(backends: Sequence[Backend], journeys: Sequence[Journey]) -> Return:
    """Translate each text back by the first backend that can.

    A language pair that no backend has is not measurable, and no error.

    Raises:
        MissingToolError: an engine or its language data is not installed.
        TeacherError: an engine failed.
    """
    done = Return([None] * len(journeys), {})
    pairs = sorted({(journey.language, journey.home) for journey in journeys})
    for pair in pairs:
        at = [i for i, j in enumerate(journeys) if (j.language, j.home) == pair]
        for backend in backends:
            missing = [i for i in at if done.texts[i] is None]
            if missing:
                _fill(done, backend, pair, missing, [journeys[i].text for i in missing])
        if any(done.texts[i] is not None for i in at):
            done.no_way.pop(_named(pair), None)
        else:
            done.no_way.setdefault(_named(pair), "no backend" if not backends else "no answer")
    return done


def _fill(done: Return, backend: Backend, pair: tuple[str, str], missing: Sequence[int],
          texts: Sequence[str]) -> None:  # fmt: skip
    try:
        answers = backend.translate(*pair, texts)
    except ConfigError as error:  # the backend has no such pair
        done.no_way[_named(pair)] = _reason(error)
        return
    for i, answer in zip(missing, answers, strict=True):
        text = normalise(answer.text) if answer is not None else ""
        if not is_blank(text):
            done.texts[i] = text


def _reason(error: ConfigError) -> str:
    """What was expected and what was found, in one line; where and what to do are elsewhere."""
    lines = [" ".join(line.split()) for line in str(error).strip().splitlines()]
    facts = [line for line in lines if line.startswith(("expected:", "found:"))]
    return "; ".join(facts) or lines[0]


def _named(pair: tuple[str, str]) -> str:
    return f"{pair[0]} -> {pair[1]}"


def round_trip_chrf(source: str, back: str) -> float:
    """chrF2 of the back-translation against the source, 0..100 (higher: closer).

    It sums up the errors of both ways: compare rows of one language and one way back only.

    Raises:
        MissingExtraError: sacrebleu is not installed.

    Source: Popovic (2015), as sacrebleu computes it (character order 6, beta 2, no word n-grams).
    """
    metric = require("sacrebleu.metrics", "generate").CHRF()
    return float(metric.sentence_score(back, [source]).score)


def round_trip_overlap(source: str, back: str) -> float | None:
    """Share of the source's different content words that the back-translation has.

    Words of four or more characters count by their first five, a rough stem. None: the source has
    no such word.
    """
    wanted = _stems(source)
    return len(wanted & _stems(back)) / len(wanted) if wanted else None


def _stems(text: str) -> set[str]:
    return {word[:_STEM_LETTERS] for word in words_of(text) if len(word) >= _CONTENT_LETTERS}

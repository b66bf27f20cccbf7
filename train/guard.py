"""A guard read from a folder or a reference, scored on rows of a plain file."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyguard.core.progress import Progress
from whyguard.core.stats import Indices, group_bootstrap
from whyguard.core.values import Label
from whyguard.curation.records import Record
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import harmful_probabilities
from whyguard.generation.models import Loaded, Precision, load_located, locate_model
from whyguard.train.folder import GuardFacts, plain_facts, read_guard
from whyguard.train.metrics import auroc, f1, false_refusal_rate, recall
from whyguard.train.sampling import THINK_OPEN
from whyguard.train.thinking import ScoringMode, Thinking, Thought, thoughtful_probabilities

DEFAULT_THRESHOLD = 0.5
PLAIN = Thinking(ScoringMode.NO_THINK)
"""The verdict right after the prompt."""
ALL = "all"


class Guard(NamedTuple):
    """A loaded guard and the facts it is scored with."""

    loaded: Loaded
    facts: GuardFacts


class LanguageResult(NamedTuple):
    """Figures of one language (or `all`); None where a label is absent."""

    language: str
    n: int
    harmful: int
    groups: int
    auroc: float | None
    low: float | None
    high: float | None
    recall: float | None
    false_refusal_rate: float | None
    f1_harmful: float | None


def load_guard(ref: str, device: str = "auto", progress: Progress | None = None) -> Guard:
    """Load a guard: a folder or a model reference; an untrained model is taken as it is.

    Raises:
        MissingFileError: the folder is not there or holds no model.
        ConfigError: the reference has none of the known forms.
    """
    located = locate_model(ref, role="evaluated", progress=progress)
    facts = read_guard(located.folder) or plain_facts(located.use)
    return Guard(load_located(located, Precision.FP32, device), facts)


def score_records(guard: Guard, records: Sequence[Record], batch_size: int, progress: Progress,
                  thinking: Thinking = PLAIN) -> Thought:  # fmt: skip
    """P(harmful) of each record; in `no_think` every row counts as closed.

    Args:
        guard: model and facts; its prompts are begun as in its training.
        records: N rows.
        batch_size: prompts at once.
        progress: shows prompts (in `think_k`: reasonings).
        thinking: mode, tokens, samples, temperature, seed; its prefill is the guard's.
    """
    template, labels = prompt_template(guard.facts.prompt_template), guard.facts.labels
    texts = [record.text for record in records]
    asked = thinking._replace(prefill=THINK_OPEN if guard.facts.prefill_think else "")
    count = asked.samples if asked.mode is ScoringMode.THINK_K else 1
    with progress.task("scoring", len(texts) * count) as task:
        if asked.mode is ScoringMode.NO_THINK:
            scores = harmful_probabilities(guard.loaded, template, texts, labels, batch_size, task)
            return Thought(scores, np.ones(len(texts)))
        return thoughtful_probabilities(guard.loaded, template, texts, labels, asked, batch_size,
                                        task)  # fmt: skip


def by_language(records: Sequence[Record], scores: NDArray[np.float64], threshold: float,
                draws: int = 1000, seed: int = 0) -> list[LanguageResult]:  # fmt: skip
    """Figures of each language, then of all rows together; intervals resample whole groups."""
    languages = sorted({record.language for record in records})
    wanted = [*languages, ALL] if len(languages) > 1 else languages
    results = []
    for language in wanted:
        at = [i for i, r in enumerate(records) if language in (ALL, r.language)]
        groups = [records[i].group for i in at]
        results.append(_result(language, [records[i] for i in at], scores[at], threshold, groups,
                               draws, seed))  # fmt: skip
    return results


def _result(
    language: str,
    records: Sequence[Record],
    scores: NDArray[np.float64],
    threshold: float,
    groups: list[str],
    draws: int,
    seed: int,
) -> LanguageResult:
    harmful = np.array([record.label == Label.HARMFUL for record in records])
    caught = scores >= threshold

    def statistic(at: Indices) -> float:
        return auroc(scores[at], harmful[at])

    found = group_bootstrap(groups, statistic, draws=draws, seed=seed)
    values = (found.value, found.low, found.high, recall(caught, harmful),
              false_refusal_rate(caught, harmful), f1(caught, harmful))  # fmt: skip
    numbers = [None if np.isnan(value) else float(value) for value in values]
    return LanguageResult(language, len(records), int(harmful.sum()), found.groups, *numbers)

"""One completion's rewards: raw, weighted, and their sum.

Differences from the code published with ConsistentGuard (arXiv 2510.10677):
1. repetition is 1 - distinct / total trigrams, and under three words nothing is paid: the published
   rate pays a looped phrase, and an empty thinking, in full;
2. the length reward stays at -1 from 3 * best on; the published sine comes up again;
3. a part counts only if it is closed exactly once and holds what it should: the published code
   counts any `</think>`, and violations or a verdict with any content;
4. `format_order` asks for think, violations, judge in order and nothing outside, not only for a
   `</think>` before the first `<judge>`;
5. verdicts are compared as they are written; the published code ignores case;
6. language is told by a classifier that the caller injects, not by a web page;
7. rewards of the explanation are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from whyguard.core.languages import ENGLISH
from whyguard.core.values import Arm, Label
from whyguard.generation.writing.rules import calls_harmless, category_rule
from whyguard.generation.writing.sieve import Finding
from whyguard.train.rewards.config import REWARDS, RewardConfig
from whyguard.train.rewards.formulas import diversity_reward, length_reward, repetition_rate
from whyguard.train.rewards.parts import Parts, read_parts
from whyguard.train.segments import ARM_COLUMN

CountTokens = Callable[[str], int]
"""Text -> its number of tokens."""
RightLanguage = Callable[[str, str], bool | None]
"""(text, language code) -> whether it is written in it; None where that cannot be told."""
Raw = dict[str, float | None]
"""Reward by name; None where one does not apply or cannot be measured."""
_PIECE_WORDS = 12
"""Words of thinking whose language is told at one time."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of the prompt that a completion answers."""

    label: Label | None
    """None: unknown, and nothing that needs it applies."""
    language: str = ENGLISH
    """The prompt's language, which is the explanation's."""
    categories: tuple[str, ...] = ()
    arm: Arm = Arm.REFUSAL_ONLY
    """Whether an explanation is wanted. Rollouts that stop at `</judge>` are `refusal_only`."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What must be told from outside, so that the rewards stay pure functions."""

    count_tokens: CountTokens
    right_language: RightLanguage | None = None
    """None: rewards of language do not apply. `curation.langid.right_language` is one."""


class Rewards(NamedTuple):
    """The rewards of one completion, by name in the order of `REWARDS`."""

    raw: Raw
    weighted: Raw
    """weight * raw."""
    total: float | None
    """Sum of the weighted ones; None where no reward with a weight applies."""


def score(completion: str, case: Case, config: RewardConfig, measures: Measures) -> Rewards:
    """Every reward of a completion, whatever the completion is.

    Bounds of the raw rewards: 0..1, `length` -1..1. See `config.RewardWeights` for what each is,
    `formulas` for their zero and peak points. Rewards of the thinking are 0 without one closed
    think. Rewards of the explanation apply in arms that have one: language and category on prompts
    that are harmful, agreement on all; a missing explanation is paid 0.
    """
    parts = read_parts(completion, prefilled=config.prefilled_think)
    found = {**_verdict(parts, case), **_thinking(parts, config, measures),
             **_explanation(parts, case, measures)}  # fmt: skip
    raw = {name: found[name] for name in REWARDS}
    weights: dict[str, float] = config.weights.model_dump()
    weighted = {name: None if value is None else weights[name] * value
                for name, value in raw.items()}  # fmt: skip
    counted = [value for name, value in weighted.items() if weights[name] and value is not None]
    return Rewards(raw, weighted, sum(counted) if counted else None)


def language_share(text: str, language: str, right_language: RightLanguage) -> float | None:
    """Share of a text's pieces of 12 words that are in a language; None if none can be told.

    The last piece takes what is left, so that no piece is too short to be told unless the text is.
    """
    words = text.split()
    starts = range(0, max(len(words) - _PIECE_WORDS, 0) + 1, _PIECE_WORDS)
    ends = [*list(starts)[1:], len(words)]
    told = [right_language(" ".join(words[start:end]), language)
            for start, end in zip(starts, ends, strict=True)]  # fmt: skip
    known = [right for right in told if right is not None]
    return sum(known) / len(known) if known else None


def _verdict(parts: Parts, case: Case) -> Raw:
    return {
        "accuracy": None if case.label is None else float(parts.verdict == case.label),
        "format_think": float(parts.think is not None),
        "format_violations": float(parts.violations is not None),
        "format_judge": float(parts.verdict is not None),
        "format_order": float(parts.whole),
    }


def _thinking(parts: Parts, config: RewardConfig, measures: Measures) -> Raw:
    language, tell = config.thinking_language, measures.right_language
    if parts.think is None:
        return {"length": 0.0, "diversity": 0.0, "thinking_language": 0.0 if tell else None}
    rate = repetition_rate(parts.think, language)
    return {
        "length": length_reward(measures.count_tokens(parts.think), config.best_length),
        "diversity": 0.0 if rate is None else diversity_reward(rate),
        "thinking_language": language_share(parts.think, language, tell) if tell else None,
    }


def _explanation(parts: Parts, case: Case, measures: Measures) -> Raw:
    if ARM_COLUMN[case.arm] is None:
        return dict.fromkeys(("explanation_language", "category", "agreement"))
    harmful = case.label == Label.HARMFUL
    return {
        "explanation_language": _spoken(parts.explanation, case, measures) if harmful else None,
        "category": _category(parts.explanation, case) if harmful else None,
        "agreement": _agreement(parts, case),
    }


def _spoken(text: str | None, case: Case, measures: Measures) -> float | None:
    if measures.right_language is None:
        return None
    right = False if text is None else measures.right_language(text, case.language)
    return None if right is None else float(right)


def _category(text: str | None, case: Case) -> float | None:
    """By code, by name in the language or in English, by listed words (English): see the rule."""
    if not case.categories:
        return None
    if text is None:
        return 0.0
    rule = category_rule(lambda row: case.categories)
    return _points(rule({"text": text, "language": case.language}))


def _agreement(parts: Parts, case: Case) -> float | None:
    """A harmful verdict with an explanation that does not call it harmless; any other without one.

    None, whatever was written, where the language has no list of phrases that call a request
    harmless: paid for silence alone, a wrong verdict would earn more than a right one.
    """
    if not calls_harmless("", case.language).measured:
        return None
    if parts.verdict is None:
        return 0.0
    if parts.verdict != Label.HARMFUL or parts.explanation is None:
        return float((parts.verdict == Label.HARMFUL) == (parts.explanation is not None))
    return _points(calls_harmless(parts.explanation, case.language))


def _points(finding: Finding) -> float | None:
    return float(finding.problem is None) if finding.measured else None

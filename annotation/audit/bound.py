"""Exact bounds on the number of wrong rows of a finite pool, from a sample without replacement.

With K wrong rows among N, the number X of wrong ones among n drawn is hypergeometric. The upper
bound is the largest K that the sample does not contradict, P(X <= k | N, K, n) > alpha; the lower
bound the smallest, P(X >= k | N, K, n) > alpha. Either is exact: over repeated draws it fails in at
most a share alpha of them.

Source: Buonaccorsi (1987), A note on confidence intervals for proportions in finite populations,
The American Statistician 41(3); Clopper and Pearson (1934) for pools of unknown size.
"""

import functools
import math
from collections.abc import Callable

from whyguard.core.errors import ConfigError, DataError, fail

ALPHA = 0.05
_TIE = 1e-9
"""A probability this close to alpha counts as above it: rounding never makes a bound too small."""
_STEPS = 60


@functools.lru_cache(maxsize=65536)
def upper_count(pool: int, drawn: int, wrong: int, alpha: float = ALPHA) -> int:
    """Most wrong rows that a pool of `pool` may hold, given `wrong` of `drawn`, at 1 - alpha.

    Raises:
        DataError: there cannot be such a sample, or alpha is not between 0 and 1.
    """
    _check(pool, drawn, wrong, alpha)
    return _last(wrong, pool - (drawn - wrong),
                 lambda bad: at_most(wrong, pool, bad, drawn) > alpha - _TIE)  # fmt: skip


@functools.lru_cache(maxsize=65536)
def lower_count(pool: int, drawn: int, wrong: int, alpha: float = ALPHA) -> int:
    """Fewest wrong rows that a pool of `pool` must hold, given `wrong` of `drawn`, at 1 - alpha.

    Raises:
        DataError: see `upper_count`.
    """
    return pool - upper_count(pool, drawn, drawn - wrong, alpha)


def upper_rate(pool: int | None, drawn: int, wrong: int, alpha: float = ALPHA) -> float:
    """Upper bound of the share of wrong rows, 0..1; 1 where nothing was drawn.

    `pool` None: a pool of unknown size is taken as endless, which never makes the bound smaller.

    Raises:
        DataError: see `upper_count`.
    """
    if pool is None:
        return _endless(drawn, wrong, alpha)
    return upper_count(pool, drawn, wrong, alpha) / pool if pool else 1.0


def lower_rate(pool: int | None, drawn: int, wrong: int, alpha: float = ALPHA) -> float:
    """Lower bound of the share of wrong rows, 0..1; see `upper_rate`."""
    if drawn == 0:
        return 0.0
    return 1.0 - upper_rate(pool, drawn, drawn - wrong, alpha)


def at_most(wrong: int, pool: int, bad: int, drawn: int) -> float:
    """P(X <= wrong) where `drawn` of `pool` rows, `bad` of them wrong, are drawn."""
    first = max(0, drawn - (pool - bad))
    whole = _log_choose(pool, drawn)
    terms = (_log_choose(bad, x) + _log_choose(pool - bad, drawn - x) - whole
             for x in range(first, min(wrong, bad, drawn) + 1))  # fmt: skip
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def shared_alpha(questions: int, alpha: float = ALPHA) -> float:
    """Level of each of several bounds that are to hold together with 1 - alpha (Bonferroni)."""
    return alpha / max(1, questions)


def sample_size(pool: int, target: float, wrong: int = 0, alpha: float = ALPHA) -> int:
    """Fewest rows to draw so that `wrong` wrong ones among them bound the rate at `target`.

    Raises:
        ConfigError: not even the whole pool can say so.
    """
    if wrong > pool or wrong > target * pool:
        fail(ConfigError, where="audit: target_rate",
             expected=f"at least {wrong / pool if pool else 1.0:.4f}: {wrong} of {pool} rows",
             found=f"{target:g}", do="raise the target rate, or audit a larger pool")  # fmt: skip
    low, high = wrong, pool
    while low < high:
        middle = (low + high) // 2
        if upper_rate(pool, middle, wrong, alpha) <= target:
            high = middle
        else:
            low = middle + 1
    return low


def statement(pool: int | None, drawn: int, wrong: int, alpha: float = ALPHA, *,
              level: str = "") -> str:  # fmt: skip
    """A sample in words: `0 wrong of 20: at most 13.6 % of the 500 rows are wrong (95 %)`.

    `level` takes the place of the percentage in brackets. Where no row was wrong the bound rests on
    the sample's size alone, and the sentence says so.
    """
    level = level or f"{100 * (1 - alpha):.4g} %"
    rows = f"the {pool} rows" if pool is not None else "the rows"
    if drawn == 0:
        return f"nothing was answered: nothing is known of {rows}"
    bound = 100 * upper_rate(pool, drawn, wrong, alpha)
    text = f"{wrong} wrong of {drawn}: at most {_ceiled(bound)} % of {rows} are wrong ({level})"
    if wrong == 0 and bound > 0:
        return f"{text}; the audit is too small to say less"
    return text


def _ceiled(percent: float) -> str:
    """One decimal, rounded up: a bound never looks smaller than it is."""
    return f"{math.ceil(percent * 10 - 1e-6) / 10:.1f}"


def _check(pool: int, drawn: int, wrong: int, alpha: float) -> None:
    if not (0 <= wrong <= drawn <= pool and 0.0 < alpha < 1.0):
        fail(DataError, where="audit bound", expected="0 <= wrong <= drawn <= pool, 0 < alpha < 1",
             found=f"wrong {wrong}, drawn {drawn}, pool {pool}, alpha {alpha}",
             do="count the audit's items again")  # fmt: skip


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The largest number from low to high for which `holds`, which turns from true to false."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _endless(drawn: int, wrong: int, alpha: float) -> float:
    """Clopper and Pearson's upper bound, by bisection on the binomial distribution."""
    if wrong >= drawn:
        return 1.0
    low, high = wrong / drawn, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _binomial_at_most(wrong, drawn, middle) > alpha - _TIE:
            low = middle
        else:
            high = middle
    return high


def _binomial_at_most(wrong: int, drawn: int, rate: float) -> float:
    if rate >= 1.0:
        return float(wrong >= drawn)
    if rate <= 0.0:
        return 1.0
    return math.fsum(math.exp(_log_choose(drawn, x) + x * math.log(rate)
                              + (drawn - x) * math.log1p(-rate))
                     for x in range(wrong + 1))  # fmt: skip


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

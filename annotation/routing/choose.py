"""Which rows are looked at for a budget: some by chance, then the riskiest that are unlike.

A budget is an amount and two prices: minutes (in seconds, a price an answer), or a number of
answers (price 1 each). Nothing is chosen that does not fit, and every language has its own budget.

Rows by chance are drawn uniformly from the pool before anything else. The others follow a greedy
order over the whole pool: the rank of their risk, less a little for every row before that stands
out in the same aspect or is of the same category (as in maximal marginal relevance), and at most
so many of a group. A row by chance that the greedy order would have taken anyway costs nothing
there. So a row is certain to be chosen, or is chosen with probability drawn / pool, and `weight`
is the inverse of that.

Source: Carbonell and Goldstein (1998), maximal marginal relevance; Horvitz and Thompson (1952).
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from whyguard.core.values import Purpose

_ALIKE = 0.2
"""What the logarithm of the number of like rows before takes from a row's rank (nats)."""
_DIGITS = 2**64


class Candidate(NamedTuple):
    """A row that may be chosen; larger scores are riskier."""

    example_id: str
    group_id: str
    category: str
    aspect: str
    score: float


class Chosen(NamedTuple):
    """A chosen row: `overlap` rows are answered by several people."""

    example_id: str
    purpose: Purpose
    overlap: bool
    weight: float | None


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent on one language, and what it buys."""

    amount: float
    """Seconds, or answers."""
    blind: float
    """Price of one answer to a blind item."""
    rationale: float
    """Price of one answer to a rationale item."""
    answers: int = 2
    """People who answer an item where several are to."""
    random_share: float = 0.2
    """Share of the amount for rows by chance."""
    gold_share: float = 0.1
    """Most of the amount for items whose answer is known."""
    overlap_share: float = 0.1
    """Share of the riskiest rows that several people answer."""
    per_group: int = 2
    """Most risky rows of one group."""

    def price(self, purpose: Purpose, overlap: bool) -> float:
        """What all answers to a row's items cost."""
        several = self.answers * self.blind
        if purpose is Purpose.GOLD:
            return several
        if purpose is Purpose.RANDOM:
            return self.rationale + several
        return self.answers * self.rationale + several if overlap else self.rationale


def choose(pool: Sequence[Candidate], gold: Sequence[str], budget: Budget, seed: str
           ) -> list[Chosen]:  # fmt: skip
    """The rows to look at, known ones first, then those by chance, then the riskiest in order.

    `gold` are ids of rows that are not in the pool. Row order does not matter; ids, scores, budget
    and seed do.
    """
    known = _first(gold, budget.gold_share * budget.amount, budget.price(Purpose.GOLD, True), seed)
    chosen = [Chosen(name, Purpose.GOLD, True, None) for name in known]
    left = budget.amount - sum(budget.price(item.purpose, item.overlap) for item in chosen)
    price = budget.price(Purpose.RANDOM, True)
    by_chance = _first([row.example_id for row in pool],
                       min(left, budget.random_share * budget.amount), price, seed)  # fmt: skip
    work, certain = _riskiest(pool, set(by_chance), left - price * len(by_chance), budget, seed)
    weights = {name: 1.0 if name in certain else len(pool) / len(by_chance) for name in by_chance}
    chosen += [Chosen(name, Purpose.RANDOM, True, weights[name]) for name in by_chance]
    return chosen + work


def _first(names: Sequence[str], amount: float, price: float, seed: str) -> list[str]:
    """As many as the amount pays for, in an order that chance makes."""
    count = int(amount / price + 1e-9)
    return sorted(names, key=lambda name: (hashed(seed, name), name))[:count]


def _riskiest(pool: Sequence[Candidate], by_chance: set[str], left: float, budget: Budget,
              seed: str) -> tuple[list[Chosen], set[str]]:  # fmt: skip
    """Rows that the rest of the budget pays for, and the rows by chance met on the way."""
    work: list[Chosen] = []
    certain: set[str] = set()
    cheapest = budget.price(Purpose.WORK, False)
    groups: Counter[str] = Counter()
    for row in _greedy(pool, groups, budget.per_group):
        if left < cheapest:
            break
        overlap = hashed(f"{seed} overlap", row.example_id) < budget.overlap_share * _DIGITS
        price = budget.price(Purpose.WORK, overlap)
        if row.example_id in by_chance:
            certain.add(row.example_id)
        elif price > left:
            continue
        else:
            work.append(Chosen(row.example_id, Purpose.WORK, overlap, 1.0))
            left -= price
        groups[row.group_id] += 1
    return work, certain


def _greedy(pool: Sequence[Candidate], groups: Counter[str], most: int) -> Iterator[Candidate]:
    """Rows by rank and unlikeness; the caller counts in `groups` what it took."""
    order = sorted(pool, key=lambda row: (-row.score, row.example_id))
    buckets: dict[tuple[str, str], list[tuple[float, Candidate]]] = defaultdict(list)
    for rank, row in enumerate(order, 1):
        buckets[row.aspect, row.category].append((-math.log(rank / len(order)), row))
    for bucket in buckets.values():
        bucket.reverse()
    aspects: Counter[str] = Counter()
    categories: Counter[str] = Counter()

    def gain(key: tuple[str, str]) -> float:
        alike = math.log1p(aspects[key[0]]) + math.log1p(categories[key[1]])
        return buckets[key][-1][0] - _ALIKE * alike

    while buckets:
        best = max(sorted(buckets), key=gain)
        _, row = buckets[best].pop()
        if not buckets[best]:
            del buckets[best]
        if groups[row.group_id] < most:
            yield row
            aspects[best[0]] += 1
            categories[best[1]] += 1


def hashed(seed: str, name: str) -> int:
    """64 bits that depend on the seed and the name only, in every process."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big")

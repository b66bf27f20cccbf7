"""Self-consistency: how far the samples of one prompt agree on its verdict."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from whyguard.core.tables import Row


def vote_shares(verdicts: Iterable[str]) -> dict[str, float]:
    """Share of each verdict, in 0..1; the shares add up to 1 unless there are no verdicts.

    Source: Wang et al. (2022), self-consistency, arXiv 2203.11171.
    """
    counts = Counter(verdicts)
    return {verdict: count / counts.total() for verdict, count in counts.items()}


def entropy_bits(shares: Iterable[float]) -> float:
    """Shannon entropy in bits: 0 where all agree, 1 where two verdicts share the votes evenly."""
    return abs(sum(share * math.log2(share) for share in shares if share > 0))


def with_votes(rows: Sequence[Row]) -> list[Row]:
    """Trace rows with `vote_share` (of the row's own verdict) and `entropy` of their prompt.

    Null where a prompt has one readable sample: a vote of one says nothing.
    """
    by_prompt: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_prompt[row["prompt_id"]].append(row["verdict"])
    return [row | _vote(row["verdict"], by_prompt[row["prompt_id"]]) for row in rows]


def _vote(verdict: str, verdicts: Sequence[str]) -> dict[str, float | None]:
    if len(verdicts) < 2:
        return {"vote_share": None, "entropy": None}
    shares = vote_shares(verdicts)
    return {"vote_share": shares[verdict], "entropy": entropy_bits(shares.values())}

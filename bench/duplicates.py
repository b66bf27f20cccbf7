"""Near-duplicate search by MinHash LSH against comparing every pair, with equal results."""

import random

from bench.harness import Figure, compare
from whyguard.curation.deduplicate import DeduplicateConfig, find_alike

_ROWS = 1500


def _texts() -> list[str]:
    rng = random.Random(1)
    words = [f"w{rng.randrange(900)}" for _ in range(900)]
    texts = [" ".join(rng.choices(words, k=18)) for _ in range(_ROWS)]
    return texts + [text + " twin" for text in texts[: _ROWS // 10]]


def _shingles(text: str, size: int) -> frozenset[str]:
    return frozenset(text[i : i + size] for i in range(max(1, len(text) - size + 1)))


def _every_pair(texts: list[str], threshold: float, size: int) -> set[tuple[int, int]]:
    sets = [_shingles(text, size) for text in texts]
    found = set()
    for i, one in enumerate(sets):
        for j in range(i + 1, len(sets)):
            shared = len(one & sets[j])
            if shared >= threshold * (len(one) + len(sets[j]) - shared):
                found.add((i, j))
    return found


def run() -> list[Figure]:
    """One figure; fails where the two disagree on what is alike."""
    texts, config = _texts(), DeduplicateConfig()
    languages = ["eng_Latn"] * len(texts)
    near = {(p.first, p.second) for p in find_alike(texts, languages, config).near}
    expected = _every_pair(texts, config.threshold, config.shingle)
    if near != expected:
        raise AssertionError(f"LSH found {len(near)} pairs, all-pairs {len(expected)}")
    return [
        compare(
            f"near-duplicates among {len(texts)} texts", "every pair compared",
            lambda: _every_pair(texts, config.threshold, config.shingle),
            lambda: find_alike(texts, languages, config), rounds=1,
            note=f"{len(near)} pairs, the same in both",
        )
    ]  # fmt: skip

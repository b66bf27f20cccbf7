import os
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from whyguard.core.errors import DataError
from whyguard.core.schemas import Prompt
from whyguard.core.tables import frame
from whyguard.core.values import Split
from whyguard.curation.split import (
    Shares,
    SplitConfig,
    Stratify,
    assign_splits,
    split_prompts,
    strata_of,
)

_NAMES = st.text("abcdefghij0123456789", min_size=1, max_size=6)
_STRATA = st.dictionaries(_NAMES, st.sampled_from(["S1", "S2", "benign"]), min_size=3, max_size=60)
_SHARES = st.tuples(*[st.integers(0, 10)] * 3).filter(any).map(
    lambda parts: Shares(**{s.value: p / sum(parts) for s, p in zip(Split, parts, strict=True)})
)  # fmt: skip


def _prompt(group: str, number: int, label: str, categories: list[str]) -> dict[str, Any]:
    family = f"a:{group}-{number}"
    return {
        "prompt_id": f"{family}:eng_Latn",
        "family_id": family,
        "group_id": group,
        "source": "a",
        "source_row": f"{group}-{number}",
        "licence": "CC0-1.0",
        "language": "eng_Latn",
        "text": family,
        "label": label,
        "label_sense": "request",
        "categories": categories,
        "edits": [],
        "signals": [],
    }


@given(_STRATA, _SHARES, st.integers(0, 1000))
def test_sizes_lie_within_one_group_of_the_target(
    strata: dict[str, str], shares: Shares, seed: int
) -> None:
    assigned = assign_splits(strata, shares, seed)
    assert set(assigned) == set(strata)
    wanted = [split for split in Split if getattr(shares, split.value) > 0]
    # Filling an empty split moves at most one group a split.
    slack = sum(Counter(assigned.values())[split] == 1 for split in wanted)
    sizes = Counter(strata.values())
    counts = Counter((strata[group], split) for group, split in assigned.items())
    for stratum, size in sizes.items():
        for split in Split:
            share = getattr(shares, split.value)
            assert abs(counts[(stratum, split)] - size * share) <= 1 + slack + 1e-6
    for split in Split:
        assert (Counter(assigned.values())[split] > 0) is (split in wanted)


@given(_STRATA, _SHARES, st.integers(0, 1000), _NAMES, st.sampled_from(["S1", "S9"]))
def test_a_new_group_moves_few_others(
    strata: dict[str, str], shares: Shares, seed: int, name: str, stratum: str
) -> None:
    if name in strata:
        return
    before = assign_splits(strata, shares, seed)
    after = assign_splits(strata | {name: stratum}, shares, seed)
    moved = [group for group in strata if before[group] is not after[group]]
    filled = sum(
        Counter(found.values())[split] == 1 for found in (before, after) for split in Split
    )
    assert len(moved) <= 2 + filled
    if not filled:
        assert all(strata[group] == stratum for group in moved)


def test_targets_are_met_on_average_over_seeds() -> None:
    strata = {f"g{n}": "S1" for n in range(7)}
    total: Counter[Split] = Counter()
    for seed in range(400):
        total.update(assign_splits(strata, Shares(), seed).values())
    means = {split.value: total[split] / 400 for split in Split}
    assert means == {
        "train": pytest.approx(4.2, abs=0.15),
        "dev": pytest.approx(1.4, abs=0.15),
        "test": pytest.approx(1.4, abs=0.15),
    }


_ROW = st.tuples(
    _NAMES, st.sampled_from(["harmful", "unharmful"]), st.sampled_from([[], ["S1"], ["S10", "S2"]])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_ROW, min_size=1, max_size=40), st.integers(0, 99), st.sampled_from(list(Stratify)))
def test_no_group_on_two_sides_whatever_the_row_order(
    rows: list[tuple[str, str, list[str]]], seed: int, stratify: Stratify
) -> None:
    table = [_prompt(group, n, label, codes) for n, (group, label, codes) in enumerate(rows)]
    groups = {group for group, _, _ in rows}
    config = SplitConfig(seed=seed, stratify=stratify)
    if len(groups) < 3:
        with pytest.raises(DataError, match="at least 3 groups"):
            split_prompts(frame(Prompt, table), config)
        return
    found = split_prompts(frame(Prompt, table), config)
    sides = defaultdict(set)
    for row in found.rows.to_dicts():
        sides[row["group_id"]].add(row["split"])
    assert all(len(split) == 1 for split in sides.values())
    assert sum(found.notes["groups"].values()) == len(groups)
    turned = split_prompts(frame(Prompt, table[::-1]), config)
    assert turned.rows.sort("prompt_id").equals(found.rows.sort("prompt_id"))


def test_strata() -> None:
    rows = [
        _prompt("one", 1, "harmful", ["S10", "S1"]),
        _prompt("one", 2, "unharmful", []),
        _prompt("two", 1, "unharmful", ["S2"]),
        _prompt("three", 1, "harmful", []),
        _prompt("four", 1, "harmful", ["S9"]),
        _prompt("four", 2, "harmful", ["S10"]),
        _prompt("five", 1, "harmful", []),
        _prompt("five", 2, "harmful", ["S14"]),
    ]
    assert strata_of(rows, Stratify.CATEGORY) == {
        "one": "S10",
        "two": "benign",
        "three": "uncategorised",
        "four": "S9",
        "five": "S14",
    }
    assert set(strata_of(rows, Stratify.NONE).values()) == {"all"}


def test_shares_of_zero_and_one() -> None:
    strata = {f"g{n}": "S1" for n in range(20)}
    shares = Shares(train=0.0, dev=0.0, test=1.0)
    assert set(assign_splits(strata, shares, 0).values()) == {Split.TEST}


def test_too_few_groups() -> None:
    with pytest.raises(DataError, match=r"(?s)at least 3 groups.*2 groups.*share of a split to 0"):
        assign_splits({"a": "S1", "b": "S1"}, Shares(), 0)


def test_shares_must_add_up() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1, not 1\.1"):
        Shares(train=0.7, dev=0.2, test=0.2)


def test_same_splits_in_a_second_process() -> None:
    script = (
        "from whyguard.curation.split import *\n"
        "print(assign_splits({f'g{n}': f'S{n % 4}' for n in range(50)}, Shares(), 5))"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                           check=True, env=os.environ | {"PYTHONHASHSEED": "11"})  # fmt: skip
    here = assign_splits({f"g{n}": f"S{n % 4}" for n in range(50)}, Shares(), 5)
    assert there.stdout.strip() == str(here)


def test_a_group_with_a_split_keeps_it_whatever_the_shares() -> None:
    table = [_prompt(f"g{n:02d}", side, "harmful", ["S1"]) for n in range(20) for side in (1, 2)]
    held = [row | {"split": "test"} if row["source_row"].endswith("-2") else row
            for row in table[:10]]  # fmt: skip
    shares = Shares(train=1.0, dev=0.0, test=0.0)
    found = split_prompts(frame(Prompt, held + table[10:]), SplitConfig(shares=shares))
    sides = {(row["group_id"] < "g05", row["split"]) for row in found.rows.to_dicts()}
    assert sides == {(True, "test"), (False, "train")}
    assert found.notes["groups"] == {"train": 15, "dev": 0, "test": 5}


def test_only_groups_with_a_split_and_two_splits_in_one_group() -> None:
    rows = [_prompt("one", n, "harmful", ["S1"]) | {"split": split}
            for n, split in enumerate(("train", "test", None, "dev"))]  # fmt: skip
    found = split_prompts(frame(Prompt, rows), SplitConfig())
    assert found.rows["split"].to_list() == ["test"] * 4

"""compare/pairs.py: which pairs there are, how sides are drawn, and what stays hidden."""

import itertools
from typing import Any

import polars as pl
import pytest
from tests.annotation.compare.making import ARMS, SALT, examples, score, scores, table

from whyguard.annotation.compare.pairs import make_pairs
from whyguard.core.errors import ConfigError, DataError
from whyguard.core.hashing import sha256_json


def pairs(*rows: dict[str, Any], known: tuple[str, ...] = ("e00",)) -> Any:
    return make_pairs(scores(rows), examples(known), ARMS, seed=1, salt=SALT)


def test_same_prompt_same_seed() -> None:
    made = make_pairs(*table(6, seeds=2), ARMS, seed=1, salt=SALT)
    assert made.rows.height == 12 and made.drops.is_empty()
    for row in made.rows.to_dicts():
        texts = {row["left_arm"]: row["left"], row["right_arm"]: row["right"]}
        about = f"on {row['example_id']}, {row['seed']}"
        assert texts == {ARMS[0]: f"one {about}", ARMS[1]: f"two {about}"}
        assert row["prompt"] == f"prompt of {row['example_id']}"
        assert row["left_model"] == f"sft-{row['left_arm']}-{row['seed']}"


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_sides_are_balanced_and_random(count: int) -> None:
    drawn = {}
    for seed in range(6):
        made = make_pairs(*table(count), ARMS, seed=seed, salt=SALT).rows
        left = made.filter(pl.col("left_arm") == ARMS[0]).height
        assert left in (count // 2, count - count // 2)
        drawn[tuple(made.sort("example_id")["left_arm"])] = left
    assert len(drawn) >= min(2, count) and (count < 40 or len(drawn) == 6)
    if count == 40:  # sides do not simply alternate, neither by example nor in the order shown
        for order in ("example_id", "item_id"):
            arms = made.sort(order)["left_arm"].to_list()
            assert any(one == other for one, other in itertools.pairwise(arms))


def test_the_same_table_again_and_ids_need_the_salt() -> None:
    one = make_pairs(*table(8), ARMS, seed=1, salt=SALT).rows
    again = make_pairs(*table(8), ARMS, seed=1, salt=SALT).rows
    assert one.equals(again)
    other = make_pairs(*table(8), ARMS, seed=1, salt=SALT[::-1]).rows
    assert not set(one["item_id"]) & set(other["item_id"])
    row = one.row(0, named=True)
    guess = [row["example_id"], row["seed"], row["left_arm"], row["right_arm"], row["prompt"],
             row["left"], row["right"]]  # fmt: skip
    for salt in ([], [""], [1]):
        assert sha256_json([*salt, *guess])[:20] not in row["item_id"]
    assert all(arm not in row["item_id"] for arm in ARMS)


def test_what_is_no_pair_is_left_out_with_its_reason() -> None:
    both = ("e00", "e01", "e02", "e03", "e04")
    made = pairs(
        score(ARMS[0], "e00", "same  text"), score(ARMS[1], "e00", "same text\n"),
        score(ARMS[0], "e01", "one"), score(ARMS[1], "e01", None),
        score(ARMS[0], "e02", "one"), score(ARMS[1], "e02", " "),
        score(ARMS[0], "e03", "one"),
        score(ARMS[0], "e04", "one"), score(ARMS[1], "e04", "two", mode="think_greedy"),
        score(ARMS[0], "e05", "one"), score(ARMS[1], "e05", "two"),
        score(ARMS[0], "e06", None, label="unharmful"), score("refusal_only", "e06", "x"),
        known=both,
    )  # fmt: skip
    assert made.rows.is_empty()
    assert dict(made.drops.select("row_id", "rule").rows()) == {
        "e00 seed 0": "equal_texts", "e01 seed 0": "missing_text", "e02 seed 0": "missing_text",
        "e03 seed 0": "one_arm", "e04 seed 0": "other_mode", "e05 seed 0": "no_example",
    }  # fmt: skip
    assert "no rationale by explained_template" in made.drops["reason"].to_list()


def test_refusals() -> None:
    one, other = score(ARMS[0], "e00", "one"), score(ARMS[1], "e00", "two")
    with pytest.raises(DataError, match="harmful rows of arm 'explained_template'"):
        pairs(one)
    with pytest.raises(DataError, match="choose one model and one scoring mode"):
        pairs(one, other, score(ARMS[0], "e00", "x", model="sft-2"))
    with pytest.raises(ConfigError, match="16 characters or more"):
        make_pairs(scores([one, other]), examples(["e00"]), ARMS, seed=1, salt="short")
    with pytest.raises(ConfigError, match="'explained' twice"):
        make_pairs(scores([one]), examples(["e00"]), (ARMS[0], ARMS[0]), seed=1, salt=SALT)

"""Pairs of two arms' rationales for the same prompt and seed, sides drawn at random.

The table of pairs is the key: it says which arm stands on which side, and is kept in the store.
Nothing of it but the three texts and the item's id is ever shown (`compare.sheet`).
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import dataframely as dy
import polars as pl

from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.core.hashing import sha256_json
from whyguard.core.schemas import LANGUAGE_PATTERN, Example, Score
from whyguard.core.tables import Row, drop, drops_frame, frame, validated

SHORTEST_SALT = 16
"""Characters of the salt: with fewer, the arms of an item could be found by trying."""
_ID_LENGTH = 20
_Key = tuple[str, int]
"""Example and seed."""


class Pair(dy.Schema):
    """Two rationales for one prompt by models of one seed; `left` is shown as a, `right` as b."""

    item_id = dy.String(primary_key=True, min_length=1)
    example_id = dy.String(min_length=1)
    group_id = dy.String(min_length=1)
    language = dy.String(regex=LANGUAGE_PATTERN)
    seed = dy.Int64()
    mode = dy.String(min_length=1)
    left_arm = dy.String(min_length=1)
    right_arm = dy.String(min_length=1)
    left_model = dy.String(min_length=1)
    right_model = dy.String(min_length=1)
    prompt = dy.String(min_length=1)
    left = dy.String(min_length=1)
    right = dy.String(min_length=1)


class Pairs(NamedTuple):
    """The pairs, and what was left out with its reason."""

    rows: pl.DataFrame
    drops: pl.DataFrame


def make_pairs(scores: pl.DataFrame, examples: pl.DataFrame, arms: tuple[str, str], *,
               seed: int, salt: str) -> Pairs:  # fmt: skip
    """Pair the rationales of two arms.

    Sides are drawn so that in each language either arm stands left in half of the pairs (one more
    where their number is odd). Left out: a prompt and seed that one arm lacks, has no text for, or
    for which both say the same; rows of scores of other arms and of benign prompts, which have no
    rationale, are no pairs and not counted.

    Args:
        scores: rows of `Score` of one scoring mode, one model an arm and seed.
        examples: rows of `Example`, for the prompts' texts.
        arms: the two arms.
        seed: seed of the sides.
        salt: a secret of the study. Ids and sides depend on it, so that nobody who sees an item can
            work out the arms; the same salt and seed give the same table.

    Raises:
        ConfigError: the arms are one, or the salt is short.
        DataError: an arm has no row, or there are two rows for one prompt and seed.
    """
    _check(arms, salt)
    table = validated(Score, scores, "scores").filter(
        pl.col("arm").is_in(arms) & (pl.col("label").cast(pl.String) == "harmful")
    )
    by_arm = {arm: _by_key(table, arm) for arm in arms}
    texts = {row["example_id"]: row["text"]
             for row in validated(Example, examples, "examples").to_dicts()}  # fmt: skip
    kept: list[tuple[Row, Row]] = []
    drops: list[dict[str, str]] = []
    for key in sorted(set(by_arm[arms[0]]) | set(by_arm[arms[1]])):
        one, other = by_arm[arms[0]].get(key), by_arm[arms[1]].get(key)
        problem = _problem(one, other, key, texts)
        if one is None or other is None or problem is not None:
            drops.append(_dropped(key, one or other or {}, problem or ("", "")))
        else:
            kept.append((one, other))
    rows = list(_rows(kept, texts, seed, salt))
    return Pairs(frame(Pair, sorted(rows, key=lambda row: row["item_id"])), drops_frame(drops))


def _check(arms: tuple[str, str], salt: str) -> None:
    if arms[0] == arms[1]:
        fail(ConfigError, where="compare: arms", expected="two arms", found=f"'{arms[0]}' twice",
             do="name two of the arms that were evaluated")  # fmt: skip
    if len(salt) < SHORTEST_SALT:
        fail(ConfigError, where="compare: salt", expected=f"{SHORTEST_SALT} characters or more",
             found=f"{len(salt)}", do="draw one at random and keep it with the study")  # fmt: skip


def _by_key(table: pl.DataFrame, arm: str) -> dict[_Key, Row]:
    found: dict[_Key, Row] = {}
    for row in table.filter(pl.col("arm") == arm).to_dicts():
        key = (row["example_id"], row["seed"])
        if key in found:
            fail(DataError, where=f"scores: {arm}, seed {row['seed']}, {row['example_id']}",
                 expected="one row for an arm, seed and example",
                 found=f"{found[key]['model']} in {found[key]['mode']} and {row['model']} in "
                 f"{row['mode']}", do="choose one model and one scoring mode")  # fmt: skip
        found[key] = row
    if not found:
        fail(DataError, where="scores", expected=f"harmful rows of arm '{arm}'", found="none",
             do="evaluate a model of this arm")  # fmt: skip
    return found


def _problem(one: Row | None, other: Row | None, key: _Key,
             texts: Mapping[str, str]) -> tuple[str, str] | None:  # fmt: skip
    """The rule by which two rows are no pair, and the reason in words."""
    if one is None or other is None:
        return "one_arm", "the other arm was not scored on it with this seed"
    if key[0] not in texts:
        return "no_example", "the prompt's text is not among the examples"
    if one["mode"] != other["mode"]:
        return "other_mode", f"scored in {one['mode']} and in {other['mode']}"
    lacking = [row["arm"] for row in (one, other) if not (row["explanation"] or "").strip()]
    if lacking:
        return "missing_text", f"no rationale by {' and '.join(lacking)}"
    if one["explanation"].split() == other["explanation"].split():
        return "equal_texts", "both arms say the same"
    return None


def _dropped(key: _Key, row: Row, problem: tuple[str, str]) -> dict[str, str]:
    facts = {"example_id": key[0], "seed": key[1], "language": row["language"]}
    return drop(facts, f"{key[0]} seed {key[1]}", *problem, "compare")


def _rows(pairs: Iterable[tuple[Row, Row]], texts: Mapping[str, str], seed: int,
          salt: str) -> Iterator[Row]:  # fmt: skip
    by_language: dict[str, list[tuple[Row, Row]]] = {}
    for pair in pairs:
        by_language.setdefault(pair[0]["language"], []).append(pair)
    for language, rows in sorted(by_language.items()):
        for swap, (one, other) in zip(_sides(len(rows), language, seed, salt), rows, strict=True):
            left, right = (other, one) if swap else (one, other)
            yield _pair(left, right, texts[one["example_id"]], salt)


def _sides(count: int, language: str, seed: int, salt: str) -> list[bool]:
    """Whether to swap each of `count` pairs: half of them, in an order that the salt hides."""
    draw = random.Random(sha256_json([salt, "sides", language, seed]))
    sides = [False] * (count // 2) + [True] * (count // 2)
    sides += [draw.random() < 0.5] * (count % 2)
    draw.shuffle(sides)
    return sides


def _pair(left: Row, right: Row, prompt: str, salt: str) -> Row:
    shown = [prompt, left["explanation"].strip(), right["explanation"].strip()]
    facts = [salt, left["example_id"], left["seed"], left["arm"], right["arm"], *shown]
    return {
        "item_id": f"pair-{sha256_json(facts)[:_ID_LENGTH]}",
        "example_id": left["example_id"], "group_id": left["group_id"],
        "language": left["language"], "seed": left["seed"], "mode": left["mode"],
        "left_arm": left["arm"], "right_arm": right["arm"],
        "left_model": left["model"], "right_model": right["model"],
        "prompt": shown[0], "left": shown[1], "right": shown[2],
    }  # fmt: skip

"""Answers of the pilot with the key: who preferred which arm, how often, and how sure that is."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import dataframely as dy
import polars as pl

from whyguard.annotation.compare.pairs import Pair
from whyguard.annotation.compare.sheet import BOTH_GOOD, NEITHER, PREFERENCE, QUESTIONS, WHY, A, B
from whyguard.annotation.views.base import Given
from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.core.stats import Indices, Interval, group_bootstrap
from whyguard.core.tables import Row, drop, drops_frame, frame, validated
from whyguard.core.text_safety import csv_text

TIE = "tie"
ALL = "all"
"""Stands for every language, or every annotator, in a summary."""


class Preference(dy.Schema):
    """One annotator's choice for one pair; `preferred` is an arm, `tie` or `neither`."""

    item_id = dy.String(primary_key=True, min_length=1)
    annotator = dy.String(primary_key=True, min_length=1)
    prompt = dy.String(min_length=1)
    """Example id."""
    group_id = dy.String(min_length=1)
    language = dy.String(regex=LANGUAGE_PATTERN)
    seed = dy.Int64()
    preferred = dy.String(min_length=1)
    shown_left = dy.String(min_length=1)
    shown_right = dy.String(min_length=1)
    why = dy.String(nullable=True)
    at = dy.Datetime(time_zone="UTC")


class Preferences(NamedTuple):
    """Choices with their arms, and answers that belong to no pair."""

    rows: pl.DataFrame
    drops: pl.DataFrame


class WinRate(dy.Schema):
    """How often `arm` was preferred to `other`, in one language or in all of them.

    `wins`, `losses`, `ties` and `neither` count answers. `rate` is wins / (wins + losses), with its
    group-bootstrap interval; null where nothing was decided. `p` is the sign test over groups.
    """

    language = dy.String(primary_key=True, min_length=1)
    arm = dy.String(min_length=1)
    other = dy.String(min_length=1)
    wins = dy.Int64(min=0)
    losses = dy.Int64(min=0)
    ties = dy.Int64(min=0)
    neither = dy.Int64(min=0)
    rate = dy.Float64(nullable=True, min=0.0, max=1.0)
    low = dy.Float64(nullable=True)
    high = dy.Float64(nullable=True)
    groups = dy.Int64(min=0)
    groups_won = dy.Int64(min=0)
    groups_lost = dy.Int64(min=0)
    groups_even = dy.Int64(min=0)
    p = dy.Float64(min=0.0, max=1.0)


class LeftBias(dy.Schema):
    """How often one annotator chose the left side where a side was chosen; `share` null if never.

    `p` is the two-sided sign test against one half.
    """

    annotator = dy.String(primary_key=True, min_length=1)
    left = dy.Int64(min=0)
    right = dy.Int64(min=0)
    share = dy.Float64(nullable=True, min=0.0, max=1.0)
    p = dy.Float64(min=0.0, max=1.0)


def preferences(answers: Iterable[Given], pairs: pl.DataFrame) -> Preferences:
    """Answers with the key put to them, by item and annotator.

    Answers to items that are no pair, to other questions, and a `why` without a preference are
    dropped with their reason.

    Raises:
        DataError: `pairs` are no rows of `Pair`, or a preference is none of the options.
    """
    key = {row["item_id"]: row for row in validated(Pair, pairs, "pairs").to_dicts()}
    asked = {question.name for question in QUESTIONS}
    drops: list[dict[str, str]] = []
    by_row: dict[tuple[str, str], dict[str, Given]] = {}
    for answer in answers:
        if answer.item_id not in key or answer.question not in asked:
            drops.append(_dropped(answer, "no_pair", "no item, or no question, of this study"))
        else:
            by_row.setdefault((answer.item_id, answer.annotator), {})[answer.question] = answer
    rows = []
    for (item_id, _), said in sorted(by_row.items()):
        if PREFERENCE in said:
            rows.append(_row(key[item_id], said[PREFERENCE], said.get(WHY)))
        else:
            drops.append(_dropped(said[WHY], "no_preference", "a reason without a choice"))
    return Preferences(frame(Preference, rows), drops_frame(drops))


def _dropped(answer: Given, rule: str, reason: str) -> dict[str, str]:
    facts = {name: str(value) for name, value in answer._asdict().items()}
    return drop(facts, f"{answer.item_id} {answer.annotator}", rule, reason, "compare")


def _row(pair: Row, choice: Given, why: Given | None) -> Row:
    meant = {A: pair["left_arm"], B: pair["right_arm"], BOTH_GOOD: TIE, NEITHER: NEITHER}
    if choice.value not in meant:
        fail(DataError, where=f"item {choice.item_id}, {PREFERENCE}",
             expected=f"one of {', '.join(meant)}", found=f"'{choice.value[:60]}'",
             do="pull the answers anew: they were stored for another question")  # fmt: skip
    return {
        "item_id": choice.item_id, "annotator": choice.annotator, "prompt": pair["example_id"],
        "group_id": pair["group_id"], "language": pair["language"], "seed": pair["seed"],
        "preferred": meant[choice.value], "shown_left": pair["left_arm"],
        "shown_right": pair["right_arm"], "why": why.value if why else None,
        "at": choice.submitted_at,
    }  # fmt: skip


def win_rates(rows: pl.DataFrame, arm: str, other: str, *, draws: int = 1000,
              seed: int = 0) -> pl.DataFrame:  # fmt: skip
    """Rows of `WinRate` of `arm` over `other`: all languages, then each.

    The interval resamples groups. Answers within a group (annotators, seeds, translations) depend
    on each other, so the sign test counts each group once: for the arm that more of its answers
    prefer; groups without a majority are left out of it and counted.

    Raises:
        ConfigError: the two arms were never shown together.
    """
    table = validated(Preference, rows, "preferences")
    shown = pl.col("shown_left").is_in([arm, other]) & pl.col("shown_right").is_in([arm, other])
    table = table.filter(shown)
    if table.is_empty() or arm == other:
        fail(ConfigError, where="compare: win rate", expected="two arms that were compared",
             found=f"'{arm}' and '{other}': no answer",
             do="name the arms of the study")  # fmt: skip
    parts = {ALL: table} | {
        str(language): part
        for (language,), part in sorted(table.partition_by("language", as_dict=True).items())
    }
    return frame(WinRate, [_win_rate(name, part, arm, other, draws, seed)
                           for name, part in parts.items()])  # fmt: skip


def _win_rate(language: str, table: pl.DataFrame, arm: str, other: str, draws: int,
              seed: int) -> Row:  # fmt: skip
    signs = [{arm: 1, other: -1}.get(value, 0) for value in table["preferred"].to_list()]
    groups = table["group_id"].to_list()
    found = _interval(groups, signs, draws, seed)
    net: dict[str, int] = {}
    for group, sign in zip(groups, signs, strict=True):
        net[group] = net.get(group, 0) + sign
    won, lost = sum(n > 0 for n in net.values()), sum(n < 0 for n in net.values())
    preferred = table["preferred"].to_list()
    return {
        "language": language, "arm": arm, "other": other,
        "wins": preferred.count(arm), "losses": preferred.count(other),
        "ties": preferred.count(TIE), "neither": preferred.count(NEITHER),
        "rate": _defined(found.value), "low": _defined(found.low), "high": _defined(found.high),
        "groups": len(net), "groups_won": won, "groups_lost": lost,
        "groups_even": len(net) - won - lost, "p": sign_test(won, lost),
    }  # fmt: skip


def _interval(groups: list[str], signs: list[int], draws: int, seed: int) -> Interval:
    def rate(rows: Indices) -> float:
        wins = sum(signs[row] > 0 for row in rows)
        losses = sum(signs[row] < 0 for row in rows)
        return wins / (wins + losses) if wins + losses else math.nan

    return group_bootstrap(groups, rate, draws=draws, seed=seed)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p of that many wins and losses if either were as likely; 1 for none.

    Source: binomial test at one half, twice the smaller tail; Conover, Practical Nonparametric
    Statistics, section 3.4.
    """
    count = wins + losses
    tail = sum(math.comb(count, k) for k in range(min(wins, losses) + 1))
    return float(min(1.0, 2 * tail / 2**count))


def left_bias(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `LeftBias`: all annotators, then each. Sides are random, so one half is no bias."""
    table = validated(Preference, rows, "preferences")
    parts: Mapping[str, pl.DataFrame] = {ALL: table} | {
        str(who): part
        for (who,), part in sorted(table.partition_by("annotator", as_dict=True).items())
    }
    return frame(LeftBias, [_left(who, part) for who, part in parts.items()])


def _left(who: str, table: pl.DataFrame) -> Row:
    left = table.filter(pl.col("preferred") == pl.col("shown_left")).height
    right = table.filter(pl.col("preferred") == pl.col("shown_right")).height
    share = left / (left + right) if left + right else None
    return {"annotator": who, "left": left, "right": right, "share": share,
            "p": sign_test(left, right)}  # fmt: skip


def export_csv(table: pl.DataFrame, path: Path) -> None:
    """Write a table for spreadsheets: no cell of it runs as a formula."""
    path.write_text(csv_text(table), encoding="utf-8", newline="")

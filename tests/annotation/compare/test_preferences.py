"""compare/preferences.py: choices meet their arms; rates, signs and the left side by hand."""

import datetime
import math
from pathlib import Path

import polars as pl
import pytest
from tests.annotation.compare.making import ARMS, SALT, table

from whyguard.annotation.compare.pairs import make_pairs
from whyguard.annotation.compare.preferences import (
    Preference,
    export_csv,
    left_bias,
    preferences,
    sign_test,
    win_rates,
)
from whyguard.annotation.views.base import Given
from whyguard.core.errors import ConfigError, DataError
from whyguard.core.tables import frame

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
X, Y = ARMS


def said(item: str, value: str, who: str = "p-01", question: str = "preference") -> Given:
    return Given(item, question, who, value, AT)


def chosen(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    """Preferences from (group, who, preferred, shown left)."""
    return frame(Preference, [
        {"item_id": f"i{n}", "annotator": who, "prompt": f"e{n}", "group_id": group,
         "language": "ast_Latn" if group < "m" else "ben_Beng", "seed": 0, "preferred": preferred,
         "shown_left": left, "shown_right": Y if left == X else X, "at": AT}
        for n, (group, who, preferred, left) in enumerate(rows)
    ])  # fmt: skip


def test_answers_meet_the_key() -> None:
    pairs = make_pairs(*table(4), ARMS, seed=1, salt=SALT).rows
    keys = pairs.to_dicts()
    answers = [said(row["item_id"], value) for row, value in
               zip(keys, ("a", "b", "both_good", "neither"), strict=True)]  # fmt: skip
    answers += [said(keys[0]["item_id"], "=clearer", question="why"),
                said(keys[1]["item_id"], "x", "p-02", "why"), said("i9", "a"),
                said(keys[0]["item_id"], "harmful", question="verdict")]  # fmt: skip
    found = preferences(answers, pairs)
    rows = {row["item_id"]: row for row in found.rows.to_dicts()}
    wanted = [keys[0]["left_arm"], keys[1]["right_arm"], "tie", "neither"]
    assert [rows[row["item_id"]]["preferred"] for row in keys] == wanted
    first = rows[keys[0]["item_id"]]
    assert (first["shown_left"], first["why"], first["prompt"]) == (
        keys[0]["left_arm"], "=clearer", keys[0]["example_id"])  # fmt: skip
    assert sorted(found.drops["rule"]) == ["no_pair", "no_pair", "no_preference"]
    with pytest.raises(DataError, match="one of a, b, both_good, neither"):
        preferences([said(keys[0]["item_id"], "c")], pairs)


def test_win_rate_by_hand() -> None:
    rows = chosen(("a", "p", X, X), ("a", "q", X, Y), ("a", "r", Y, X), ("b", "p", Y, X),
                  ("c", "p", "tie", X), ("d", "p", X, X), ("d", "q", Y, X), ("z", "p", X, Y),
                  ("z", "q", "neither", X))  # fmt: skip
    whole, ast, ben = win_rates(rows, X, Y, draws=200).to_dicts()
    assert (whole["language"], ast["language"], ben["language"]) == ("all", "ast_Latn", "ben_Beng")
    assert [whole[name] for name in ("wins", "losses", "ties", "neither")] == [4, 3, 1, 1]
    assert math.isclose(whole["rate"], 4 / 7)
    assert whole["low"] <= whole["rate"] <= whole["high"]
    counts = ("groups", "groups_won", "groups_lost", "groups_even")
    assert [whole[name] for name in counts] == [5, 2, 1, 2]
    assert math.isclose(whole["p"], 1.0)
    assert (ben["rate"], ben["low"], ben["p"]) == (1.0, None, 1.0)
    turned = win_rates(rows, Y, X, draws=200).to_dicts()[0]
    assert math.isclose(turned["rate"], 3 / 7) and turned["p"] == whole["p"]


def test_a_rate_of_ties_alone_is_not_defined() -> None:
    row = win_rates(chosen(("a", "p", "tie", X), ("b", "p", "neither", X)), X, Y).to_dicts()[0]
    assert (row["rate"], row["low"], row["high"], row["p"]) == (None, None, None, 1.0)
    with pytest.raises(ConfigError, match="two arms that were compared"):
        win_rates(chosen(("a", "p", X, X)), X, "refusal_only")


@pytest.mark.parametrize(("wins", "losses", "p"), [
    (0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (9, 1, 22 / 1024), (1, 9, 22 / 1024), (5, 5, 1.0),
    (8, 2, 112 / 1024),
])  # fmt: skip
def test_sign_test_by_hand(wins: int, losses: int, p: float) -> None:
    assert math.isclose(sign_test(wins, losses), p, rel_tol=1e-12)


def test_left_bias() -> None:
    rows = chosen(*[("a", "p", X, X)] * 5, ("b", "q", X, Y), ("b", "q", "tie", X))
    found = {row["annotator"]: row for row in left_bias(rows).to_dicts()}
    assert (found["p"]["left"], found["p"]["right"], found["p"]["share"]) == (5, 0, 1.0)
    assert math.isclose(found["p"]["p"], 0.0625)
    assert (found["q"]["share"], found["all"]["left"], found["all"]["right"]) == (0.0, 5, 1)


def test_export_does_not_run(tmp_path: Path) -> None:
    rows = chosen(("a", "p", X, X)).with_columns(why=pl.lit("=HYPERLINK(1)"))
    export_csv(rows, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text("utf-8")
    assert ",'=HYPERLINK(1)," in text and text.startswith("item_id,annotator,prompt")

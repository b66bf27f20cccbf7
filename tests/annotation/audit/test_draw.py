"""annotation.audit: what is in the pool, a uniform draw, and a fresh one after every change."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError
from tests.annotation.made import example, numbered
from tests.generation.making import make_room, stored

from whyguard.annotation.audit.bound import shared_alpha, upper_rate
from whyguard.annotation.audit.draw import (
    AUDIT,
    POOL,
    AuditConfig,
    draw,
    pool_rows,
    rationale_pools,
)
from whyguard.annotation.routing.items import Why, rationale_item
from whyguard.core.errors import ConfigError, MissingFileError
from whyguard.core.schemas import Example, ReviewItem
from whyguard.core.steps import Input, Runtime, StepResult
from whyguard.core.tables import Row
from whyguard.core.values import Purpose


def config(**changes: Any) -> AuditConfig:
    return AuditConfig(**({"campaign": "made", "languages": ("ast_Latn",), "size": 10} | changes))


def run(folder: Path, settings: AuditConfig, examples: list[Row], items: list[Row] | None = None
        ) -> StepResult:  # fmt: skip
    inputs = {"examples": Input((stored(folder / "e", Example, examples),))}
    if items is not None:
        inputs["items"] = Input((stored(folder / "i", ReviewItem, items),))
    return AUDIT.run(inputs, settings, Runtime(), make_room(folder / "room"))


def reviewed(row: Row, purpose: Purpose = Purpose.WORK, number: int = 1) -> Row:
    return rationale_item(row, None, Why(purpose, number, pool=None), 1, suggest=True)


def drawn(result: StepResult) -> set[str]:
    return set(result.rows["example_id"])


def test_drawn_rows_have_a_blind_and_a_rationale_item_and_no_suggestion(tmp_path: Path) -> None:
    result = run(tmp_path, config(), list(numbered(40)))
    items = result.rows.to_dicts()
    kinds = Counter((one["kind"], one["wanted"], one["suggest"], one["pool"]) for one in items)
    assert kinds == {("blind", 2, False, 40): 10, ("rationale", 1, False, 40): 10}
    assert {one["purpose"] for one in items} == {"audit"}
    assert {one["weight"] for one in items} == {4.0}
    assert all(one["risk"] is None for one in items)


def test_the_pool_is_what_nobody_reviews_and_it_is_frozen(tmp_path: Path) -> None:
    rows = list(numbered(40))
    rows[7] |= {"reviewed": True}
    covered = [reviewed(row) for row in rows[:6]]
    result = run(tmp_path, config(), [*rows, example(99, language="glg_Latn")], covered)
    pool = pl.read_parquet(tmp_path / "room/files" / POOL)
    wanted = sorted(row["example_id"] for n, row in enumerate(rows) if n > 5 and n != 7)
    assert pool["example_id"].to_list() == wanted and pool["language"].unique().to_list() == [
        "ast_Latn"]  # fmt: skip
    assert drawn(result) <= set(wanted) and set(result.rows["pool"]) == {33}
    assert rationale_pools(tmp_path / "room/files" / POOL) == {"ast_Latn": 17}
    told = result.notes["languages"]["ast_Latn"]
    assert (told["pool"], told["with_rationale"], told["drawn"]) == (33, 17, 10)
    assert told["bound_if_none_is_wrong"] == pytest.approx(
        upper_rate(33, 10, 0, 0.05 / 3), abs=1e-4
    )


def test_every_row_is_drawn_equally_often() -> None:
    pool = pool_rows(list(numbered(20)), {})
    counted: Counter[str] = Counter()
    for seed in range(800):
        names = draw(pool, config(size=5, seed=seed), "ast_Latn")
        assert len(names) == 5
        counted.update(names)
    assert all(abs(counted[row["example_id"]] - 200) < 60 for row in pool)  # 4.9 deviations


def test_another_pool_round_campaign_or_language_is_another_draw() -> None:
    rows = list(numbered(60))
    pool = pool_rows(rows, {})
    base = draw(pool, config(), "ast_Latn")
    assert draw(pool[::1], config(), "ast_Latn") == base
    left_out = next(row["example_id"] for row in pool if row["example_id"] not in base)
    smaller = [row for row in pool if row["example_id"] != left_out]
    mended = pool_rows([rows[0] | {"text": "mended"}, *rows[1:]], {})
    others = [
        draw(smaller, config(), "ast_Latn"),
        draw(mended, config(), "ast_Latn"),
        draw(pool, config(round=2), "ast_Latn"),
        draw(pool, config(seed=1), "ast_Latn"),
        draw(pool, config(campaign="b"), "ast_Latn"),
        draw(pool, config(), "glg_Latn"),
    ]
    assert all(other != base for other in others)
    assert pool_rows(rows[::-1], {}) == pool


def test_a_later_round_draws_from_rows_that_no_audit_has_seen(tmp_path: Path) -> None:
    rows = list(numbered(40))
    first = run(tmp_path / "1", config(), rows)
    again = run(tmp_path / "2", config(round=2), rows, first.rows.to_dicts())
    assert not drawn(first) & drawn(again)
    assert set(again.rows["pool"]) == {30} and set(again.rows["round"]) == {2}


def test_a_round_needs_the_rounds_before_it(tmp_path: Path) -> None:
    rows = list(numbered(20))
    with pytest.raises(ConfigError, match=r"add the earlier annotation\.audit"):
        run(tmp_path / "1", config(round=2), rows, [reviewed(rows[0])])
    with pytest.raises(ConfigError, match="count the round up"):
        run(tmp_path / "2", config(), rows, [reviewed(rows[0], Purpose.AUDIT)])


def test_a_target_rate_sets_the_size(tmp_path: Path) -> None:
    rows = list(numbered(120))
    result = run(tmp_path, config(size=None, target_rate=0.1), rows)
    count = len(drawn(result))
    alpha = shared_alpha(3)
    assert upper_rate(120, count, 0, alpha) <= 0.1 < upper_rate(120, count - 1, 0, alpha)
    alone = config(size=None, target_rate=0.1, questions=("verdict",))
    assert alone.drawn(120) < count
    assert config(size=None, target_rate=0.1, questions=("translation",)).alpha == 0.025


def test_only_the_items_that_the_questions_need(tmp_path: Path) -> None:
    rows = list(numbered(20))
    verdicts = run(tmp_path / "1", config(questions=("verdict",)), rows)
    assert set(verdicts.rows["kind"]) == {"blind"}
    texts = run(tmp_path / "2", config(questions=("rationale", "translation")), rows)
    assert set(texts.rows["kind"]) == {"rationale"}
    assert config(questions=("rationale", "verdict")).questions == ("verdict", "rationale")


def test_small_pools_are_drawn_whole_and_of_an_empty_one_nothing(tmp_path: Path) -> None:
    rows = list(numbered(4))
    assert len(drawn(run(tmp_path / "1", config(), rows))) == 4
    for number, settings in enumerate((config(), config(size=None, target_rate=0.1)), 2):
        folder = tmp_path / str(number)
        result = run(folder, settings, rows, [reviewed(row) for row in rows])
        assert result.rows.height == 0 and result.notes["languages"]["ast_Latn"]["pool"] == 0
        assert rationale_pools(folder / "room/files" / POOL) == {}


def test_withheld_rows_are_in_no_pool(tmp_path: Path) -> None:
    result = run(tmp_path, config(size=50), [*numbered(6), example(80, categories=["S4"])])
    assert result.drops["rule"].to_list() == ["category_not_released"]
    assert set(result.rows["pool"]) == {6}


def test_bad_configs_and_missing_pools_are_errors(tmp_path: Path) -> None:
    for wrong in ({"target_rate": 0.1}, {"size": None}, {"questions": ()}, {"size": 0}):
        with pytest.raises(ValidationError, match=r"size|questions"):
            config(**wrong)
    with pytest.raises(MissingFileError, match="the frozen pool of an audit"):
        rationale_pools(tmp_path / POOL)

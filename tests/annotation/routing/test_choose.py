"""Choosing under a budget: never more than it pays for, by chance and by risk, and unlike rows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyguard.annotation.routing.choose import Budget, Candidate, Chosen, choose, hashed
from whyguard.core.values import Purpose


def pool(count: int, *, groups: int = 1000, aspects: int = 3) -> list[Candidate]:
    return [Candidate(f"row {n}", f"group {n % groups}", f"S{n % 4}", f"aspect {n % aspects}",
                      float(count - n)) for n in range(count)]  # fmt: skip


def spent(chosen: list[Chosen], budget: Budget) -> float:
    return sum(budget.price(one.purpose, one.overlap) for one in chosen)


def of(chosen: list[Chosen], purpose: Purpose) -> list[Chosen]:
    return [one for one in chosen if one.purpose is purpose]


@settings(max_examples=120, deadline=None)
@given(
    rows=st.integers(0, 60), known=st.integers(0, 10), amount=st.floats(1, 6000),
    blind=st.floats(0.5, 60), rationale=st.floats(0.5, 200), answers=st.integers(2, 4),
    random_share=st.floats(0, 0.8), gold_share=st.floats(0, 0.2), overlap=st.floats(0, 1),
    per_group=st.integers(1, 3), seed=st.integers(0, 5),
)  # fmt: skip
def test_the_budget_is_never_exceeded(
    rows: int, known: int, amount: float, blind: float, rationale: float, answers: int,
    random_share: float, gold_share: float, overlap: float, per_group: int, seed: int,
) -> None:  # fmt: skip
    budget = Budget(amount, blind, rationale, answers, random_share, gold_share, overlap, per_group)
    names = [f"gold {n}" for n in range(known)]
    chosen = choose(pool(rows, groups=7), names, budget, str(seed))
    assert spent(chosen, budget) <= amount * (1 + 1e-9)
    assert len({one.example_id for one in chosen}) == len(chosen)
    assert spent(of(chosen, Purpose.RANDOM), budget) <= random_share * amount * (1 + 1e-9)
    assert spent(of(chosen, Purpose.GOLD), budget) <= gold_share * amount * (1 + 1e-9)
    groups = Counter(int(one.example_id.split()[1]) % 7 for one in of(chosen, Purpose.WORK))
    assert max(groups.values(), default=0) <= per_group


def test_a_budget_that_pays_for_all_takes_all() -> None:
    chosen = choose(pool(20), ["gold"], Budget(10_000, 1, 1, gold_share=0.1), "s")
    assert len(chosen) == 21 and all(one.weight == 1.0 for one in chosen[1:])


def test_the_riskiest_come_first_and_weigh_one() -> None:
    budget = Budget(10, 1, 1, random_share=0.0, overlap_share=0.0)
    chosen = choose(pool(100), (), budget, "s")
    assert len(chosen) == 10 and chosen[0] == Chosen("row 0", Purpose.WORK, False, 1.0)
    assert all(int(one.example_id.split()[1]) < 16 for one in chosen)


def test_every_row_is_drawn_by_chance_equally_often() -> None:
    budget, rows = Budget(60, 1, 1, random_share=0.25), pool(20)
    drawn: Counter[str] = Counter()
    for seed in range(600):
        drawn.update(one.example_id for one in
                     of(choose(rows, (), budget, str(seed)), Purpose.RANDOM))  # fmt: skip
    assert set(drawn.values()) and sum(drawn.values()) == 600 * 5
    assert all(abs(drawn[row.example_id] - 150) < 50 for row in rows)  # 4.7 standard deviations


def test_weights_make_the_sample_stand_for_the_pool() -> None:
    rows, budget = pool(200), Budget(60, 1, 1, random_share=0.5, overlap_share=0.2)
    totals = [sum(one.weight or 0.0 for one in choose(rows, (), budget, str(seed)))
              for seed in range(400)]  # fmt: skip
    assert sum(totals) / 400 == pytest.approx(200, rel=0.03)


def test_rows_by_chance_that_risk_would_take_anyway_are_certain() -> None:
    chosen = choose(pool(40), (), Budget(90, 1, 1, random_share=0.3, overlap_share=0.0), "s")
    by_chance = of(chosen, Purpose.RANDOM)
    assert len(by_chance) == 9 and {one.weight for one in by_chance} <= {1.0, 40 / 9}
    assert len(chosen) == 40 and {one.weight for one in by_chance} == {1.0}


def test_rows_that_stand_out_alike_make_room_for_others() -> None:
    rows = [Candidate(f"a {n}", f"a {n}", "S1", "length", 100.0 - n) for n in range(60)]
    rows += [Candidate(f"b {n}", f"b {n}", "S2", "numbers", 40.5 - n) for n in range(60)]
    budget = Budget(50, 1, 1, random_share=0.0, overlap_share=0.0)
    kinds = Counter(one.example_id[0] for one in choose(rows, (), budget, "s"))
    assert kinds["b"] >= 1 and kinds["a"] > kinds["b"]  # by risk alone, none of b


def test_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    rows, budget = pool(50), Budget(40, 1, 1)
    assert choose(rows, (), budget, "1") == choose(rows[::-1], (), budget, "1")
    assert choose(rows, (), budget, "1") != choose(rows, (), budget, "2")
    assert hashed("1", "row") == 7388401230408964890  # in every process


def test_an_empty_pool_gives_nothing() -> None:
    assert choose([], (), Budget(100, 1, 1), "s") == []

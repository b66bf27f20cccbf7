"""train/stages/plan.py: every row once, equal rounds, the same steps whatever the spread."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from whyguard.train.stages.plan import Spread, plan_step, plan_steps, training_order

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=20)


@given(lengths=LENGTHS, budget=st.integers(1, 200), processes=st.integers(1, 4),
       most=st.none() | st.integers(1, 3))  # fmt: skip
def test_a_step_runs_each_row_once(lengths: list[int], budget: int, processes: int,
                                   most: int | None) -> None:  # fmt: skip
    step = plan_step(range(len(lengths)), lengths, Spread(budget, processes, most))
    counted = [share for hand in step.shares for share in hand if share.counts]
    assert sorted(row for share in counted for row in share.rows) == list(range(len(lengths)))
    assert len(step.shares) == processes
    assert len({len(hand) for hand in step.shares}) == 1
    assert all(share.rows for hand in step.shares for share in hand)
    for share in counted:
        padded = len(share.rows) * max(lengths[row] for row in share.rows)
        assert padded <= budget or len(share.rows) == 1
        assert most is None or len(share.rows) <= most


@given(lengths=LENGTHS, rows=st.integers(1, 6), epochs=st.integers(1, 3))
def test_steps_follow_the_order_whatever_the_spread(lengths: list[int], rows: int,
                                                    epochs: int) -> None:  # fmt: skip
    order = training_order(len(lengths), epochs, seed=3)
    plans = [plan_steps(order, lengths, rows, spread) for spread in (Spread(10), Spread(999, 3))]
    for steps in plans:
        assert [row for step in steps for row in step.rows] == order
    assert Counter(order) == {row: epochs for row in range(len(lengths))}


def test_most_steps_begin_the_order_again() -> None:
    steps = plan_steps([2, 0, 1], [1, 1, 1], 2, Spread(10), max_steps=4)
    assert [step.rows for step in steps] == [(2, 0), (1, 2), (0, 1), (2, 0)]
    assert len(plan_steps([2, 0, 1], [1, 1, 1], 2, Spread(10), max_steps=1)) == 1


def test_order_depends_on_the_seed_alone() -> None:
    order = training_order(5, 3, seed=1)
    assert order == training_order(5, 3, seed=1) != training_order(5, 3, seed=2)
    assert [sorted(order[i : i + 5]) for i in (0, 5, 10)] == [list(range(5))] * 3

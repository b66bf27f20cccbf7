"""Budgets: reserved before, settled after, never exceeded; costs are bounded from above."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import task

from whyguard.core.errors import ConfigError
from whyguard.core.steps import Budget
from whyguard.generation.calls.budget import Costs, Meter, guess_tokens, prompt_bytes, request_size
from whyguard.generation.calls.ledger import Ledger, Spending
from whyguard.generation.teachers.base import Answer, Prices

PRICES = Prices(prompt=1.0, completion=2.0)


def test_no_budget_is_no_limit(tmp_path: Path) -> None:
    with Meter(tmp_path, "a", Budget(), None) as meter:
        assert meter.reserve(Spending(10**9, 10**12, 1e9))
        meter.settle(Spending(10**9, 10**12, 1e9))


@pytest.mark.parametrize(("budget", "each"), [
    (Budget(calls=3), Spending(1)), (Budget(tokens=30), Spending(1, 10)),
    (Budget(money=0.3), Spending(1, 0, 0.1)),
    (Budget(calls=9, tokens=99, money=0.3), Spending(1, 1, 0.1)),
])  # fmt: skip
def test_what_does_not_fit_is_not_reserved(tmp_path: Path, budget: Budget, each: Spending) -> None:
    with Meter(tmp_path, "a", budget, PRICES) as meter:
        assert [meter.reserve(each) for _ in range(4)] == [True, True, True, False]
        meter.settle(each)
        assert [meter.reserve(each) for _ in range(2)] == [True, False]


def test_what_the_ledger_holds_counts_by_account(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.spend("a", Spending(2))
        with Meter(tmp_path, "a", Budget(calls=3), None) as meter:
            assert [meter.reserve(Spending(1)) for _ in range(2)] == [True, False]
        with Meter(tmp_path, "b", Budget(calls=3), None) as other:
            assert other.reserve(Spending(3))


def test_what_a_killed_run_had_reserved_stays_reserved(tmp_path: Path) -> None:
    killed = Meter(tmp_path, "a", Budget(calls=5), None)
    assert killed.reserve(Spending(2))
    with Meter(tmp_path, "a", Budget(calls=5), None) as meter:
        assert not meter.reserve(Spending(4))
        assert meter.reserve(Spending(3))
    killed.close()
    with Meter(tmp_path, "a", Budget(calls=5), None) as meter:
        assert meter.reserve(Spending(5)), "runs that end let go"


def test_side_by_side_it_is_never_exceeded(tmp_path: Path) -> None:
    limit = 60

    def run(seed: int) -> None:
        chance = random.Random(seed)
        with Meter(tmp_path, "a", Budget(calls=limit), None) as meter, Ledger(tmp_path) as ledger:
            for _ in range(40):
                if meter.reserve(Spending(2)):
                    paid = Spending(chance.randint(1, 2))
                    ledger.spend("a", paid)
                    meter.settle(Spending(2))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    with Ledger(tmp_path) as ledger:
        assert limit - 1 <= ledger.spent("a").calls <= limit


def test_money_needs_prices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.prices"):
        Meter(tmp_path, "a", Budget(money=1.0), None)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 50))
def test_the_bound_is_above_every_cost(text: str, completion: int) -> None:
    costs, sent = Costs(PRICES, 50), task(1, text or "x")
    answer = Answer("", tokens=completion, prompt_tokens=prompt_bytes(sent))
    bound, actual = costs.bound(request_size(sent)), costs.actual(request_size(sent), answer)
    assert (actual.calls, actual.tokens) == (1, prompt_bytes(sent) + completion)
    assert actual.tokens <= bound.tokens
    assert actual.money <= bound.money


def test_a_server_that_adds_tokens_raises_the_bound() -> None:
    costs = Costs(None, 10)
    before = costs.bound(50).tokens
    costs.actual(50, Answer("", tokens=1, prompt_tokens=before + 990))
    assert costs.bound(50).tokens == before + 1000


def test_what_is_not_counted_costs_the_most() -> None:
    costs = Costs(None, 10)
    assert costs.actual(50, Answer("")) == costs.bound(50)


def test_schemas_are_sent_too() -> None:
    assert prompt_bytes(task(1, schema="ñ")) == prompt_bytes(task(1)) + 2
    assert guess_tokens(task(1, "x" * 3500)) in range(1000, 1010)

"""Budgets: reserved before, settled after, never exceeded; costs are bounded from above."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import task

from whyguard.core.errors import ArtefactError, ConfigError, TeacherError
from whyguard.core.steps import Budget
from whyguard.generation.calls.budget import (
    Costs,
    Lack,
    Meter,
    guess_tokens,
    prompt_bytes,
    request_size,
)
from whyguard.generation.calls.ledger import Ledger, Spending
from whyguard.generation.calls.shared import SHARED_FILE, Shared
from whyguard.generation.teachers.base import Answer, Prices

PRICES = Prices(prompt=1.0, completion=2.0)


@contextmanager
def meter_of(folder: Path, account: str, budget: Budget, prices: Prices | None = None
             ) -> Iterator[Meter]:  # fmt: skip
    with (Ledger(folder) as ledger, Shared(folder) as shared,
          Meter(shared, ledger, account, budget, prices) as meter):  # fmt: skip
        yield meter


def reserved(meter: Meter, most: Spending) -> bool:
    return meter.reserve(most) is None


def test_no_budget_is_no_limit(tmp_path: Path) -> None:
    with meter_of(tmp_path, "a", Budget(), None) as meter:
        assert reserved(meter, Spending(10**9, 10**12, 1e9))
        meter.settle(Spending(10**9, 10**12, 1e9))


@pytest.mark.parametrize(("budget", "each"), [
    (Budget(calls=3), Spending(1)), (Budget(tokens=30), Spending(1, 10)),
    (Budget(money=0.3), Spending(1, 0, 0.1)),
    (Budget(calls=9, tokens=99, money=0.3), Spending(1, 1, 0.1)),
])  # fmt: skip
def test_what_does_not_fit_is_not_reserved(tmp_path: Path, budget: Budget, each: Spending) -> None:
    with meter_of(tmp_path, "a", budget, PRICES) as meter:
        assert [reserved(meter, each) for _ in range(4)] == [True, True, True, False]
        meter.settle(each)
        assert [reserved(meter, each) for _ in range(2)] == [True, False]


def test_what_the_ledger_holds_counts_by_account(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.spend("a", Spending(2))
        with meter_of(tmp_path, "a", Budget(calls=3), None) as meter:
            assert [reserved(meter, Spending(1)) for _ in range(2)] == [True, False]
        with meter_of(tmp_path, "b", Budget(calls=3), None) as other:
            assert reserved(other, Spending(3))


def test_what_a_killed_run_had_reserved_stays_reserved(tmp_path: Path) -> None:
    code = ("import os, sys; from pathlib import Path\n"
            "from tests.generation.calls.test_budget import *\n"
            "with meter_of(Path(sys.argv[1]), 'a', Budget(calls=5)) as meter:\n"
            "    assert reserved(meter, Spending(2))\n"
            "    os.kill(os.getpid(), 9)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60,
                          cwd=Path(__file__).resolve().parents[3])  # fmt: skip
    assert done.returncode == -9
    with meter_of(tmp_path, "a", Budget(calls=5)) as meter:
        assert meter.reserve(Spending(4)) == Lack(Spending(), Spending(2), passing=False)
        assert reserved(meter, Spending(3))
    with meter_of(tmp_path, "a", Budget(calls=5)) as meter:
        assert reserved(meter, Spending(3)), "runs that end let go"


def test_what_a_living_run_has_under_way_may_pass(tmp_path: Path) -> None:
    budget = Budget(calls=5)
    with meter_of(tmp_path, "a", budget) as one, meter_of(tmp_path, "a", budget) as two:
        assert reserved(one, Spending(3))
        assert two.reserve(Spending(4)) == Lack(Spending(), Spending(3), passing=True)
        assert two.reserve(Spending(6)) == Lack(Spending(), Spending(3), passing=False)
        one.settle(Spending(3), Spending(2))
        assert two.reserve(Spending(4)) == Lack(Spending(), Spending(2), passing=False), (
            "what is not under way will not be let go of"
        )
        assert reserved(two, Spending(3))


def test_what_a_broken_ledger_may_not_know_stays_reserved(tmp_path: Path) -> None:
    budget = Budget(calls=5)
    with pytest.raises(ArtefactError, match="broken"), meter_of(tmp_path, "a", budget) as meter:
        assert reserved(meter, Spending(2))
        raise ArtefactError("broken")
    with pytest.raises(TeacherError, match="gone"), meter_of(tmp_path, "a", budget) as meter:
        assert reserved(meter, Spending(3))
        raise TeacherError("gone")
    with meter_of(tmp_path, "a", budget) as meter:
        assert meter.reserve(Spending(4)) == Lack(Spending(), Spending(2), passing=False)
        assert reserved(meter, Spending(3))


def test_a_locked_file_delays_letting_go_and_reserves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyguard.generation.calls.shared.Shared.writing.__wrapped__.__defaults__",
                        (0.1,))  # fmt: skip
    with meter_of(tmp_path, "a", Budget(calls=5)) as meter:
        assert reserved(meter, Spending(3))
        with sqlite3.connect(tmp_path / SHARED_FILE, isolation_level=None) as lock:
            lock.execute("begin immediate")
            meter.settle(Spending(3))
            with pytest.raises(ArtefactError, match=r"database is locked\n.*stopped process"):
                meter.reserve(Spending(1))
            lock.execute("rollback")
        assert reserved(meter, Spending(5))


def test_side_by_side_it_is_never_exceeded(tmp_path: Path) -> None:
    limit = 60

    def run(seed: int) -> None:
        chance = random.Random(seed)
        with meter_of(tmp_path, "a", Budget(calls=limit)) as meter, Ledger(tmp_path) as ledger:
            for _ in range(40):
                if reserved(meter, Spending(2)):
                    paid = Spending(chance.randint(1, 2))
                    ledger.spend("a", paid)
                    meter.settle(Spending(2))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    with Ledger(tmp_path) as ledger:
        assert limit - 1 <= ledger.spent("a").calls <= limit


def test_money_needs_prices(tmp_path: Path) -> None:
    money = meter_of(tmp_path, "a", Budget(money=1.0))
    with pytest.raises(ConfigError, match=r"runtime\.prices"), money:
        pass


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

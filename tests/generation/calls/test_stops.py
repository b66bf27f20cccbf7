"""Why a run stops: which error, and what it says."""

from collections import Counter

import pytest

from whyguard.core.errors import PartialError, TeacherError, WhyguardError
from whyguard.core.steps import Budget
from whyguard.generation.calls import stops
from whyguard.generation.calls.budget import Lack
from whyguard.generation.calls.ledger import Spending
from whyguard.generation.teachers.failures import Cause


@pytest.mark.parametrize(("stored", "kind"), [(0, TeacherError), (3, PartialError)])
def test_with_answers_stored_it_is_partial(stored: int, kind: type[WhyguardError]) -> None:
    causes = Counter({Cause.TIMEOUT: 2, Cause.SERVER_ERROR: 1})
    error = stops.Left("server:m", stored, 7).error(stops.failures(causes, "2 s", "made:1"))
    assert type(error) is kind
    assert f"{stored} are stored, 7 are left" in str(error)
    assert "3 calls failed in all their tries: 2 no answer in time, 1 server error" in str(error)
    assert "(the last for made:1: 2 s)" in str(error)


def test_the_end_of_the_budget_is_partial_and_says_what_to_raise() -> None:
    stop = stops.out_of_budget(Budget(tokens=1000, money=0.5),
                               Lack(Spending(9, 790, 0.25), Spending(2, 200), passing=False),
                               Spending(1, 20, 0.1))  # fmt: skip
    error = stops.Left("server:m", 0, 7).error(stop)
    assert isinstance(error, PartialError)
    assert error.exit_code == 3
    assert "tokens: 790 spent of 1,000, 200 reserved by another or a killed run" in str(error)
    assert "a killed run, the next call needs up to 20" in str(error)
    assert "money: 0.25 spent of 0.5, the next call needs up to 0.1" in str(error)
    assert "raise budget.tokens in the recipe" in str(error), "money would still do"


def test_a_no_says_what_to_check() -> None:
    error = stops.Left("server:m", 0, 7).error(stops.forbidden("HTTP 401", "made:1"))
    assert "check base_url, the model's name, the key" in str(error)

"""The panel says what was done, paid and lost."""

import io

import pytest
from rich.console import Console

from whyguard.core.progress import Progress
from whyguard.generation.calls.ledger import Spending
from whyguard.generation.calls.panel import open_panel
from whyguard.generation.teachers.base import Prices
from whyguard.generation.teachers.failures import Cause


def test_it_shows_tokens_money_and_failures_by_cause() -> None:
    out = io.StringIO()
    prices = Prices(prompt=1.0, completion=1.0, currency="EUR")
    with open_panel(Progress(Console(file=out, width=200)), 3, prices) as panel:
        panel.paid(Spending(1, 1234, 0.5))
        for cause in (Cause.REFUSED, Cause.TIMEOUT, Cause.RATE_LIMITED, Cause.RATE_LIMITED):
            panel.failed(cause)
        panel.ended(2)
        panel.tick()
        assert panel.note() == ("1,234 tokens, 0.5 EUR, failed tries: 2 rate limited, "
                                "1 no answer in time, 1 refused")  # fmt: skip
    assert out.getvalue().startswith("  2 calls in ")
    assert "2 rate limited" in out.getvalue()


def test_without_prices_there_is_no_money() -> None:
    with open_panel(Progress.silent(), 1, None) as panel:
        panel.waiting = 5
        assert panel.note() == "0 tokens, waiting for 5 answers of another process"


def test_a_line_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("whyguard.core.progress._PLAIN_EVERY_SECONDS", -1.0)
    with open_panel(Progress(Console(file=io.StringIO())), 10, None) as panel:
        panel.ended(5)
        panel.tick()
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("  answers: 5/10, ")
    assert "0 tokens, about" in first

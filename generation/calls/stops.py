"""Why a run of calls stops before its end, in words that say what is kept and what to do."""

from collections import Counter
from typing import NamedTuple

from whyguard.core.errors import PartialError, TeacherError, WhyguardError, explain
from whyguard.core.steps import Budget
from whyguard.generation.calls.budget import Lack
from whyguard.generation.calls.ledger import Spending
from whyguard.generation.calls.panel import by_cause
from whyguard.generation.teachers.failures import Cause

AGAIN = "run again: only what is left is asked for"


class Stop(Exception):  # noqa: N818 - not an error by itself
    """Ends a run; never leaves the part that drives calls."""

    def __init__(self, because: str, do: str, *, resumable: bool = False) -> None:
        super().__init__(because)
        self.because, self.do = because, do
        self.resumable = resumable
        """Whether it is a planned halt (the budget), even with nothing stored."""


class Left(NamedTuple):
    """How far a run came."""

    generator: str
    stored: int
    left: int

    def error(self, stop: Stop) -> WhyguardError:
        """PartialError where answers are stored (or the halt was planned), else TeacherError."""
        kind = PartialError if self.stored or stop.resumable else TeacherError
        return kind(explain(self.generator, f"{self.stored + self.left:,} answers",
                            f"{self.stored:,} are stored, {self.left:,} are left", stop.do)
                    + f"\n  because:  {stop.because}")  # fmt: skip


def out_of_budget(budget: Budget, lack: Lack, next_call: Spending) -> Stop:
    """The budget has no room for another call."""
    parts, short = [], []
    for name, limit in budget.model_dump(exclude_none=True).items():
        used, held, need = (getattr(part, name) for part in (lack.spent, lack.reserved, next_call))
        reserved = f", {held:,.6g} reserved by another or a killed run" if held else ""
        parts.append(f"{name}: {used:,.6g} spent of {limit:,.6g}{reserved}, the next call needs up "
                     f"to {need:,.6g}")  # fmt: skip
        if used + held + need > limit:
            short.append(f"budget.{name}")
    names = ", ".join(short) or "the budget"
    return Stop("the budget is spent (" + "; ".join(parts) + ")",
                f"raise {names} in the recipe and run again: stored answers cost nothing",
                resumable=True)  # fmt: skip


def forbidden(detail: str, example: str) -> Stop:
    """The server says no to everything."""
    return Stop(f"{Cause.FORBIDDEN.value}: {detail} (for {example})",
                "check base_url, the model's name, the key (api_key_env); run again")  # fmt: skip


def refuses_everything(count: int, detail: str) -> Stop:
    """No prompt was taken: that is no verdict on prompts."""
    return Stop(f"{count} calls in a row were refused, with no answer between: {detail}",
                "check the model's name, the key (api_key_env) and what the server supports, then "
                "run again: none of them counts as an answer")  # fmt: skip


def no_success(tries: int, causes: Counter[Cause], detail: str, example: str) -> Stop:
    """Too many failed tries in a row."""
    return Stop(f"{tries:,} tries in a row failed ({by_cause(causes)}; the last for {example}: "
                f"{detail})", f"see the server's log, then {AGAIN}")  # fmt: skip


def failures(causes: Counter[Cause], detail: str, example: str) -> Stop:
    """The run came to its end, and some calls failed in all their tries."""
    return Stop(f"{causes.total():,} calls failed in all their tries: {by_cause(causes)} "
                f"(the last for {example}: {detail})", AGAIN)  # fmt: skip

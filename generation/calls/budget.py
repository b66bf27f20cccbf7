"""What a recipe may spend on calls: a hard stop, over reruns, kills and processes.

Before a try is sent, the most that it can cost is reserved in a file that the processes of a
workspace share; when the ledger holds what it did cost, the reservation goes. What a killed
process had reserved stays reserved for good: its calls may have been paid for.
"""

import contextlib
from types import TracebackType
from typing import NamedTuple

from whyguard.core.errors import ArtefactError, ConfigError, fail
from whyguard.core.steps import Budget
from whyguard.generation.calls.ledger import Ledger, Spending
from whyguard.generation.calls.shared import Shared
from whyguard.generation.teachers.base import Answer, Prices, Task

BYTES_PER_TOKEN = 3.5
"""A guess for estimates and rates; bounds count each byte as a token."""
_TOKENS_PER_MESSAGE = 8
_MONEY_SLACK = 1e-9
_NOTHING = Spending()
_SETTLE_SECONDS = 0.1
"""A reservation that cannot be let go of now goes with the next write."""


class Costs:
    """What a try may cost at most, and what an answer did cost."""

    def __init__(self, prices: Prices | None, max_new_tokens: int) -> None:
        self._prices, self._most = prices, max_new_tokens
        self._template = 64  # tokens that the model's chat template adds; grows when seen larger

    def bound(self, size: int) -> Spending:
        """The most that one try costs; `size` is of `request_size`."""
        return self._spending(size + self._template, self._most)

    def guess(self, size: int) -> int:
        """Tokens of one try, about: for rates."""
        return round(size / BYTES_PER_TOKEN) + self._most

    def actual(self, size: int, answer: Answer) -> Spending:
        """What an answer cost; the bound, where the server does not count."""
        bound = size + self._template
        prompt = bound if answer.prompt_tokens is None else answer.prompt_tokens
        self._template += max(0, prompt - bound)
        return self._spending(prompt, self._most if answer.tokens is None else answer.tokens)

    def _spending(self, prompt: int, completion: int) -> Spending:
        money = self._prices.cost(prompt, completion) if self._prices else 0.0
        return Spending(1, prompt + completion, money)


def prompt_bytes(task: Task) -> int:
    """Bytes of all that is sent: messages and schema, in UTF-8."""
    texts = [text for _, text in task.messages] + [task.schema or ""]
    return sum(len(text.encode("utf-8", "replace")) for text in texts)


def request_size(task: Task) -> int:
    """The most tokens that a prompt has, but for what the chat template adds: one a byte."""
    return prompt_bytes(task) + _TOKENS_PER_MESSAGE * len(task.messages)


def guess_tokens(task: Task) -> int:
    """Prompt tokens, about."""
    return round(prompt_bytes(task) / BYTES_PER_TOKEN)


class Lack(NamedTuple):
    """Why a reservation does not fit."""

    spent: Spending
    """By the ledger."""
    reserved: Spending
    """By this run, by others, and by runs that were killed."""
    passing: bool
    """Whether it may fit once tries that another process has under way end."""


class Meter:
    """Reservations of one run against the budget of its account.

    Of `shared` and `ledger` it uses the connections: all three belong to one thread at a time.

    Raises:
        ConfigError: the budget has money and the teacher no prices.
    """

    def __init__(self, shared: Shared, ledger: Ledger, account: str, budget: Budget,
                 prices: Prices | None) -> None:  # fmt: skip
        if budget.money is not None and prices is None:
            fail(ConfigError, where="budget.money", expected="prices of the teacher's tokens",
                 found="none in its runtime", do="set runtime.prices: {prompt: ..., completion: "
                 "...}, in money a million tokens, or leave budget.money out")  # fmt: skip
        self._shared, self._ledger = shared, ledger
        self._account, self.budget = account, budget
        self._owed, self._ended = Spending(), 0
        self.limited = budget != Budget()
        """Whether there is a budget; without one nothing is reserved."""
        if self.limited:
            with shared.writing():
                shared.db.execute("insert into reserved values (?, ?, 0, 0, 0.0, 0)",
                                  (shared.owner, account))  # fmt: skip

    def reserve(self, most: Spending) -> Lack | None:
        """Reserve `most` for a try; None: done, it fits into what is left.

        Raises:
            ArtefactError: the files cannot be used.
        """
        if not self.limited:
            return None
        with self._shared.writing():
            self._let_go()
            # In this order: what another process moves from here to the ledger counts twice for a
            # moment, never not at all.
            reserved, passing = self._reserved()
            spent = self._ledger.spent(self._account)
            total = spent.plus(reserved).plus(most)
            if self._fits(total):
                self._add(most, 1)
                return None
            return Lack(spent, reserved, passing != Spending() and self._fits(total.minus(passing)))

    def settle(self, reserved: Spending, kept: Spending = _NOTHING, ended: int = 1) -> None:
        """Let go of a reservation but for `kept`, which the ledger does not hold yet.

        `ended` tries are no longer under way. Where the file is locked it goes with a later write:
        too much is reserved until then, never too little.
        """
        if self.limited:
            self._owed, self._ended = self._owed.plus(kept.minus(reserved)), self._ended - ended
            with contextlib.suppress(ArtefactError), self._shared.writing(_SETTLE_SECONDS):
                self._let_go()

    def close(self, *, keep: bool = False) -> None:
        """End the run's reservations; `keep` those of tries that the ledger does not hold."""
        if self.limited:
            with self._shared.writing():
                self._let_go()
                if not keep:
                    self._shared.db.execute("delete from reserved where owner = ?",
                                            (self._shared.owner,))  # fmt: skip

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        # A ledger that cannot be written does not know what was paid.
        self.close(keep=isinstance(error, ArtefactError))

    def _reserved(self) -> tuple[Spending, Spending]:
        """All reservations of the account, and of them those that living others may let go of."""
        every, passing = Spending(), Spending()
        query = "select owner, under_way, calls, tokens, money from reserved where account = ?"
        for owner, under_way, *amounts in self._shared.db.execute(query, (self._account,)):
            held = Spending(*amounts)
            every = every.plus(held)
            if owner != self._shared.owner and under_way and self._shared.alive(owner):
                passing = passing.plus(held)
        return every, passing

    def _let_go(self) -> None:
        self._add(self._owed, self._ended)
        self._owed, self._ended = Spending(), 0

    def _add(self, spending: Spending, under_way: int) -> None:
        self._shared.db.execute(
            "update reserved set calls = calls + ?, tokens = tokens + ?, money = money + ?, "
            "under_way = under_way + ? where owner = ?",
            (*spending, under_way, self._shared.owner),
        )

    def _fits(self, total: Spending) -> bool:
        limits = (self.budget.calls, self.budget.tokens)
        counts = (total.calls, total.tokens)
        whole = all(limit is None or count <= limit
                    for limit, count in zip(limits, counts, strict=True))  # fmt: skip
        return whole and (self.budget.money is None
                          or total.money <= self.budget.money + _MONEY_SLACK)  # fmt: skip

"""What a recipe may spend on calls: a hard stop, over reruns, kills and processes.

Before a try is sent, the most that it can cost is reserved in a file that the processes of a
workspace share; when the ledger holds what it did cost, the reservation goes. What a killed
process had reserved stays reserved for good: its calls may have been paid for.
"""

import uuid
from pathlib import Path
from types import TracebackType

from whyguard.core.errors import ConfigError, fail
from whyguard.core.steps import Budget
from whyguard.generation.calls.claims import open_unsynced
from whyguard.generation.calls.ledger import Ledger, Spending
from whyguard.generation.teachers.base import Answer, Prices, Task

RESERVED_FILE = "reserved.sqlite"
BYTES_PER_TOKEN = 3.5
"""A guess for estimates and rates; bounds count each byte as a token."""
_TOKENS_PER_MESSAGE = 8
_TABLE = """create table if not exists reserved (owner text primary key, account text not null,
    calls integer not null, tokens integer not null, money real not null)"""
_MONEY_SLACK = 1e-9
_NOTHING = Spending()


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


class Meter:
    """Reservations of one run against the budget of its account.

    Raises:
        ConfigError: the budget has money and the teacher no prices.
    """

    def __init__(self, folder: Path, account: str, budget: Budget, prices: Prices | None) -> None:
        if budget.money is not None and prices is None:
            fail(ConfigError, where="budget.money", expected="prices of the teacher's tokens",
                 found="none in its runtime", do="set runtime.prices: {prompt: ..., completion: "
                 "...}, in money a million tokens, or leave budget.money out")  # fmt: skip
        self._ledger = Ledger(folder)  # a connection of its own: threads share none
        self._account, self.budget = account, budget
        self._owner = uuid.uuid4().hex
        self._limited = budget != Budget()
        if self._limited:
            self._db = open_unsynced(folder / RESERVED_FILE, _TABLE)
            with self._db:
                self._db.execute("insert into reserved values (?, ?, 0, 0, 0.0)",
                                 (self._owner, account))  # fmt: skip

    def reserve(self, most: Spending) -> bool:
        """Whether `most` fits into what is left; it is then reserved."""
        if not self._limited:
            return True
        with self._db:
            self._db.execute("begin immediate")
            # In this order: what another process moves from here to the ledger counts twice for a
            # moment, never not at all.
            reserved = self._reserved()
            total = self._ledger.spent(self._account).plus(reserved).plus(most)
            fits = self._fits(total)
            if fits:
                self._add(most)
        return fits

    def settle(self, reserved: Spending, kept: Spending = _NOTHING) -> None:
        """Let go of a reservation but for `kept`, which the ledger does not hold yet."""
        if self._limited:
            with self._db:
                self._add(kept.minus(reserved))

    def spent(self) -> Spending:
        """What the account has paid, by the ledger."""
        return self._ledger.spent(self._account)

    def close(self) -> None:
        """End the run's reservations: all that was sent is in the ledger."""
        if self._limited:
            with self._db:
                self._db.execute("delete from reserved where owner = ?", (self._owner,))
            self._db.close()
        self._ledger.close()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def _reserved(self) -> Spending:
        row = self._db.execute(
            "select total(calls), total(tokens), total(money) from reserved where account = ?",
            (self._account,),
        ).fetchone()
        return Spending(int(row[0]), int(row[1]), row[2])

    def _add(self, spending: Spending) -> None:
        self._db.execute("update reserved set calls = calls + ?, tokens = tokens + ?, "
                         "money = money + ? where owner = ?", (*spending, self._owner))  # fmt: skip

    def _fits(self, total: Spending) -> bool:
        limits = (self.budget.calls, self.budget.tokens)
        counts = (total.calls, total.tokens)
        whole = all(limit is None or count <= limit
                    for limit, count in zip(limits, counts, strict=True))  # fmt: skip
        return whole and (self.budget.money is None
                          or total.money <= self.budget.money + _MONEY_SLACK)  # fmt: skip

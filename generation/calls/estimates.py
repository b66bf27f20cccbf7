"""What calls would cost, before anything is spent: opens no model and asks no server."""

from collections.abc import Sequence
from pathlib import Path

from whyguard.core.progress import Progress
from whyguard.core.steps import Estimate, Room
from whyguard.generation.calls.budget import guess_tokens
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger, Spending, stored_answers
from whyguard.generation.models import is_here
from whyguard.generation.teachers.base import (
    BatchTeacher,
    Task,
    TeacherConfig,
    TeacherRuntime,
    open_teacher,
)


def estimate(tasks: Sequence[Task], config: TeacherConfig, runtime: TeacherRuntime, ledger: Path
             ) -> Estimate:  # fmt: skip
    """Calls to make, those that are answered already, and tokens and money at most.

    A model that is not on this machine is not fetched: nothing counts as cached then.
    """
    if not config.asks_a_model:
        return Estimate()
    identity = _identity(config, runtime)
    unique = {call_key(config, identity or (), task): task for task in tasks}
    known: set[str] = set()
    if identity is not None and runtime.resume == "always":
        known = stored_answers(ledger, unique)
    left = [task for key, task in unique.items() if key not in known]
    prompts = sum(guess_tokens(task) for task in left)
    most = len(left) * config.max_new_tokens
    prices = runtime.prices
    return Estimate(len(left), len(known), prompts, most,
                    prices.cost(prompts, most) if prices else None,
                    prices.currency if prices else "")  # fmt: skip


def spent(ledger: Path, account: str) -> Spending:
    """What an account (the name of a recipe) has paid so far; zero where there is no ledger."""
    if not (ledger / LEDGER_FILE).is_file():
        return Spending()
    with Ledger(ledger) as opened:
        return opened.spent(account)


def _identity(config: TeacherConfig, runtime: TeacherRuntime) -> tuple[str, ...] | None:
    """What of the model is part of keys; None where it is not here."""
    if config.kind == "openai":
        return ()
    if not is_here(str(config.model)):
        return None
    nowhere = Room(Path(), Path(), Progress.silent(), Path())
    teacher = open_teacher(config, runtime, nowhere)
    return teacher.identity if isinstance(teacher, BatchTeacher) else None

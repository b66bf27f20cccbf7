"""Samples of a guard for pair building, through the call ledger: a rerun asks what is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whyguard.core.progress import Progress
from whyguard.core.steps import Estimate, Room
from whyguard.core.tables import Row
from whyguard.generation.calls.ask import ask
from whyguard.generation.calls.budget import guess_tokens
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import stored_answers
from whyguard.generation.guard.prompts import PromptTemplate
from whyguard.generation.models import Loaded, is_here
from whyguard.generation.teachers.base import Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.local import LocalTeacher
from whyguard.generation.teachers.local_grammar import Follower
from whyguard.generation.writing.tasks import build_task
from whyguard.train.pair_choice import Sample
from whyguard.train.sampling import JUDGE_CLOSE, StopAfter, guard_prompt_ids

_FORMAT = f"guard prompt without chat template, up to {JUDGE_CLOSE}"


class GuardSampler(LocalTeacher):
    """The in-process teacher, asked as a guard is: its own template, an end behind the verdict.

    A task's user message is the text to judge, an assistant message the prefill.

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `models.locate_model`.
    """

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime, progress: Progress,
                 template: PromptTemplate) -> None:  # fmt: skip
        super().__init__(config, runtime, progress)
        self._template = template
        self.identity = (*self.identity, _FORMAT, template.before, template.after)

    def token_ids(self, task: Task, tokenizer: Any) -> list[int]:
        """The guard's template with the text in it, and the prefill."""
        texts = dict(task.messages)
        return guard_prompt_ids(tokenizer, self._template, texts["user"],
                                texts.get("assistant", ""))  # fmt: skip

    def follower(self, task: Task, loaded: Loaded) -> Follower:
        """An end behind the verdict."""
        return StopAfter(loaded.tokenizer)


def sampling_tasks(rows: Sequence[Row], samples: int, prefill: str) -> list[Task]:
    """`samples` tasks a row of examples, each row once."""
    begun = (("assistant", prefill),) if prefill else ()
    once = {row["example_id"]: row for row in rows}
    return [
        build_task("verdict", {**row, "prompt_id": example_id}, row["language"],
                   (("user", row["text"]), *begun), number)
        for example_id, row in once.items()
        for number in range(samples)
    ]  # fmt: skip


def ask_guard(sampler: GuardSampler, tasks: Sequence[Task], config: TeacherConfig,
              runtime: TeacherRuntime, room: Room) -> dict[str, list[Sample]]:  # fmt: skip
    """Samples by example id, each with its prefill in front.

    Raises:
        PartialError: the run stopped (budget, failures) with answers in the ledger.
        TeacherError: it stopped with none there.
    """
    found: dict[str, list[Sample]] = {}
    for task, answer, call_id in ask(sampler, tasks, config, runtime, room):
        prefill = dict(task.messages).get("assistant", "")
        text = None if answer.text is None else prefill + answer.text
        found.setdefault(task.prompt_id, []).append(Sample(task.sample, text, call_id))
    return found


def estimate_sampling(tasks: Sequence[Task], config: TeacherConfig, runtime: TeacherRuntime,
                      template: PromptTemplate, ledger: Path) -> Estimate:  # fmt: skip
    """Calls to make and calls that are stored; a model that is not here is not fetched."""
    known: set[str] = set()
    identity: tuple[str, ...] = ()
    here = is_here(str(config.model))
    if here:
        identity = GuardSampler(config, runtime, Progress.silent(), template).identity
    calls = {call_key(config, identity, task): task for task in tasks}
    if here and runtime.resume == "always":
        known = stored_answers(ledger, calls)
    left = [task for key, task in calls.items() if key not in known]
    return Estimate(len(left), len(known), sum(guess_tokens(task) for task in left),
                    len(left) * config.max_new_tokens)  # fmt: skip

"""What translating would ask of models, before anything is spent."""

from collections.abc import Sequence
from pathlib import Path

from whyguard.core.steps import Estimate, total
from whyguard.generation.calls.ask import estimate
from whyguard.generation.calls.budget import guess_tokens
from whyguard.generation.calls.keys import call_key
from whyguard.generation.calls.ledger import stored_answers
from whyguard.generation.models import is_here
from whyguard.generation.teachers.base import Task, TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig, Guide
from whyguard.generation.translation.chain import Terms, cut, hops
from whyguard.generation.translation.llm import llm_tasks, teacher_of
from whyguard.generation.translation.masking import mask
from whyguard.generation.translation.memory import Memory, load_memory
from whyguard.generation.translation.seq2seq import identity_of, key_config, seq2seq_tasks


class Costs:
    """Adds up the calls of languages; opens no model and asks no server.

    Each text counts for the first backend that may have it: a model is taken to answer. What a
    second hop is to translate is not known yet: its calls count, whether stored or not.
    """

    def __init__(self, entries: Sequence[BackendConfig], runtime: TeacherRuntime, ledger: Path
                 ) -> None:  # fmt: skip
        self._entries, self._runtime, self._ledger = entries, runtime, ledger
        self._memories: dict[int, Memory] = {}
        self._parts: list[Estimate] = []

    @property
    def total(self) -> Estimate:
        """What was added up."""
        return total(self._parts)

    def add(self, source: str, target: str, texts: Sequence[str], guides: Sequence[Guide]) -> None:
        """Count one language's texts."""
        left = list(zip(texts, guides, strict=True))
        for number, entry in enumerate(self._entries):
            if entry.kind == "memory":
                memory = self._memory(number, entry)
                left = [item for item in left if not memory.find(source, target, item[0])]
            elif entry.serves(target):
                if entry.kind != "apertium":
                    self._count(entry, source, target, left)
                return

    def _memory(self, number: int, entry: BackendConfig) -> Memory:
        if number not in self._memories:
            columns = entry.columns or None
            self._memories[number] = load_memory(Path(str(entry.file)), entry.translator, columns)
        return self._memories[number]

    def _count(self, entry: BackendConfig, source: str, target: str,
               items: Sequence[tuple[str, Guide]]) -> None:  # fmt: skip
        for start, end in hops(entry, source, target):
            pieces: list[str] = []
            terms: list[Terms] = []
            for text, guide in items:
                mine = cut(mask(text, guide.spans).text, entry.piece_chars).pieces
                pieces += mine
                terms += [guide.terms if (start, end) == (source, target) else ()] * len(mine)
            if entry.kind == "llm":
                teacher = teacher_of(entry)
                tasks = llm_tasks(teacher, start, end, pieces, terms)
                self._parts.append(estimate(tasks, teacher, self._runtime, self._ledger))
            else:
                self._parts.append(self._seq2seq(entry, seq2seq_tasks(start, end, pieces)))

    def _seq2seq(self, entry: BackendConfig, tasks: Sequence[Task]) -> Estimate:
        """A model in this process costs time, not money."""
        config, here = key_config(entry), is_here(str(entry.model))
        identity = identity_of(entry) if here else ()
        left = {call_key(config, identity, task): task for task in tasks}
        known: set[str] = set()
        if here and self._runtime.resume == "always":
            known = stored_answers(self._ledger, left)
        left = {key: task for key, task in left.items() if key not in known}
        prompts = sum(guess_tokens(task) for task in left.values())
        return Estimate(len(left), len(known), prompts, len(left) * config.max_new_tokens)

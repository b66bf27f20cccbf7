"""A teacher that is a causal language model in this process (transformers)."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import TeacherError, fail
from whyguard.core.hashing import seed_of
from whyguard.core.optional import require
from whyguard.core.progress import Progress
from whyguard.generation.models import Loaded, generator_name, load_located, locate_model
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.local_decoding import Row, Sampling, decode
from whyguard.generation.teachers.local_grammar import Follower, Grammars
from whyguard.generation.teachers.shaping import (
    decoded,
    is_prefilled,
    load_tokenizer,
    prompt_ids,
    template_sha256,
    without_specials,
)
from whyguard.generation.teachers.verdicts import verdict_logprob

if TYPE_CHECKING:
    from whyguard.generation.teachers.local_cache import Prefix, PrefixShelf

_SHORTEST_PREFIX = 8
"""Tokens from which on a shared prefix is worth its own run."""
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|"
                            r"failed to allocate", re.IGNORECASE)  # fmt: skip


class LocalTeacher:
    """Answers in batches of prompts of like length; what they begin with is run once.

    Greedy in fp32 gives the text of each prompt alone; a sampled answer depends on the seed, the
    sample's number and the messages, not on the batch. The tokenizer is loaded when batches are
    made and the model at the first batch: a rerun that has all answers loads none.

    A subclass that asks in another form overrides `token_ids` and `follower`, and adds to
    `identity` what makes its answers other ones.

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `models.locate_model`.
    """

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime, progress: Progress) -> None:
        self._config, self._runtime = config, runtime
        self._located = locate_model(str(config.model), role="teacher", progress=progress)
        self._opened: Loaded | None = None
        self._tokenizer: Any = None
        self._shelf: PrefixShelf | None = None
        self._grammars: Grammars | None = None
        self.use: ModelUse | None = self._located.use
        self.generator = generator_name(str(config.model), self._located.use.revision)
        self.identity: tuple[str, ...] = (
            self._located.use.revision, template_sha256(self._located.folder)
        )  # fmt: skip

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """Batches of like length, longest first: memory peaks at once, not at the end.

        Tasks of the same first message (the system's part) stand together, if they fill a batch:
        they share a longer prefix.
        """
        size = self._runtime.batch_size
        heads = Counter(task.messages[:1] for task in tasks)
        lengths = [len(self._prompt(task)) for task in tasks]
        kinds = [task.messages[:1] if heads[task.messages[:1]] >= size else () for task in tasks]
        order = sorted(range(len(tasks)), key=lambda n: (kinds[n], -lengths[n], n))
        return [[tasks[n] for n in order[start : start + size]]
                for start in range(0, len(order), size)]  # fmt: skip

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        """One answer a task, in order; a prompt that does not fit the model has none, but a reason.

        Raises:
            ConfigError: a task's schema cannot be followed with this model.
            TeacherError: the memory was not enough.
        """
        loaded = self._loaded()
        rows = [Row(self._prompt(task), self._seed(task), self.follower(task, loaded))
                for task in tasks]  # fmt: skip
        reasons = [self._refusal(loaded, row) for row in rows]
        fitting = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
        if fitting:
            self._write(loaded, fitting)
        return [Answer(None, reason, prompt_tokens=len(row.prompt)) if reason
                else self._read(loaded.tokenizer, task, row)
                for task, row, reason in zip(tasks, rows, reasons, strict=True)]  # fmt: skip

    def token_ids(self, task: Task, tokenizer: Any) -> list[int]:
        """The prompt of a task: its messages in the model's chat template."""
        return prompt_ids(tokenizer, task.messages)

    def follower(self, task: Task, loaded: Loaded) -> Follower | None:
        """What hides tokens from an answer and may end it: the grammar of the task's schema.

        Raises:
            ConfigError: the schema cannot be followed with this model.
        """
        return None if task.schema is None else self._grammar(loaded).follow(task.schema)

    def _write(self, loaded: Loaded, rows: list[Row]) -> None:
        torch = require("torch", "generate")
        from whyguard.generation.teachers.local_cache import can_share

        roomy = can_share(loaded.model)
        with self._enough_memory(len(rows)), torch.inference_mode():
            prefix = self._prefix(loaded, rows) if roomy else None
            decode(loaded.model, rows, self._sampling(loaded.model), prefix, roomy=roomy)

    def _read(self, tokenizer: Any, task: Task, row: Row) -> Answer:
        text = decoded(tokenizer, row.ids)
        begun = is_prefilled(task.messages)
        logprob = None
        if self._config.logprobs:
            words = [decoded(tokenizer, [token]) for token in row.ids]
            before = [(without_specials(tokenizer, task.messages[-1][1]), 0.0)] if begun else []
            logprob = verdict_logprob([*before, *zip(words, row.logprobs, strict=True)])
        # what continues a text keeps the blank that it begins with
        return Answer(text.rstrip() if begun else text.strip(), tokens=len(row.ids),
                      logprob=logprob, prompt_tokens=len(row.prompt),
                      finish=row.finish)  # fmt: skip

    def _prefix(self, loaded: Loaded, rows: Sequence[Row]) -> "Prefix | None":
        """What the rows share, run before; it hangs on the batch alone, as its rounding does."""
        from whyguard.generation.teachers.local_cache import PrefixShelf, common_prefix

        shared = common_prefix(row.prompt for row in rows)
        if len(rows) == 1 or len(shared) < _SHORTEST_PREFIX:
            return None
        if self._shelf is None:
            self._shelf = PrefixShelf(loaded.model, loaded.device)
        return self._shelf.get(shared)

    def _loaded(self) -> Loaded:
        if self._opened is None:
            if self._runtime.threads:
                require("torch", "generate").set_num_threads(self._runtime.threads)
            self._opened = load_located(self._located, self._config.precision,
                                        self._runtime.device)  # fmt: skip
        return self._opened

    def _grammar(self, loaded: Loaded) -> Grammars:
        if self._grammars is None:
            size = loaded.model.get_output_embeddings().weight.shape[0]
            self._grammars = Grammars(loaded.tokenizer, size, _ends(loaded.model))
        return self._grammars

    def _prompt(self, task: Task) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._located.folder)
        return self.token_ids(task, self._tokenizer)

    def _seed(self, task: Task) -> int:
        """Each task draws numbers of its own, whatever batch it is in."""
        facts = [self._config.seed, task.sample, [list(message) for message in task.messages]]
        return seed_of(facts)

    def _refusal(self, loaded: Loaded, row: Row) -> str:
        """Why a prompt cannot be answered; empty where it can."""
        config = loaded.model.config.get_text_config(decoder=True)
        room = getattr(config, "max_position_embeddings", None)
        wanted = len(row.prompt) + self._config.max_new_tokens
        if not row.prompt:
            return "the prompt has no tokens"
        if room is not None and wanted > room:
            return f"{wanted} tokens with the answer, the model has room for {room}"
        return ""

    def _sampling(self, model: Any) -> Sampling:
        return Sampling(self._config.temperature, self._config.top_p, self._config.max_new_tokens,
                        self._config.logprobs, _ends(model))  # fmt: skip

    @contextlib.contextmanager
    def _enough_memory(self, rows: int) -> Iterator[None]:
        torch = require("torch", "generate")
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            known = isinstance(error, MemoryError | torch.OutOfMemoryError)
            if not known and not _OUT_OF_MEMORY.search(str(error)):
                raise
            less = f"a smaller runtime.batch_size (now {self._runtime.batch_size})"
            fail(TeacherError, where=self.generator, expected=f"memory for a batch of {rows} rows "
                 f"of up to {self._config.max_new_tokens} new tokens",
                 found="not enough of it", do=f"run again with {less} or max_new_tokens; stored "
                 "answers are kept")  # fmt: skip


def _ends(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])

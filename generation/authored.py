"""Teachers that ask no model: text that came with the data, and category wording."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.core.languages import ENGLISH
from whyguard.core.values import Label
from whyguard.curation.taxonomy import template_sentence
from whyguard.generation.grammar import GuardCompletion, render_guard
from whyguard.generation.teachers import Answer, Task, TeacherConfig

STARTER = "builtin:curation/data/starter/groups.jsonl"
_LANGUAGES = {ENGLISH: "en", "spa_Latn": "es"}


class AuthoredTeacher:
    """Traces and rationales written by people, from the starter pack's form of file."""

    use: ModelUse | None = None
    needs_messages = False
    batch: int | None = None

    def __init__(self, config: TeacherConfig) -> None:
        if config.file is None:
            fail(ConfigError, where="teacher", expected="file: the authored text", found="nothing",
                 do=f"set file, for example {STARTER}")  # fmt: skip
        path = Path(config.file)
        self.generator = f"authored:{path.parent.name}"
        self._sides = _read_sides(path)

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Look each task's text up by family."""
        for task in tasks:
            side = self._sides.get(task.family_id)
            text = None if side is None else _text(task, side)
            yield task, Answer(text, "" if text else "no authored text for this family")


class TemplateTeacher:
    """The category's wording only: the control arm, never called an explanation."""

    generator = "template"
    use: ModelUse | None = None
    needs_messages = False
    batch: int | None = None

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Word each task's categories in its language."""
        for task in tasks:
            text = template_sentence(task.categories, task.language)
            if task.kind == "trace" and text:
                verdict = Label(task.label)
                completion = GuardCompletion(verdict, None, text, task.categories)
                text = render_guard(completion)
            yield task, Answer(text, "" if text else f"no category wording in {task.language}")


def _text(task: Task, side: dict[str, Any]) -> str | None:
    if task.kind == "explanation":
        short = _LANGUAGES.get(task.language)
        return side.get(f"rationale_{short}") if short else None
    verdict = Label.HARMFUL if "violations" in side else Label.UNHARMFUL
    violations = tuple(side.get("violations", ()))
    return render_guard(GuardCompletion(verdict, None, side["trace_en"], violations))


def _read_sides(path: Path) -> dict[str, dict[str, Any]]:
    sides: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if not line:
            continue
        try:
            group = json.loads(line)
            name = f"starter:{group['group']}"
            sides[f"{name}-h"], sides[f"{name}-b"] = group["harmful"], group["benign"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            fail(DataError, where=f"{path}:{number}", expected="a group with harmful and benign",
                 found=f"{type(error).__name__}: {error}", do="repair this line")  # fmt: skip
    return sides

"""Teachers that ask no model: text that came with the data, and category wording."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import DataError, UnknownLanguageError
from whyguard.core.languages import known_languages
from whyguard.core.values import Label
from whyguard.curation.readers import read_raw
from whyguard.curation.rejects import Reject
from whyguard.generation.grammar import GuardCompletion, render_guard
from whyguard.generation.packs.wording import template_sentence
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig

STARTER = "builtin:curation/data/starter/groups.jsonl"
TEMPLATE_GENERATOR = "template"
_SIDES = (("harmful", "h"), ("benign", "b"))


class AuthoredTeacher:
    """Traces and rationales that came with the data, from the starter pack's form of file.

    Raises:
        MissingFileError: there is no such file.
        DataError: the file is a bad file (see `curation.readers.read_raw`).
    """

    use: ModelUse | None = None

    def __init__(self, config: TeacherConfig) -> None:
        self.generator = f"authored:{config.source}"
        self._sides, self._rejects = _read_sides(Path(str(config.file)), config.source)

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Look each task's text up by family."""
        for task in tasks:
            yield task, self._answer(task)

    def _answer(self, task: Task) -> Answer:
        side = self._sides.get(task.family_id)
        if side is None:
            bad = [f"line {reject.raw.line}: {reject.rule}" for reject in self._rejects[:3]]
            unread = f" (rows that could not be read: {', '.join(bad)})" if bad else ""
            return Answer(None, f"no authored text for this family{unread}")
        field = _field(task)
        text = side.get(field)
        if not isinstance(text, str) or not text.strip():
            return Answer(None, f"no authored {field}")
        if task.kind != "trace":
            return Answer(text)
        try:
            return Answer(_trace(side, text))
        except DataError as error:
            return Answer(None, f"{field}: {_found(error)}")


class TemplateTeacher:
    """The category's wording only: the control arm, never called an explanation."""

    generator = TEMPLATE_GENERATOR
    use: ModelUse | None = None

    def answer(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Answer]]:
        """Word each task's categories in its language."""
        for task in tasks:
            codes = tuple(dict.fromkeys(task.categories))
            text = template_sentence(codes, task.language)
            if task.kind == "trace":
                yield task, Answer(None, "category wording is no reasoning: it knows the label")
            elif text is None:
                reason = f"no category wording in {task.language}" if codes else "no category"
                yield task, Answer(None, reason)
            else:
                yield task, Answer(text)


def _field(task: Task) -> str:
    """The field of a side that holds a task's text: trace_en, rationale_es, refusal_es ..."""
    try:
        short = known_languages().get(task.language).bcp47
    except UnknownLanguageError:
        short = task.language  # declared by the recipe: its own code names the field
    return f"{'rationale' if task.kind == 'explanation' else task.kind}_{short}"


def _trace(side: dict[str, Any], think: str) -> str:
    verdict = Label.HARMFUL if "violations" in side else Label.UNHARMFUL
    violations = tuple(str(code) for code in side.get("violations") or ())
    return render_guard(GuardCompletion(verdict, None, think, violations))


def _found(error: DataError) -> str:
    lines = [line.strip() for line in str(error).split("\n")[1:3]]
    return ", ".join(lines)


def _read_sides(path: Path, source: str) -> tuple[dict[str, dict[str, Any]], list[Reject]]:
    raw = read_raw(path, ("group", "harmful", "benign"))
    sides: dict[str, dict[str, Any]] = {}
    for row in raw.rows:
        for name, mark in _SIDES:
            side = row.values.get(name)
            if isinstance(side, dict):
                sides[f"{source}:{row.values.get('group')}-{mark}"] = side
    return sides, raw.rejects

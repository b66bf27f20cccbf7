"""Translation by a chat model that is given a glossary; any teacher that is a model will do."""

import json
import re
from collections.abc import Sequence
from string import Template

from whyguard.core.artefact import ModelUse
from whyguard.core.languages import language_name
from whyguard.core.steps import Room
from whyguard.generation.calls.ask import ask
from whyguard.generation.teachers.base import Task, TeacherConfig, TeacherRuntime, open_teacher
from whyguard.generation.teachers.templates import Messages, fence, load_template
from whyguard.generation.translation.backends import BackendConfig
from whyguard.generation.translation.chain import Raw, Terms
from whyguard.generation.translation.seq2seq import translation_task

DEFAULT_TEMPLATE = "translation-1"
SCHEMA = json.dumps(
    {"type": "object", "properties": {"translation": {"type": "string"}},
     "required": ["translation"], "additionalProperties": False},
    sort_keys=True, separators=(",", ":"))  # fmt: skip
"""What the answer must follow where the teacher's form is json."""

_MARKS = re.compile(r"<translation>(.*?)</translation>", re.DOTALL)
_FORMS = {
    "tags": "Answer with <translation>the translation</translation> and nothing else.",
    "json": 'Answer with a JSON object of this form: {"translation": "the translation"}.',
}


class LlmEngine:
    """Asks the entry's teacher through the call ledger."""

    def __init__(self, entry: BackendConfig, room: Room, runtime: TeacherRuntime) -> None:
        self._config = teacher_of(entry)
        self._room, self._runtime = room, runtime
        self._teacher = open_teacher(self._config, runtime, room)
        self.label = f"llm {self._teacher.generator}"
        self.uses: tuple[ModelUse, ...] = (self._teacher.use,) if self._teacher.use else ()

    def name(self, source: str, target: str) -> str:
        """The teacher's."""
        return self._teacher.generator

    def translate(self, source: str, target: str, pieces: Sequence[str],
                  terms: Sequence[Terms]) -> list[Raw]:  # fmt: skip
        """New translations.

        Raises:
            PartialError, TeacherError: see `calls.ask.ask`.
        """
        if not pieces:
            return []
        tasks = llm_tasks(self._config, source, target, pieces, terms)
        done = ask(self._teacher, tasks, self._config, self._runtime, self._room)
        return [read_answer(item.answer.text, item.answer.reason, item.answer.finish,
                            self._config.form) for item in done]  # fmt: skip


def teacher_of(entry: BackendConfig) -> TeacherConfig:
    """The teacher's config of an entry of kind llm."""
    if entry.teacher is None:
        raise TypeError("an entry of kind llm has a teacher: its config is checked")
    return entry.teacher


def llm_tasks(config: TeacherConfig, source: str, target: str, pieces: Sequence[str],
              terms: Sequence[Terms]) -> list[Task]:  # fmt: skip
    """One task a piece; `terms` is the glossary of each."""
    schema = SCHEMA if config.form == "json" else None
    return [
        translation_task(piece, target, prompt_of(config, source, target, piece, words), schema)
        for piece, words in zip(pieces, terms, strict=True)
    ]


def prompt_of(config: TeacherConfig, source: str, target: str, text: str, terms: Terms
              ) -> Messages:  # fmt: skip
    """Messages of one call; the text is fenced, since it may be hostile.

    Raises:
        ConfigError: there is no such template.
    """
    used = [(word, form) for word, form in terms if word.casefold() in text.casefold()]
    lines = [f"- {fence(word)} = {fence(form)}" for word, form in used]
    values = {
        "source": _named(source),
        "target": _named(target),
        "glossary": "\n".join(["Use these translations of words:", *lines]) if lines else "",
        "form": _FORMS[config.form],
        "text": fence(text),
    }
    # The template is cut before it is filled: a text may hold the line that cuts it.
    system, _, user = load_template(config.template or DEFAULT_TEMPLATE).partition("\n---\n")
    parts = (("system", system), ("user", user))
    return tuple((role, Template(part).substitute(values).strip()) for role, part in parts)


def read_answer(text: str | None, reason: str, finish: str | None, form: str) -> Raw:
    """The translation in an answer, or why there is none."""
    if text is None:
        return Raw(None, reason=reason or "no answer")
    if finish == "length":
        return Raw(None, reason="the answer was cut off")
    found = _from_json(text) if form == "json" else _from_marks(text)
    if found is None:
        return Raw(None, reason="no translation in the answer")
    if not found.strip():
        return Raw(None, reason="an empty translation")
    return Raw(found.strip())


def _from_marks(text: str) -> str | None:
    found = _MARKS.findall(text)
    return str(found[0]) if len(found) == 1 else None


def _from_json(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    found = value.get("translation") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _named(code: str) -> str:
    """A language by name and code: the code tells its script."""
    name = language_name(code)
    return name if name == code else f"{name} ({code})"

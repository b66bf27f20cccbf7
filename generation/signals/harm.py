"""Harm preservation: does a judge say of the translation what is known of the source?"""

import json
import math
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from pydantic import Field, model_validator

from whyguard.core.artefact import ModelUse
from whyguard.core.languages import ENGLISH, LanguageCode
from whyguard.core.refs import ModelRef
from whyguard.core.steps import Room, StepConfig
from whyguard.core.values import Label
from whyguard.generation.calls.ask import Answered, ask
from whyguard.generation.guard.facts import read_use
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import harmful_probabilities
from whyguard.generation.models import Precision, load_located, locate_model
from whyguard.generation.teachers.base import (
    Answer,
    Task,
    TeacherConfig,
    TeacherRuntime,
    open_teacher,
)
from whyguard.generation.teachers.templates import fill

VERDICT_TEMPLATE = "verdict-1"
_JUDGE_TAG = re.compile(r"<judge>\s*(harmful|unharmful)\s*</judge>")


class JudgeConfig(StepConfig):
    """Who says how likely a text is harmful: a guard, or a teacher asked for a verdict."""

    model: ModelRef | None = None
    """A guard's folder or any causal model; scored by log-probabilities of the label strings."""
    teacher: TeacherConfig | None = None
    """Asked with a verdict template, `verdict-1` unless it names another."""
    languages: tuple[LanguageCode, ...] = Field(default=(ENGLISH,), min_length=1)
    """Languages the judge can judge. A translation into another one is judged by its
    back-translation, where that is in one of these."""

    @model_validator(mode="after")
    def _one(self) -> "JudgeConfig":
        if (self.model is None) == (self.teacher is None):
            raise ValueError("'model' or 'teacher', one of them")
        if self.teacher and not self.teacher.asks_a_model:
            raise ValueError(f"a teacher that reads messages, not {self.teacher.kind}")
        return self


class Judged(NamedTuple):
    """A text to judge; the ids are those of its row."""

    prompt_id: str
    family_id: str
    language: str
    text: str


class Judge(Protocol):
    """Says how likely texts are harmful."""

    use: ModelUse | None
    """The model behind it, for the manifest."""

    def harmful(self, texts: Sequence[Judged]) -> list[float | None]:
        """P(harmful) of each text, 0..1, in order; None where no verdict came."""
        ...


def open_judge(config: JudgeConfig, runtime: TeacherRuntime, room: Room) -> Judge:
    """The judge of a config; nothing is loaded or asked yet but what the teacher checks.

    Raises:
        ConfigError, DataError, MissingFileError, OfflineError: the model cannot be used.
    """
    if config.teacher is not None:
        return TeacherJudge(config.teacher, runtime, room)
    return GuardJudge(str(config.model), runtime, room)


class GuardJudge:
    """A guard scored by label log-probabilities right after the prompt (mode `no_think`)."""

    def __init__(self, ref: str, runtime: TeacherRuntime, room: Room) -> None:
        self._located = locate_model(ref, role="judge", progress=room.progress)
        self._facts = read_use(self._located.folder)
        self._runtime, self._progress = runtime, room.progress
        self.use: ModelUse | None = self._located.use

    def harmful(self, texts: Sequence[Judged]) -> list[float | None]:
        """P(harmful) of each text; equal texts are scored once."""
        if not texts:
            return []
        different = list(dict.fromkeys(item.text for item in texts))
        loaded = load_located(self._located, Precision.FP32, self._runtime.device)
        template = prompt_template(self._facts.prompt_template)
        with self._progress.task("judging", len(different)) as task:
            scores = harmful_probabilities(loaded, template, different,
                                           self._facts.label_strings(),
                                           self._runtime.batch_size, task)  # fmt: skip
        known = dict(zip(different, np.asarray(scores).tolist(), strict=True))
        return [known[item.text] for item in texts]


class TeacherJudge:
    """A teacher asked for a verdict; through the call ledger, each different text once."""

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime, room: Room) -> None:
        self._config, self._runtime, self._room = config, runtime, room
        self._teacher = open_teacher(config, runtime, room)
        self.use: ModelUse | None = self._teacher.use

    def harmful(self, texts: Sequence[Judged]) -> list[float | None]:
        """P(harmful) of each text: the mean over the samples that gave a verdict."""
        tasks = verdict_tasks(self._config, texts)
        answers = ask(self._teacher, tasks, self._config, self._runtime, self._room)
        each = self._config.samples
        return [_mean(answers[i * each : (i + 1) * each]) for i in range(len(texts))]


def verdict_tasks(config: TeacherConfig, texts: Sequence[Judged]) -> list[Task]:
    """The calls of a teacher judge: as many a text as the config wants samples."""
    template = config.template or VERDICT_TEMPLATE
    return [
        # the label is what is asked for: the judge must not be told
        Task("verdict", item.prompt_id, item.family_id, "", (), item.language, sample,
             fill(template, item.text, item.language))
        for item in texts for sample in range(config.samples)
    ]  # fmt: skip


def _mean(answers: Sequence[Answered]) -> float | None:
    found = [p for item in answers if (p := harmful_of(item.answer)) is not None]
    return sum(found) / len(found) if found else None


def harmful_of(answer: Answer) -> float | None:
    """P(harmful) from a verdict: from its log-probability where measured, else 0 or 1.

    None: the answer holds no verdict, or several that differ.
    """
    verdict = _verdict(answer.text or "")
    if verdict is None:
        return None
    sure = 1.0 if answer.logprob is None else min(1.0, math.exp(answer.logprob))
    return sure if verdict == Label.HARMFUL.value else 1.0 - sure


def _verdict(text: str) -> str | None:
    try:
        found = {str(json.loads(text)["judge"])}
    except (ValueError, TypeError, KeyError):
        found = set(_JUDGE_TAG.findall(text))
    known = found & {label.value for label in Label}
    return known.pop() if len(found) == len(known) == 1 else None

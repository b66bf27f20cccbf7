"""Answers become rows or drops, counted by language."""

import pytest
from pydantic import ValidationError
from tests.generation.making import task

from whyguard.core.tables import drops_frame
from whyguard.generation.calls.ask import Answered
from whyguard.generation.teachers.base import Answer, TeacherConfig
from whyguard.generation.writing.local_texts import LocalTextsConfig, gathered


def test_texts_are_normalised_and_empty_ones_dropped() -> None:
    answers = [Answer("  One.\u200b "), Answer(None, "nothing known"), Answer("\u200b\n"),
               Answer("Dos.")]  # fmt: skip
    tasks = [task(n, language="ast_Latn" if n == 3 else "eng_Latn") for n in range(4)]
    answered = [Answered(item, answer, None) for item, answer in zip(tasks, answers, strict=True)]
    done = gathered(answered, "no_text", lambda item, text: {"id": item.prompt_id, "text": text})
    assert [row["text"] for row in done.rows] == ["One.", "Dos."]
    assert [(item["rule"], item["reason"]) for item in done.drops] == [
        ("no_text", "nothing known"), ("no_text", "an empty answer")
    ]  # fmt: skip
    assert done.drops[0]["row_id"] == "made:001-h:eng_Latn:eng_Latn"
    assert done.yields["no_text"]["eng_Latn"] == {"in": 3, "out": 1, "unmeasured": 0}


def test_half_a_character_is_a_drop_that_can_be_stored() -> None:
    answered = [Answered(task(0), Answer("abc \ud800 def"), None)]
    done = gathered(answered, "no_text", lambda item, text: {"text": text})
    assert done.rows == []
    assert drops_frame(done.drops)["reason"].to_list() == ["half of a character (a lone surrogate)"]


def test_the_config() -> None:
    teacher = TeacherConfig(kind="template")
    with pytest.raises(ValidationError, match="not 'ast_Latn' twice"):
        LocalTextsConfig(teacher=teacher, languages=("ast_Latn", "ast_Latn"))
    with pytest.raises(ValidationError, match="at least 1 item"):
        LocalTextsConfig(teacher=teacher, languages=())
    held = TeacherConfig(kind="openai", model_name="m", form="json")
    with pytest.raises(ValidationError, match="plain text is asked for"):
        LocalTextsConfig(teacher=held)

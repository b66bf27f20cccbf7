"""Helpers of the tests of the translation steps."""

import json
from pathlib import Path
from typing import Any

from tests.generation.making import inputs, prompt
from tests.generation.translation.conftest import ChatServer

from whyguard.core.steps import Room, StepResult
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.step import PROMPTS, TranslateConfig

APERTIUM = {"kind": "apertium"}
LLM_ENTRY = {"kind": "llm", "teacher": {"kind": "openai", "model_name": "m"}}
NAMED = "John of London knows phishing."


def memory(folder: Path, *units: dict[str, Any], tail: str = "") -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    base = {"source_language": "spa_Latn", "language": "ast_Latn"}
    path = folder / "memory.jsonl"
    lines = [json.dumps(base | unit) + "\n" for unit in units]
    path.write_text("".join(lines) + tail, "utf-8")
    return {"kind": "memory", "file": str(path), "translator": "Ana (native)"}


def unit(n: int, **other: Any) -> dict[str, Any]:
    return {"source": f"la casa {n} es  VIEJA.", "text": f"La casa {n} ye vieya."} | other


def run(folder: Path, room: Room, prompts: list[dict[str, Any]], *backends: dict[str, Any],
        languages: tuple[str, ...] = ("ast_Latn",)) -> StepResult:  # fmt: skip
    config = TranslateConfig.model_validate(
        {"source": "spa_Latn", "languages": languages, "backends": backends}
    )
    return PROMPTS.run(inputs(folder, prompts=prompts), config, TeacherRuntime(), room)


def signals(row: dict[str, Any]) -> dict[str, float | None]:
    return {item["name"]: item["value"] for item in row["signals"]}


def new(result: StepResult, language: str = "ast_Latn") -> list[dict[str, Any]]:
    return [row for row in result.rows.to_dicts() if row["language"] == language]


def localised(folder: Path, room: Room, chat: ChatServer, *backends: dict[str, Any],
              **other: Any) -> StepResult:  # fmt: skip
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": backends} | other
    )
    runtime = TeacherRuntime(base_url=chat.base_url, tries=1)
    rows = [prompt(0, text=NAMED), prompt(1, text="Nothing to keep.")]
    return PROMPTS.run(inputs(folder, prompts=rows), config, runtime, room)

"""Estimates of what translating asks of models: calls, stored answers, tokens, money."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.generation.making import inputs, prompt
from tests.generation.translation.conftest import ChatServer

from whyguard.core.steps import Estimate, Room
from whyguard.generation.teachers.base import Prices, TeacherRuntime
from whyguard.generation.translation.backends import NO_GUIDE, BackendConfig, open_backends
from whyguard.generation.translation.costs import Costs
from whyguard.generation.translation.step import EXPLANATIONS, PROMPTS, TranslateConfig

LLM = {"kind": "llm", "teacher": {"kind": "openai", "model_name": "m", "max_new_tokens": 50}}
TEXTS = ["one house", "two houses", "one house"]


def counted(room: Room, *entries: dict[str, Any], runtime: TeacherRuntime | None = None,
            target: str = "ast_Latn") -> Estimate:  # fmt: skip
    configs = [BackendConfig.model_validate(entry) for entry in entries]
    costs = Costs(configs, runtime or TeacherRuntime(), room.ledger)
    costs.add("eng_Latn", target, TEXTS, [NO_GUIDE] * len(TEXTS))
    return costs.total


def memory(folder: Path, *texts: str) -> dict[str, Any]:
    path = folder / "m.jsonl"
    units = [{"source_language": "eng_Latn", "language": "ast_Latn", "source": text, "text": "x"}
             for text in texts]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, units)), "utf-8")
    return {"kind": "memory", "file": str(path)}


def test_equal_texts_are_one_call(room: Room) -> None:
    found = counted(room, LLM)
    assert (found.calls, found.cached, found.completion_tokens) == (2, 0, 100)
    assert found.prompt_tokens > 100
    assert found.money is None


def test_money(room: Room) -> None:
    prices = Prices(prompt=1.0, completion=10.0, currency="EUR")
    found = counted(room, LLM, runtime=TeacherRuntime(prices=prices))
    assert found.money == pytest.approx((found.prompt_tokens + 1000) / 1e6)
    assert found.currency == "EUR"


@pytest.mark.parametrize(("entries", "calls"), [
    ([{"kind": "apertium"}, LLM], 0), ([LLM | {"pivot": "spa_Latn"}], 4),
    ([LLM | {"languages": ["cat_Latn"]}], 0),
    ([LLM | {"languages": ["cat_Latn"]}, LLM], 2),
])  # fmt: skip
def test_which_backend_is_asked(room: Room, entries: list[dict[str, Any]], calls: int) -> None:
    assert counted(room, *entries).calls == calls


def test_memories_save_calls(room: Room, tmp_path: Path) -> None:
    assert counted(room, memory(tmp_path, "One  House"), LLM).calls == 1


def test_stored_answers_are_told(chat: ChatServer, room: Room) -> None:
    runtime = TeacherRuntime(base_url=chat.base_url)
    entry = BackendConfig.model_validate(LLM)
    open_backends([entry], room, runtime)[0].translate("eng_Latn", "ast_Latn", ["one house"])
    found = counted(room, LLM, runtime=runtime)
    assert (found.calls, found.cached) == (1, 1)
    anew = counted(room, LLM, runtime=runtime.model_copy(update={"resume": "never"}))
    assert (anew.calls, anew.cached) == (2, 0)


def test_a_local_model(nllb: Path, room: Room) -> None:
    entry = {"kind": "seq2seq", "family": "nllb", "model": f"path:{nllb}", "max_new_tokens": 24}
    runtime = TeacherRuntime(device="cpu", threads=1)
    before = counted(room, entry, runtime=runtime)
    assert (before.calls, before.cached, before.completion_tokens) == (2, 0, 48)
    opened = open_backends([BackendConfig.model_validate(entry)], room, runtime)[0]
    opened.translate("eng_Latn", "ast_Latn", TEXTS)
    after = counted(room, entry, runtime=runtime)
    assert (after.calls, after.cached, after.prompt_tokens, after.money) == (0, 2, 0, None)


def test_a_model_that_is_not_here_is_not_fetched(room: Room) -> None:
    entry = {"kind": "seq2seq", "family": "m2m", "model": "hf:nobody/has-this-model"}
    assert counted(room, entry).calls == 2


def test_steps_estimate_by_language(tmp_path: Path, room: Room) -> None:
    rows = [prompt(0), prompt(1), prompt(1, language="cat_Latn", text="ya")]
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn", "cat_Latn"], "backends": [LLM]}
    )
    assert PROMPTS.estimate is not None and EXPLANATIONS.estimate is not None
    given = inputs(tmp_path, prompts=rows, explanations=[])
    assert PROMPTS.estimate(given, config, TeacherRuntime(), room.ledger).calls == 3
    assert EXPLANATIONS.estimate(given, config, TeacherRuntime(), room.ledger) == Estimate()


def test_a_second_source_row_costs_nothing(tmp_path: Path, room: Room) -> None:
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": [LLM]}
    )
    twin = prompt(0, prompt_id="made:twin", text="another request")
    assert PROMPTS.estimate is not None
    given = inputs(tmp_path, prompts=[prompt(0), twin])
    assert PROMPTS.estimate(given, config, TeacherRuntime(), room.ledger).calls == 1


@pytest.mark.parametrize(("entries", "light"), [
    ([{"kind": "apertium"}], True), ([{"kind": "apertium"}, LLM], False),
])  # fmt: skip
def test_light(entries: list[dict[str, Any]], light: bool) -> None:
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": entries}
    )
    assert PROMPTS.light is not None
    assert PROMPTS.light(config) is light

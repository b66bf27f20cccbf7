"""Translation steps with packs: locks, local names, what is left and what is said of it."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.generation.making import explanation, inputs, prompt
from tests.generation.translation.conftest import ChatServer
from tests.generation.translation.stepping import (
    APERTIUM,
    LLM_ENTRY,
    NAMED,
    localised,
    memory,
    new,
    signals,
    unit,
)

from whyguard.core.refs import Resolver, keyed_config
from whyguard.core.steps import Room
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.step import EXPLANATIONS, PROMPTS, TranslateConfig


def test_glossary_and_culture(tmp_path: Path, room: Room, chat: ChatServer) -> None:
    result = localised(tmp_path, room, chat, LLM_ENTRY, glossary=True, culture=True)
    first, second = new(result)
    assert chat.asked == {"⟦0⟧ of ⟦1⟧ knows ⟦2⟧.": 1, "Nothing to keep.": 1}
    assert "Uviéu" in first["text"] and "phishing" in first["text"]
    assert first["edits"][1:] == ["place: London -> Uviéu"]
    assert first["edits"][0].startswith("name: John -> ")
    assert second["edits"] == []
    assert signals(first)["glossary_violations"] == 0.0
    assert signals(second)["glossary_violations"] is None
    assert result.notes["packs"] == {"ast_Latn": "not reviewed"}
    assert result.notes["edits"]["ast_Latn"]["place: London -> Uviéu"] == 1


def test_a_violated_lock_is_a_signal(tmp_path: Path, room: Room, chat: ChatServer) -> None:
    chat.say = lambda text, system: "<translation>Daqué sobre ⟦0⟧.</translation>"
    first = new(localised(tmp_path, room, chat, LLM_ENTRY, glossary=True, culture=True))[0]
    assert signals(first)["glossary_violations"] == 1.0
    assert signals(first)["lost_placeholders"] == 2.0
    assert len(first["edits"]) == 1


def test_what_people_wrote_is_not_edited(tmp_path: Path, room: Room, chat: ChatServer) -> None:
    human = unit(0, source_language="eng_Latn", source=NAMED, text="Xuan Ruiz sabe del engañu.")
    store = memory(tmp_path / "m", human)
    result = localised(tmp_path, room, chat, store, LLM_ENTRY, glossary=True, culture=True)
    first = new(result)[0]
    assert (first["text"], first["edits"]) == ("Xuan Ruiz sabe del engañu.", [])
    assert signals(first)["glossary_violations"] == 1.0
    assert signals(first)["lost_placeholders"] is None


def test_without_packs_nothing_is_masked(tmp_path: Path, room: Room, chat: ChatServer) -> None:
    result = localised(tmp_path, room, chat, LLM_ENTRY)
    assert NAMED in chat.asked
    assert signals(new(result)[0])["glossary_violations"] is None
    assert "packs" not in result.notes


def test_explanations_with_glossary_and_culture(
    tmp_path: Path, room: Room, chat: ChatServer
) -> None:
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": [LLM_ENTRY],
         "glossary": True, "culture": True}
    )  # fmt: skip
    rows = [explanation(0, text="It asks for the phishing of John.")]
    runtime = TeacherRuntime(base_url=chat.base_url)
    result = EXPLANATIONS.run(inputs(tmp_path, explanations=rows), config, runtime, room)
    row = new(result)[0]
    prompts = localised(tmp_path / "other", room, chat, LLM_ENTRY, glossary=True, culture=True)
    name = new(prompts)[0]["edits"][0].removeprefix("name: John -> ")
    assert "phishing" in row["text"] and name in row["text"]
    assert signals(row)["glossary_violations"] == 0.0
    assert result.notes["edits"] == {"ast_Latn": {f"name: John -> {name}": 1}}


def test_a_rationale_finds_its_family_through_the_prompts(
    tmp_path: Path, room: Room, chat: ChatServer
) -> None:
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": [LLM_ENTRY], "culture": True}
    )
    runtime, texts = TeacherRuntime(base_url=chat.base_url), []
    rows = [prompt(n, prompt_id=f"row-{n}", text="Ask of John.") for n in range(6)]
    told = [explanation(n, prompt_id=f"row-{n}", text="It is of John.") for n in range(6)]
    given = inputs(tmp_path, prompts=rows, explanations=told)
    made = new(PROMPTS.run({"prompts": given["prompts"]}, config, runtime, room))
    beside = new(EXPLANATIONS.run(given, config, runtime, room))
    for one, other in zip(made, beside, strict=True):
        name = one["edits"][0].removeprefix("name: John -> ")
        assert name in other["text"]
        texts.append(name)
    assert len(set(texts)) > 1
    assert EXPLANATIONS.optional == {"prompts"}


def test_a_rationale_leaves_what_its_prompt_left(
    tmp_path: Path, room: Room, chat: ChatServer
) -> None:
    """The rationale hangs on the English prompt; the one in its own language counts."""
    config = TranslateConfig.model_validate(
        {"source": "spa_Latn", "languages": ["ast_Latn"], "backends": [LLM_ENTRY], "culture": True}
    )
    spanish = prompt(0, language="spa_Latn", text="Juan Sin Tierra en Madrid")
    told = [explanation(0, "spa_Latn", text="Trata de Juan y Madrid.")]
    given = inputs(tmp_path, prompts=[prompt(0), spanish], explanations=told)
    runtime = TeacherRuntime(base_url=chat.base_url)
    EXPLANATIONS.run(given, config, runtime, room)
    alone = {"explanations": given["explanations"]}
    EXPLANATIONS.run(alone, config, runtime, room)
    assert list(chat.asked) == ["Trata de Juan y ⟦0⟧.", "Trata de ⟦0⟧ y ⟦1⟧."]


def test_what_was_left_is_in_the_notes(tmp_path: Path, room: Room, chat: ChatServer) -> None:
    texts = ["John’s house", "In an emergency call 911.", "The year 911."]
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": [LLM_ENTRY], "culture": True}
    )
    rows = [prompt(n, text=text) for n, text in enumerate(texts)]
    runtime = TeacherRuntime(base_url=chat.base_url)
    result = PROMPTS.run(inputs(tmp_path, prompts=rows), config, runtime, room)
    assert set(chat.asked) == set(texts)
    assert result.notes["not_edited"] == {
        "ast_Latn": {"help lines left (unreviewed)": 1, "names left (possessive)": 1}
    }
    assert "edits" not in result.notes


def test_packs_are_part_of_the_key(tmp_path: Path) -> None:
    base = {"source": "spa_Latn", "languages": ["ast_Latn"], "backends": [APERTIUM]}
    plain = TranslateConfig.model_validate(base)
    assert plain.packs is None
    shipped = TranslateConfig.model_validate(base | {"culture": True})
    keyed = keyed_config(shipped, Resolver(tmp_path), "translate")
    assert keyed["packs"].startswith("sha256:")
    with pytest.raises(ValidationError, match="'packs' only with"):
        TranslateConfig.model_validate(base | {"packs": str(tmp_path)})

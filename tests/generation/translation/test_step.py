"""Translation of prompts and explanations: memory first, then the engine, drops for the rest."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.generation.making import counted, explanation, inputs, prompt
from tests.generation.translation.conftest import ChatServer
from tests.generation.translation.stepping import (
    APERTIUM,
    LLM_ENTRY,
    NAMED,
    localised,
    memory,
    new,
    run,
    signals,
    unit,
)
from tests.support import needs

from whyguard.core.errors import ConfigError, DataError, UnknownLanguageError
from whyguard.core.recipe import load_recipe
from whyguard.core.steps import Input, Room
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.step import EXPLANATIONS, PROMPTS, TranslateConfig

SPANISH = [prompt(n, language="spa_Latn", text=f"La casa {n} es vieja.") for n in range(4)]
ENGLISH = [prompt(n) for n in range(4)]


def test_human_units(tmp_path: Path, room: Room) -> None:
    store = memory(tmp_path / "m", *[unit(n) for n in range(3)])
    result = run(tmp_path, room, [*ENGLISH, *SPANISH], store)
    rows = new(result)
    assert [row["text"] for row in rows] == [f"La casa {n} ye vieya." for n in range(3)]
    first = rows[0]
    assert first["prompt_id"] == "made:000-h:ast_Latn"
    assert first["translation_of"] == "made:000-h:spa_Latn"
    assert first["translator"] == "Ana (native)"
    assert (first["family_id"], first["split"]) == ("made:000-h", "train")
    assert signals(first) == {
        "unknown_word_share": None, "length_ratio": 1.0, "lost_placeholders": None,
        "glossary_violations": None,
    }  # fmt: skip
    assert counted(result.drops) == {"no_translation": 1}
    assert result.drops["row_id"].to_list() == ["made:003-h:spa_Latn>ast_Latn"]
    assert result.read == result.rows.height + result.drops.height == 12
    assert result.notes["translators"] == {"ast_Latn": {"Ana (native)": 3, "none": 1}}
    assert result.notes["memories"] == {"memory.jsonl": {"read": 3, "units": 3, "dropped": 0}}


def test_given_rows_stay_as_they_are(tmp_path: Path, room: Room) -> None:
    store = memory(tmp_path / "m", unit(0))
    result = run(tmp_path, room, [*ENGLISH, *SPANISH], store)
    given = inputs(tmp_path / "again", prompts=[*ENGLISH, *SPANISH])["prompts"].rows
    assert result.rows.head(8).equals(given)


def test_machine_units_keep_their_count_and_name(tmp_path: Path, room: Room) -> None:
    store = memory(tmp_path / "m", unit(0, unknown_words=1, translator="apertium 3"))
    row = new(run(tmp_path, room, SPANISH, store))[0]
    assert row["translator"] == "apertium 3"
    assert signals(row)["unknown_word_share"] == pytest.approx(1 / 5)


def test_memory_first_then_the_engine(tmp_path: Path, room: Room) -> None:
    needs("apertium")
    store = memory(tmp_path / "m", unit(1, text="Human words."))
    result = run(tmp_path, room, SPANISH, store, APERTIUM)
    rows = new(result)
    assert rows[1]["text"] == "Human words."
    assert [row["translator"].split()[0] for row in rows] == ["apertium", "Ana", *["apertium"] * 2]
    assert signals(rows[0]).keys() == signals(rows[1]).keys()
    assert signals(rows[0])["lost_placeholders"] == 0.0
    assert result.drops.height == 0
    assert sum(result.notes["translators"]["ast_Latn"].values()) == 4


def test_the_engine_is_not_needed_where_the_memory_has_all(
    tmp_path: Path, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whyguard.generation.translation import apertium

    monkeypatch.setenv("PATH", "/nowhere")
    apertium._installed_modes.cache_clear()
    store = memory(tmp_path / "m", *[unit(n) for n in range(4)])
    try:
        assert len(new(run(tmp_path, room, SPANISH, store, APERTIUM))) == 4
    finally:
        apertium._installed_modes.cache_clear()


def test_a_translation_that_is_there_is_not_made_again(tmp_path: Path, room: Room) -> None:
    native = prompt(0, language="ast_Latn", text="Escribióla una persona.")
    store = memory(tmp_path / "m", *[unit(n) for n in range(4)])
    result = run(tmp_path, room, [*SPANISH, native], store)
    texts = [row["text"] for row in new(result)]
    assert texts[0] == "Escribióla una persona." and len(texts) == 4
    assert result.read == result.rows.height == 8


def test_no_rows_of_the_source_language(tmp_path: Path, room: Room) -> None:
    store, other = memory(tmp_path / "m", unit(0)), prompt(9, language="cat_Latn")
    with pytest.raises(ConfigError, match=r"rows in spa_Latn\n.*cat_Latn \(1\), eng_Latn \(4\)"):
        run(tmp_path, room, [*ENGLISH, other], store)
    nothing = run(tmp_path / "none", room, [], store)
    assert (nothing.rows.height, nothing.drops.height, nothing.read) == (0, 0, 0)


def test_a_second_source_row_of_a_family_is_a_drop(tmp_path: Path, room: Room) -> None:
    twin = SPANISH[0] | {"prompt_id": "made:twin", "text": "Otra casa."}
    store = memory(tmp_path / "m", *[unit(n) for n in range(4)])
    result = run(tmp_path, room, [*SPANISH, twin], store)
    assert len(new(result)) == 4 and counted(result.drops) == {"second_source_row": 1}
    (reason,) = result.drops["reason"].to_list()
    assert "made:000-h:spa_Latn is translated, made:twin is not" in reason
    assert result.drops["row_id"].to_list() == ["made:twin>ast_Latn"]
    assert result.read == result.rows.height + result.drops.height == 10


def test_ids_twice_are_refused_before_anything_is_asked(
    tmp_path: Path, room: Room, chat: ChatServer
) -> None:
    given = inputs(tmp_path, prompts=ENGLISH)["prompts"].artefacts
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ast_Latn"], "backends": [LLM_ENTRY]}
    )
    runtime = TeacherRuntime(base_url=chat.base_url)
    with pytest.raises(DataError, match="primary_key"):
        PROMPTS.run({"prompts": Input((*given, *given))}, config, runtime, room)
    assert not chat.asked


def test_all_ways_are_checked_before_anything_is_asked(
    tmp_path: Path, room: Room, chat: ChatServer
) -> None:
    needs("apertium")
    only = LLM_ENTRY | {"languages": ["cat_Latn"]}
    with pytest.raises(ConfigError, match=r"backends\.1 \(apertium\)[\s\S]*`pivot: spa_Latn`"):
        localised(tmp_path, room, chat, only, APERTIUM, languages=["cat_Latn", "ast_Latn"])
    assert not chat.asked


def test_a_way_that_no_text_needs_is_not_checked(tmp_path: Path, room: Room) -> None:
    units = [unit(n, language="hin_Deva", text="घर") for n in range(4)]
    store = memory(tmp_path / "m", *units)
    result = run(tmp_path, room, SPANISH, store, APERTIUM, languages=("hin_Deva",))
    assert len(new(result, "hin_Deva")) == 4


def test_the_share_of_unknown_words_is_a_share(tmp_path: Path, room: Room) -> None:
    store = memory(tmp_path / "m", unit(0, unknown_words=9))
    assert signals(new(run(tmp_path, room, SPANISH, store))[0])["unknown_word_share"] == 1.0


def test_bad_rows_of_a_memory_are_counted(tmp_path: Path, room: Room) -> None:
    good = [unit(n) for n in range(4)]
    store = memory(tmp_path / "m", *good, unit(9, text=" "), tail="{\n")
    result = run(tmp_path, room, SPANISH, store)
    assert counted(result.drops) == {"broken_json": 1, "memory_no_text": 1}
    assert set(result.drops["where"]) == {"memory.jsonl:5", "memory.jsonl:6"}
    assert result.read == result.rows.height + result.drops.height == 10


def test_the_first_memory_wins(tmp_path: Path, room: Room) -> None:
    one = memory(tmp_path / "a", unit(0, text="First.")) | {"translator": "A"}
    two = memory(tmp_path / "b", unit(0, text="Second."), unit(1)) | {"translator": "B"}
    rows = new(run(tmp_path, room, SPANISH, one, two))
    assert [(row["text"], row["translator"]) for row in rows] == [
        ("First.", "A"), ("La casa 1 ye vieya.", "B")
    ]  # fmt: skip


def test_explanations(tmp_path: Path, room: Room) -> None:
    rows = [explanation(n, "spa_Latn", text=f"La casa {n} es vieja.") for n in range(4)]
    store = memory(tmp_path / "m", *[unit(n) for n in range(3)])
    config = TranslateConfig.model_validate(
        {"source": "spa_Latn", "languages": ["ast_Latn"], "backends": [store]}
    )
    given = inputs(tmp_path, explanations=[explanation(0), *rows])
    result = EXPLANATIONS.run(given, config, TeacherRuntime(), room)
    made = new(result)[0]
    assert made["translation_of"] == "made:000-h:eng_Latn:spa_Latn"
    assert made["generator"] == "authored:made"
    assert (made["prompt_id"], made["language"]) == ("made:000-h:eng_Latn", "ast_Latn")
    assert counted(result.drops) == {"no_translation": 1}
    assert result.read == 9


WIDE = {"kind": "memory", "file": "m.csv", "columns": {"spa_Latn": "es", "glg_Latn": "gl"}}
BASE: dict[str, Any] = {"source": "spa_Latn", "languages": ["ast_Latn"], "backends": [APERTIUM]}


@pytest.mark.parametrize(("other", "match"), [
    ({"languages": ["spa_Latn"]}, "other than the source"),
    ({"languages": ["ast_Latn", "ast_Latn"]}, "not 'ast_Latn' twice"),
    ({"languages": []}, "at least 1 item"),
    ({"backends": []}, "at least 1 item"),
    ({"backends": [{"kind": "memory"}]}, "'file' for a backend of kind memory"),
    ({"backends": [{"kind": "apertium", "file": "x"}]}, "and for no other"),
    ({"backends": [{"kind": "memory", "file": "x", "columns": {"ast_Latn": "a", "es": "b"}}]},
     "a column of the source"),
    ({"backends": [WIDE]}, "a column of the language ast_Latn"),
    ({"backends": [WIDE, WIDE]}, "a column of the language ast_Latn"),
    ({"backends": [APERTIUM | {"licence": "MIT"}]}, "'licence' for a backend of kind memory"),
    ({"backends": [{"kind": "deepl"}]}, "Input should be"),
])  # fmt: skip
def test_bad_configs(other: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        TranslateConfig.model_validate(BASE | other)


def test_another_backend_may_have_the_language() -> None:
    config = TranslateConfig.model_validate(BASE | {"backends": [WIDE, APERTIUM]})
    assert config.languages == ("ast_Latn",)


@pytest.mark.parametrize(("columns", "match"), [
    ("{spa_Latn: es, ast_Latin: a, ast_Latn: b}", "ast_Latin"),
    ("{spa_Latn: es, glg_Latn: gl}", "a column of the language ast_Latn"),
])  # fmt: skip
def test_columns_are_checked_by_the_recipe(tmp_path: Path, columns: str, match: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"""recipe: 1
name: bad
steps:
  prompts:
    step: curation.read
    config: {{sources: [{{preset: starter, name: starter}}]}}
  local:
    step: generation.translate
    inputs: {{prompts: prompts}}
    config:
      source: spa_Latn
      languages: [ast_Latn]
      backends: [{{kind: memory, file: m.csv, columns: {columns}}}]
""", "utf-8")  # fmt: skip
    with pytest.raises((ConfigError, UnknownLanguageError), match=match):
        load_recipe(path)


def test_licences_of_memories_are_recorded(tmp_path: Path, room: Room) -> None:
    store = memory(tmp_path / "m", unit(0)) | {"licence": "CC-BY-4.0"}
    other = memory(tmp_path / "n", unit(1))
    result = run(tmp_path, room, SPANISH, store, other)
    assert result.licences == ("memory memory.jsonl: CC-BY-4.0",)


def test_an_unknown_language_is_an_error_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("""recipe: 1
name: bad
steps:
  prompts:
    step: curation.read
    config: {sources: [{preset: starter, name: starter}]}
  local:
    step: generation.translate
    inputs: {prompts: prompts}
    config: {source: es, languages: [ast_Latn], backends: [{kind: apertium}]}
""", "utf-8")  # fmt: skip
    with pytest.raises(Exception, match=r"local\.config\.source\n.*a known code") as caught:
        load_recipe(path)
    assert isinstance(caught.value, (ConfigError, LookupError))


def test_multijail_as_memory(tmp_path: Path, room: Room, shared_data: Path) -> None:
    import csv

    path = shared_data / "multijail" / "MultiJail_shared.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    prompts = [prompt(n, text=row["en"], language="eng_Latn") for n, row in enumerate(rows[:20])]
    prompts.append(prompt(99, text="a request that nobody translated"))
    store = {"kind": "memory", "file": str(path), "translator": "native speakers",
             "columns": {"eng_Latn": "en", "ben_Beng": "bn", "swh_Latn": "sw"}}  # fmt: skip
    config = TranslateConfig.model_validate(
        {"source": "eng_Latn", "languages": ["ben_Beng", "swh_Latn"], "backends": [store]}
    )
    result = PROMPTS.run(inputs(tmp_path, prompts=prompts), config, TeacherRuntime(), room)
    assert counted(result.drops) == {"no_translation": 2}
    assert result.rows.height == 21 + 40
    assert result.read == 21 + 42


def test_an_engine_that_refuses_gives_way_to_the_next(
    tmp_path: Path, room: Room, chat: ChatServer
) -> None:
    said = {NAMED: "I will not.", "Nothing to keep.": "<translation>sí</translation>"}
    chat.say = lambda text, system: said[text]
    other = {"kind": "llm", "teacher": {"kind": "openai", "model_name": "other"}}
    result = localised(tmp_path, room, chat, LLM_ENTRY, other)
    assert [row["text"] for row in new(result)] == ["sí"]
    assert counted(result.drops) == {"no_translation": 1}
    reasons = {"no translation in the answer": 1}
    assert list(result.notes["untranslated"].values()) == [reasons, reasons]
    assert chat.asked == {NAMED: 2, "Nothing to keep.": 1}
    assert [use.reference for use in result.models] == ["m", "other"]


def test_a_local_model_through_a_pivot(tmp_path: Path, room: Room, nllb: Path) -> None:
    entry = {"kind": "seq2seq", "family": "nllb", "model": f"path:{nllb}", "max_new_tokens": 24,
             "pivot": "eng_Latn"}  # fmt: skip
    config = TranslateConfig.model_validate(
        {"source": "spa_Latn", "languages": ["ast_Latn"], "backends": [entry]}
    )
    rows = [prompt(0, language="spa_Latn", text="La casa es vieja.")]
    runtime = TeacherRuntime(device="cpu", threads=1)
    result = PROMPTS.run(inputs(tmp_path, prompts=rows), config, runtime, room)
    row = new(result)[0]
    assert row["text"] == "La casa ye vieya."
    assert row["translator"].endswith(" via eng_Latn")
    assert result.models[0].role == "translator"

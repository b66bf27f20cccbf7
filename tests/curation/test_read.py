import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from rich.console import Console

from whyguard.core.engine import Engine, Finished
from whyguard.core.errors import ConfigError, DataError, MissingFileError, UnknownLanguageError
from whyguard.core.progress import Progress
from whyguard.core.recipe import load_recipe
from whyguard.core.steps import Workspace
from whyguard.curation.read import ReadConfig, Source

STARTER = {"preset": "starter"}


def _run(folder: Path, config: dict[str, Any], data: Path | None = None,
         progress: Progress | None = None) -> Finished:  # fmt: skip
    recipe = {"recipe": 1, "name": "t", "steps": {"read": {"step": "curation.read",
                                                           "config": config}}}  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    shown = progress or Progress.silent()
    engine = Engine(Workspace(folder / "workspace"), data or folder, shown)
    return engine.run(load_recipe(path))[0]


def _own(**changes: Any) -> dict[str, Any]:
    return {"name": "own", "file": "own.csv", "licence": "CC0-1.0", "label_sense": "request",
            "labels": {"bad": "harmful", "ok": "unharmful"}} | changes  # fmt: skip


def test_starter_pack_becomes_prompts(tmp_path: Path) -> None:
    artefact = _run(tmp_path, {"sources": [STARTER]}).artefact
    rows = artefact.rows()
    facts = artefact.manifest.notes["sources"]["starter"]
    assert facts["read"] == facts["kept"] == 4 * facts["rows"] == rows.height
    assert artefact.manifest.licences == ("starter: Apache-2.0",)
    first = rows.row(0, named=True)
    assert first["prompt_id"] == "starter:s1-01-h:eng_Latn"
    assert (first["family_id"], first["group_id"]) == ("starter:s1-01-h", "starter:s1-01")
    spanish = rows.row(1, named=True)
    assert (spanish["translation_of"], spanish["translator"]) == (first["prompt_id"], "authored")
    assert "S4" not in rows["categories"].explode().to_list()


def test_each_file_is_balanced_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,label\none,bad\ntwo,ok\nfour,what\n", "utf-8")
    said = io.StringIO()
    _run(tmp_path, {"sources": [_own()]}, progress=Progress(Console(file=said, width=200)))
    assert "  own: read 3 = kept 2 + dropped 1 (label_not_mapped 1)\n" in said.getvalue()


def test_csv_source_counts_and_keeps_everything_in_sight(tmp_path: Path) -> None:
    text = "key,text,label\nk1,one,bad\nk2,two,ok\nk3,,ok\nk4,four,what\nk5,five,ok\nk6,six,ok,x\n"
    (tmp_path / "own.csv").write_text(text, "utf-8")
    source = _own(columns={"id": "key"}, language="spa_Latn")
    artefact = _run(tmp_path, {"sources": [source]}).artefact
    rows, drops = artefact.rows(), artefact.drops()
    assert rows["prompt_id"].to_list() == [f"own:{k}:spa_Latn" for k in ("k1", "k2", "k5")]
    assert rows["label"].to_list() == ["harmful", "unharmful", "unharmful"]
    assert drops.select("row_id", "rule", "where").rows() == [
        ("own:k3:spa_Latn", "empty_text", "own.csv:4"),
        ("own:k4", "label_not_mapped", "own.csv:5"),
        ("own:line-7", "wrong_field_count", "own.csv:7"),
    ]
    assert json.loads(drops["row"][1]) == {"key": "k4", "text": "four", "label": "what"}
    assert artefact.manifest.notes["sources"]["own"] == {
        "rows": 6,
        "read": 6,
        "kept": 3,
        "dropped": {"empty_text": 1, "label_not_mapped": 1, "wrong_field_count": 1},
        "ids": "column 'key'",
    }
    assert artefact.manifest.counts.read == 6


def test_public_files_add_up(tmp_path: Path, shared_data: Path) -> None:
    multijail = {"preset": "multijail", "file": "multijail/MultiJail_shared.csv"}
    sources = [
        {"preset": "openai_moderation", "file": "openai_moderation/samples_shared.jsonl"},
        {"preset": "xstest", "file": "xstest/xstest_shared.csv"},
        {"preset": "advbench", "file": "advbench/advbench_behaviors.csv"},
        multijail,
        multijail | {"columns": {"text": "jv"}},
    ]
    artefact = _run(tmp_path, {"sources": sources}, shared_data).artefact
    table = artefact.manifest.notes["sources"]
    assert [facts["read"] for facts in table.values()] == [798, 186, 520, 157, 157]
    for facts in table.values():
        assert facts["read"] == facts["kept"] + sum(facts["dropped"].values())
    assert artefact.manifest.counts.read == artefact.rows().height + artefact.drops().height
    families = artefact.rows().filter(source="multijail").group_by("family_id").len()
    assert families["len"].unique().to_list() == [2]
    senses = artefact.rows().filter(source="openai_moderation")["label_sense"].unique()
    assert senses.to_list() == ["content"]


def test_declared_languages_are_accepted_and_others_dropped(tmp_path: Path) -> None:
    text = "text,label,lang\na,ok,qaa_Latn\nb,ok,qaa_Latn\nc,ok,spa_Latn\n"
    (tmp_path / "own.csv").write_text(text, "utf-8")
    source = Source.model_validate(_own(columns={"language": "lang"}))
    config = ReadConfig(sources=(source,), languages=("eng_Latn", "qaa_Latn"))
    assert config.languages == ("eng_Latn", "qaa_Latn")
    recipe_source = _own(columns={"language": "lang"})
    recipe = {
        "recipe": 1,
        "name": "t",
        "languages": [
            {"code": "qaa_Latn", "name": "Private", "autonym": "Private", "bcp47": "qaa"}
        ],
        "steps": {
            "read": {
                "step": "curation.read",
                "config": {"sources": [recipe_source], "languages": ["eng_Latn", "qaa_Latn"]},
            }
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    engine = Engine(Workspace(tmp_path / "workspace"), tmp_path, Progress.silent())
    artefact = engine.run(load_recipe(path))[0].artefact
    assert artefact.rows()["language"].to_list() == ["qaa_Latn", "qaa_Latn"]
    assert artefact.drops()["rule"].to_list() == ["unknown_language"]


def test_bad_files_reach_the_user_as_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"sources\[0\]\.file: own\.csv"):
        _run(tmp_path, {"sources": [_own()]})
    (tmp_path / "own.csv").write_text("txt,label\na,ok\n", "utf-8")
    with pytest.raises(DataError, match=r"(?s)own\.csv:1.*a column 'text'.*'txt', 'label'"):
        _run(tmp_path, {"sources": [_own()]})
    (tmp_path / "own.csv").write_text("text,label\na,yes\n", "utf-8")
    with pytest.raises(DataError, match=r"(?s)own\.csv:2.*mapped label value: 'bad', 'ok'.*'yes'"):
        _run(tmp_path, {"sources": [_own()]})


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"prompt": "a", "S": 0}\n', "utf-8")
    with pytest.raises(DataError, match=r"(?s)at least one row.*'unknown_label': 1"):
        _run(tmp_path, {"sources": [{"preset": "openai_moderation", "file": "own.jsonl"}]})


def test_sources_whose_ids_collide(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,label\na,ok\n", "utf-8")
    with pytest.raises(ConfigError, match=r"1 that repeat, first 'own:1:eng_Latn'"):
        _run(tmp_path, {"sources": [_own(), _own()]})


def test_one_name_with_ids_of_two_kinds_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("id,text,label\n2,a,ok\n1,b,ok\n", "utf-8")
    (tmp_path / "more.csv").write_text("text,label\nc,ok\nd,ok\n", "utf-8")
    with_ids, without = _own(columns={"id": "id"}), _own(file="more.csv", language="spa_Latn")
    match = r"(?s)sources named 'own'.*column 'id', and in more\.csv row numbers"
    with pytest.raises(ConfigError, match=match):
        _run(tmp_path, {"sources": [with_ids, without]})
    artefact = _run(tmp_path, {"sources": [with_ids, without | {"name": "more"}]}).artefact
    assert artefact.rows().height == 4


def test_rows_of_an_evaluation_source_are_of_split_test(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,label\na,ok\nb,bad\n", "utf-8")
    sources = [_own(), _own(name="held", use="evaluation")]
    rows = _run(tmp_path, {"sources": sources}).artefact.rows()
    assert rows["split"].to_list() == [None, None, "test", "test"]


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        ({"preset": "xtest", "file": "a.csv"}, "did you mean 'xstest'"),
        ({"preset": "xstest"}, "Field required"),
        ({"preset": "xstest", "file": "a.csv", "labels": {"a": "harmful"}}, "which knows them"),
        ({"preset": "xstest", "file": "a.csv", "columns": {"group": "g"}}, "no use for it"),
        (_own(licence=None), "the licence of the file"),
        (_own(label_sense=None), "request or content"),
        (_own(label="harmful"), "not both"),
        (_own(labels={"a": "bad"}), "'harmful' or 'unharmful'"),
        (_own(categories={"a": "S99"}), "codes S1..S14, not 'S99'"),
        (_own(name="Own:1"), "should match pattern"),
        (_own(colums={}), "Extra inputs"),
    ],
)
def test_sources_that_do_not_make_sense(source: dict[str, Any], pattern: str) -> None:
    with pytest.raises(ValidationError, match=pattern):
        Source.model_validate(source)


def test_recipe_errors_name_key_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)recipe\.yaml:.*unknown key 'txt'.*mean 'text'"):
        _run(tmp_path, {"sources": [_own(columns={"txt": "a"})]})
    with pytest.raises(
        ConfigError, match=r"(?s)sources\.0\.language.*not 'ast_latn': did you mean"
    ):
        _run(tmp_path, {"sources": [_own(language="ast_latn")]})
    with pytest.raises(ConfigError, match="known language code for source 'own', not 'qaa_Latn'"):
        _run(tmp_path, {"sources": [_own(language="qaa_Latn")]})
    with pytest.raises(ConfigError, match="a language of 'languages:' for source 'own'"):
        _run(tmp_path, {"sources": [_own()], "languages": ["spa_Latn"]})
    own = _own(columns={"language": "lang"})
    with pytest.raises(UnknownLanguageError, match=r"(?s)languages\.0.*'spanish'.*'spa_Latn'"):
        _run(tmp_path, {"sources": [own], "languages": ["spanish"]})


def test_yaml_truth_values_as_label_keys() -> None:
    source = Source.model_validate(_own(labels={True: "harmful", False: "unharmful", 2: "harmful"}))
    assert set(source.labels) == {"true", "false", "2"}


def test_a_source_survives_its_own_dump() -> None:
    given = {"preset": "multijail", "file": "a.csv", "columns": {"text": "sw", "id": None}}
    source = Source.model_validate(given)
    assert (source.name, source.language, source.columns.id) == ("multijail", "swh_Latn", None)
    assert Source.model_validate(source.model_dump(mode="json")) == source

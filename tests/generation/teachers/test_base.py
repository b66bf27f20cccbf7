"""Teacher configs are checked before anything runs, and keyed by what shapes the text."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.generation.making import make_room

from whyguard.core.errors import ConfigError
from whyguard.core.recipe import load_recipe
from whyguard.generation.teachers.authored import AuthoredTeacher, TemplateTeacher
from whyguard.generation.teachers.base import TeacherConfig, TeacherRuntime, distinct, open_teacher

GROUPS = str(Path(__file__).parents[3] / "curation/data/starter/groups.jsonl")


@pytest.mark.parametrize(("given", "match"), [
    ({"kind": "authored"}, "'file' for a teacher of kind authored"),
    ({"kind": "transformers"}, "'model' for a teacher"),
    ({"kind": "openai", "model": "path:x"}, "'model_name' for a teacher"),
    ({"kind": "oracle"}, "Input should be"),
    ({"kind": "template", "max_new_tokens": 0}, "greater than or equal to 1"),
    ({"kind": "template", "temperature": -0.1}, "greater than or equal to 0"),
    ({"kind": "template", "temperature": float("nan")}, "finite|greater"),
    ({"kind": "template", "samples": 0}, "greater than or equal to 1"),
    ({"kind": "template", "precision": "fp8"}, "fp32"),
    ({"kind": "template", "batch_size": 4}, "Extra inputs"),
])  # fmt: skip
def test_bad_configs(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        TeacherConfig.model_validate(given)


@pytest.mark.parametrize("given", [{"tries": 0}, {"deadline_seconds": 0}, {"backoff_seconds": -1}])
def test_bad_runtimes(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        TeacherRuntime.model_validate(given)


def test_each_kind_opens_its_teacher(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    authored = TeacherConfig(kind="authored", file=GROUPS)
    assert isinstance(open_teacher(authored, TeacherRuntime(), room), AuthoredTeacher)
    template = TeacherConfig(kind="template")
    assert isinstance(open_teacher(template, TeacherRuntime(), room), TemplateTeacher)
    with pytest.raises(ConfigError, match=r"runtime\.base_url"):
        open_teacher(TeacherConfig(kind="openai", model_name="m"), TeacherRuntime(), room)


def test_a_language_is_named_once() -> None:
    assert distinct(("a", "b")) == ("a", "b")
    with pytest.raises(ValueError, match="not 'a' twice"):
        distinct(("a", "b", "a"))


RECIPE = """recipe: 1
name: bad
steps:
  prompts:
    step: curation.read
    config: {sources: [{preset: starter, name: starter}]}
  traces:
    step: generation.trace
    inputs: {prompts: prompts}
    config: CONFIG
    runtime: RUNTIME
"""


@pytest.mark.parametrize(("config", "runtime", "match"), [
    ("{teacher: {kind: transformers}}", "{}", "'model' for a teacher of kind transformers"),
    ("{teacher: {kind: template}, limit: 0}", "{}", "greater than or equal to 1"),
    ("{teacher: {kind: template, modle: x}}", "{}", "did you mean 'model'"),
    ("{teacher: {kind: openai, model_name: m}}", "{trys: 2}", "did you mean 'tries'"),
    ("{teacher: {kind: template}}", "{}", "would write its reasoning from the label"),
])  # fmt: skip
def test_the_recipe_names_what_is_wrong(
    tmp_path: Path, config: str, runtime: str, match: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("CONFIG", config).replace("RUNTIME", runtime), "utf-8")
    with pytest.raises(ConfigError, match=match) as caught:
        load_recipe(path)
    assert "r.yaml:" in str(caught.value)

"""The engine: what is reused, what is not, and what is left after a failure."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.made_steps import CHANGE, READ, RECIPE, TRACE

from whyguard.core.engine import Engine, Finished, Planned, find_artefact, recipe_sha256
from whyguard.core.errors import MissingFileError, PartialError
from whyguard.core.progress import Progress
from whyguard.core.recipe import load_recipe
from whyguard.core.steps import Estimate, StepConfig, Workspace, always, step_key

Writer = Callable[[str], Path]
Run = Callable[[str], list[Finished]]


@pytest.fixture
def run(write_recipe: Writer, workspace: Workspace) -> Run:
    def runner(text: str) -> list[Finished]:
        path = write_recipe(text)
        return Engine(workspace, path.parent, Progress.silent()).run(load_recipe(path))

    return runner


def reused(done: list[Finished]) -> list[bool]:
    return [step.reused for step in done]


def test_a_second_run_reuses_everything_and_publishes_again(run: Run) -> None:
    first, second = run(RECIPE), run(RECIPE)
    assert (reused(first), reused(second)) == ([False] * 3, [True] * 3)
    assert [s.artefact.manifest for s in first] == [s.artefact.manifest for s in second]
    note = second[1].published[0].path
    assert note.read_text() == "published\n" * 2
    assert first[2].artefact.rows()["text"][0] == "placeholder 0!."


def test_drops_are_counted_and_read_is_kept_plus_dropped(run: Run) -> None:
    counts = run(RECIPE)[0].artefact.manifest.counts
    assert (counts.read, counts.kept, counts.dropped) == (5, 4, {"no_text": 1})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('suffix: "."', 'suffix: "?"', [True, True, False]),
        ('suffix: "!"', 'suffix: "?"', [True, False, False]),
        ('config: {suffix: "."}', 'config: {suffix: ".", weight: 2}', [True, True, False]),
        ('config: {suffix: "."}', 'config: {suffix: ".", weight: 1.0}', [True, True, True]),
        ("name: made\n", "name: other\ndescription: x\n", [True, True, True]),
        ("name: made\n", "name: made\nruntime: {batch_size: 3, threads: 1}\n", [True] * 3),
        ('suffix: "."}', 'suffix: "."}\n    runtime: {device: cpu}', [True, True, True]),
        ("quiet:", "renamed:", [True, True, True]),
        ("loud}", "read}", [True, True, False]),
        ("file: rows.jsonl", "file: rows.jsonl, language: ast_Latn", [False, False, False]),
    ],
)
def test_what_changes_the_key(run: Run, old: str, new: str, expected: list[bool]) -> None:
    run(RECIPE)
    assert old in RECIPE
    assert reused(run(RECIPE.replace(old, new))) == expected


def test_a_changed_file_misses_a_moved_one_does_not(run: Run, tmp_path: Path) -> None:
    first = run(RECIPE)
    (tmp_path / "sub").mkdir()
    moved = RECIPE.replace("file: rows.jsonl", "file: sub/moved.jsonl")
    (tmp_path / "sub" / "moved.jsonl").write_bytes((tmp_path / "rows.jsonl").read_bytes())
    assert reused(run(moved)) == [True] * 3
    with (tmp_path / "sub" / "moved.jsonl").open("a") as stream:
        stream.write(json.dumps({"id": "new", "text": "placeholder"}) + "\n")
    done = run(moved)
    assert reused(done) == [False] * 3
    assert done[2].artefact.manifest.counts.kept == first[2].artefact.manifest.counts.kept + 1


def test_equal_content_from_another_way_is_reused(run: Run, tmp_path: Path) -> None:
    run(RECIPE)
    extra = json.dumps({"id": "bad2", "text": ""}) + "\n"
    (tmp_path / "more.jsonl").write_text((tmp_path / "rows.jsonl").read_text() + extra)
    done = run(RECIPE.replace("rows.jsonl", "more.jsonl"))
    assert reused(done) == [False, True, True], "one drop more, the rows are equal"


TOLD = RECIPE + "  tell:\n    step: made.tell\n    inputs: {prompts: quiet}\n"


def test_a_step_of_lineage_sees_drops_that_rows_do_not_show(
    write_recipe: Writer, workspace: Workspace
) -> None:
    path = write_recipe(TOLD)
    engine, recipe = Engine(workspace, path.parent, Progress.silent()), load_recipe(path)
    first = engine.run(recipe)
    with (path.parent / "rows.jsonl").open("a") as stream:
        stream.write(json.dumps({"id": "bad2", "text": ""}) + "\n")
    second = engine.run(recipe)
    assert reused(second) == [False, True, True, False]
    told = second[3].artefact.manifest.inputs
    assert [use.key for use in told["lineage"]] == [
        second[n].artefact.manifest.key for n in (2, 1, 0)
    ]
    assert told["lineage"][2] != first[3].artefact.manifest.inputs["lineage"][2]
    assert states(engine.plan(recipe)) == ["stored"] * 4
    (second[3].artefact.folder / "manifest.json").unlink()
    assert states(engine.plan(recipe)) == ["stored", "stored", "stored", "new"]
    assert reused(engine.run(recipe)) == [True, True, True, False]
    assert reused(engine.run(recipe)) == [True] * 4


def test_lineage_names_what_two_ways_lead_to_once(run: Run) -> None:
    text = TOLD.replace("prompts: quiet}", "prompts: [quiet, loud, read, twin]}") + (
        '  twin:\n    step: made.change\n    inputs: {prompts: read}\n    config: {suffix: "!"}\n'
    )
    done = {step.id: step.artefact.manifest for step in run(text)}
    keys = [use.key for use in done["tell"].inputs["lineage"]]
    assert keys == [done[name].key for name in ("quiet", "loud", "read")], "twin is loud"


def test_a_new_step_version_misses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(RECIPE)
    newer = dataclasses.replace(CHANGE, version="2")
    monkeypatch.setattr("tests.core.made_steps.CHANGE", newer)
    assert reused(run(RECIPE)) == [True, False, False]


def test_a_failing_step_leaves_a_resumable_state(run: Run, workspace: Workspace) -> None:
    text = RECIPE.replace('suffix: "."', 'suffix: ".", fail_first: true')
    with pytest.raises(PartialError, match="stopped; run again"):
        run(text)
    assert list(workspace.store.rglob(".tmp-*")) == []
    assert len(list(workspace.store.rglob("manifest.json"))) == 2
    done = run(text)
    assert reused(done) == [True, True, False]
    assert done[2].artefact.manifest.notes == {"tries": 2}, "its scratch folder stayed"


def test_dead_drafts_are_swept(run: Run, workspace: Workspace) -> None:
    draft = workspace.store / "made.read" / ".tmp-999999999-x"
    draft.mkdir(parents=True)
    run(RECIPE)
    assert not draft.exists()


def test_missing_files_are_found_before_anything_runs(run: Run, workspace: Workspace) -> None:
    late = RECIPE + "  last:\n    step: made.read\n    config: {file: not_there.jsonl}\n"
    with pytest.raises(MissingFileError, match=r"steps\.last\.config\.file: not_there\.jsonl"):
        run(late)
    assert list(workspace.store.rglob("manifest.json")) == []


def states(planned: list[Planned]) -> list[str]:
    return [item.state.value for item in planned]


def test_plan_states(write_recipe: Writer, workspace: Workspace) -> None:
    path = write_recipe(RECIPE)
    engine = Engine(workspace, path.parent, Progress.silent())
    recipe = load_recipe(path)
    planned = engine.plan(recipe)
    assert states(planned) == ["new", "waits", "waits"]
    assert planned[0].estimate is not None
    size = (path.parent / "rows.jsonl").stat().st_size
    assert planned[0].estimate.completion_tokens == size
    assert not workspace.root.exists(), "no step is light: the plan writes nothing"
    engine.run(recipe)
    assert states(engine.plan(recipe)) == ["stored"] * 3
    changed = load_recipe(write_recipe(RECIPE.replace('suffix: "!"', 'suffix: "?"')))
    again = engine.plan(changed)
    assert states(again) == ["stored", "new", "waits"]
    assert again[1].estimate == Estimate(4, completion_tokens=10)


def test_a_plan_builds_what_is_light_to_count_what_follows(
    write_recipe: Writer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = dataclasses.replace(READ, light=always)
    monkeypatch.setattr("tests.core.made_steps.READ", light)
    path = write_recipe(RECIPE)
    engine, recipe = Engine(workspace, path.parent, Progress.silent()), load_recipe(path)
    assert states(engine.plan(recipe, build=False)) == ["new", "waits", "waits"]
    planned = engine.plan(recipe)
    assert states(planned) == ["built", "new", "waits"]
    assert planned[1].estimate == Estimate(4, completion_tokens=10)
    assert reused(engine.run(recipe)) == [True, False, False], "the run reuses what was built"


def test_an_estimate_may_do_without_some_inputs(
    write_recipe: Writer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = dataclasses.replace(CHANGE, estimate=lambda *given: Estimate(7),
                                estimate_from=frozenset())  # fmt: skip
    monkeypatch.setattr("tests.core.made_steps.CHANGE", blind)
    path = write_recipe(RECIPE)
    planned = Engine(workspace, path.parent, Progress.silent()).plan(load_recipe(path))
    assert [p.estimate for p in planned[1:]] == [Estimate(7)] * 2


def test_plan_finds_missing_files(write_recipe: Writer, workspace: Workspace) -> None:
    path = write_recipe(RECIPE.replace("rows.jsonl", "gone.jsonl"))
    with pytest.raises(MissingFileError, match=r"gone\.jsonl"):
        Engine(workspace, path.parent, Progress.silent()).plan(load_recipe(path))


def test_manifests_trace_their_inputs(run: Run, workspace: Workspace) -> None:
    done = run(RECIPE)
    use = done[2].artefact.manifest.inputs["prompts"][0]
    found = find_artefact(workspace.store, use)
    assert found is not None
    assert found.manifest == done[1].artefact.manifest
    assert find_artefact(workspace.store, use.model_copy(update={"key": "0" * 64})) is None


def test_logins_do_not_reach_a_manifest(run: Run) -> None:
    url = "https://user:hunter2@host/v1?api_key=abcdef"
    done = run(RECIPE.replace("name: made\n", f"name: made\nruntime: {{base_url: '{url}'}}\n"))
    text = (done[0].artefact.folder / "manifest.json").read_text()
    assert "hunter2" not in text
    assert "abcdef" not in text
    assert "https://***@host/v1?api_key=***" in text


def test_recipe_sha256_is_of_the_work_not_of_the_layout(write_recipe: Writer) -> None:
    plain = recipe_sha256(load_recipe(write_recipe(RECIPE)))
    assert recipe_sha256(load_recipe(write_recipe("# comment\n" + RECIPE))) == plain
    changed = RECIPE.replace('suffix: "."', 'suffix: "?"')
    assert recipe_sha256(load_recipe(write_recipe(changed))) != plain


def test_the_key_takes_in_name_version_schema_config_and_inputs(made: None) -> None:
    def key(step: Any = CHANGE, config: Any = None, inputs: Any = None) -> str:
        return step_key(step, config or {"a": 1}, inputs or {"x": ("h1", "h2")})

    others = [
        key(dataclasses.replace(CHANGE, name="made.other")),
        key(dataclasses.replace(CHANGE, version="2")),
        key(dataclasses.replace(CHANGE, output=TRACE.output)),
        key(config={"a": 2}),
        key(inputs={"x": ("h2", "h1")}),
        key(inputs={"y": ("h1", "h2")}),
    ]
    assert len({key(), *others}) == 7
    assert key(dataclasses.replace(CHANGE, summary="other")) == key()


def test_nan_cannot_enter_a_key() -> None:
    class Config(StepConfig):
        x: float

    with pytest.raises(ValueError, match="finite number"):
        Config(x=float("nan"))

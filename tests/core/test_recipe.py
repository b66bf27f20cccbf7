"""Recipes: every mistake is named with its file and line before anything runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.core.made_steps import RECIPE

from whyguard.core.errors import ConfigError, MissingFileError, UnknownLanguageError
from whyguard.core.recipe import load_recipe

Writer = Callable[[str], Path]


def changed(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new)


def test_steps_are_ordered_by_their_inputs(write_recipe: Writer) -> None:
    head, read, rest = RECIPE.partition("  read:\n")
    body, loud, last = rest.partition("  loud:\n")
    recipe = load_recipe(write_recipe(head + loud + last + read + body))
    assert [step.id for step in recipe.steps] == ["read", "loud", "quiet"]


def test_until_keeps_a_step_and_what_it_needs(write_recipe: Writer) -> None:
    recipe = load_recipe(write_recipe(RECIPE))
    assert [step.id for step in recipe.until(["loud"]).steps] == ["read", "loud"]
    assert recipe.until(["read", "quiet"]) == recipe
    with pytest.raises(ConfigError, match=r"steps\n.*\n.*'lood'\n.*did you mean 'loud'"):
        recipe.until(["lood"])


CASES = {
    "unknown top key": (changed("steps:", "stepz:"), r":3: stepz\n.*\n.*unknown key 'stepz'\n.*did "
                        r"you mean 'steps'\?"),
    "extra top key": (RECIPE + "budgett: 3\n", r":15: budgett\n"),
    "unknown step": (changed("made.read", "made.raed"), r":5: steps\.read\.step\n.*\n.*'made\.raed'"
                     r"\n.*did you mean 'made\.read'\?"),
    "unknown step key": (changed("    config: {file", "    confg: {file"), r":6: steps\.read\.confg"
                         r"\n.*\n.*\n.*did you mean 'config'\?"),
    "unknown config key": (changed("{file: rows", "{fiel: rows"), r":6: steps\.read\.config\.fiel\n"
                           r".*\n.*unknown key 'fiel'\n.*did you mean 'file'\?"),
    "missing config key": (changed("config: {file: rows.jsonl}", "config: {}"), r":6: steps\.read\."
                           r"config\.file\n  expected: Field required\n.*nothing"),
    "unknown nested key": (changed('suffix: "!"', 'suffix: "!", where: {kind: far, distanse_limit: '
                           "2}"), r":10: .*distanse_limit\n.*\n.*\n.*mean 'distance_limit'\?"),
    "unknown tag": (changed('suffix: "!"', 'suffix: "!", where: {kind: nowhere}'), r":10: steps\."
                    r"loud\.config\.where\n.*'near', 'far'"),
    "wrong type": (changed('suffix: "!"', 'suffix: "!", weight: heavy'), r":10: steps\.loud\.config"
                   r"\.weight\n.*valid number.*\n.*'heavy'"),
    "nan": (changed('suffix: "!"', 'suffix: "!", weight: .nan'), r":10: .*weight\n.*finite number"),
    "list for mapping": (changed("{file: rows.jsonl}", "[1]"), r":6: steps\.read\.config\n"),
    "no config": (changed("{file: rows.jsonl}", ""), r":6: steps\.read\.config\n.*dictionary"),
    "schemas": (changed("prompts: loud}", "prompts: traces}") + "  traces:\n    step: made.trace\n"
                "    inputs: {prompts: read}\n", r":13: steps\.quiet\.inputs\.prompts\n.*Prompt "
                r"rows.*\n.*gives Trace rows\n.*name a step that gives them: read, loud"),
    "missing input": (changed("    inputs: {prompts: loud}\n", ""), r":11: steps\.quiet\.inputs\n"
                      r".*input 'prompts' of step made\.change \(Prompt rows\)\n.*not given"),
    "empty input": (changed("prompts: loud}", "prompts: []}"), r":13: .*\n.*at least 1 item"),
    "unknown input": (changed("prompts: loud}", "prompts: loud, promtps: loud}"), r":13: .*promtps"
                      r"\n.*\n.*\n.*did you mean 'prompts'\?"),
    "input of a source": (changed("config: {file", "inputs: {x: loud}\n    config: {file"), r":6: "
                          r"steps\.read\.inputs\.x\n(.*\n)*.*nothing can stand here"),
    "unknown source": (changed("prompts: loud}", "prompts: luod}"), r":13: .*\n.*\n.*'luod'\n.*did "
                       r"you mean 'loud'\?"),
    "circle": (changed("{prompts: read}", "{prompts: quiet}"), r":3: steps\n.*without a circle\n"
               r".*each of loud, quiet waits"),
    "own input": (changed("{prompts: loud}", "{prompts: quiet}"), r"without a circle"),
    "unknown runtime key": (changed("steps:", "runtime: {devise: cpu}\nsteps:"), r":3: runtime\."
                            r"devise\n.*\n.*\n.*did you mean 'device'\?"),
    "unknown step runtime key": (changed('"!"}', '"!"}\n    runtime: {thread: 1}'),
                                 r":11: steps\.loud\.runtime\.thread\n.*\n.*\n.*'threads'\?"),
    "wrong runtime value": (changed("steps:", "runtime: {batch_size: many}\nsteps:"), r":3: runtime"
                            r"\.batch_size\n.*valid integer"),
    "wrong format": (changed("recipe: 1", "recipe: 2"), r":1: recipe\n.*less than or equal to 1"),
    "bad name": (changed("name: made", "name: Made it"), r":2: name\n.*pattern"),
    "key twice": (RECIPE + "  read:\n    step: made.read\n", r":15: read\n  expected: each key once"
                  r"\n.*'read' also on line 4"),
    "config key twice": (changed('suffix: "!"', 'suffix: "!", suffix: "?"'), r":10: suffix\n"),
    "a key that is no text": (changed("  quiet:", "  no:"), r"valid string"),
    "not a mapping": ("- a\n- b\n", r"a mapping with recipe, name and steps\n.*list"),
    "no steps": ("recipe: 1\nname: made\nsteps: {}\n", r":3: steps\n.*at least 1 item"),
    "empty": ("", r"recipe\.yaml\n.*\n.*an empty file\n.*whyguard init"),
    "only a comment": ("# nothing\n", r"an empty file"),
    "bad yaml": (changed("{file: rows.jsonl}", "{file: [}"), r"expected: YAML in UTF-8\n(.*\n)*.*"
                 r"line 6"),
    "tab": (changed("    step: made.read", "\tstep: made.read"), r"YAML in UTF-8\n(.*\n)*.*line 5"),
    "two documents": (RECIPE + "---\na: 1\n", r"YAML in UTF-8"),
    "no such date": (changed("name: made", "name: 2024-13-45"), r"YAML in UTF-8\n.*month"),
    "too deep": ("a: " + "[" * 3000, r"YAML in UTF-8"),
    "recursive": (changed("{file: rows.jsonl}", "&c {file: *c}"), r":6: steps\.read\.config\.file"),
    "a python object": (changed("rows.jsonl", "!!python/object/apply:os.getcwd []"), r"YAML in "),
    "declared language": (RECIPE + "languages: [{code: xx, name: X, autonym: X, bcp47: x}]\n",
                          r":15: languages\.0\.code\n.*pattern"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), CASES.values(), ids=CASES.keys())
def test_mistakes_are_named_with_file_and_line(
    write_recipe: Writer, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write_recipe(text))


LANGUAGES = {
    "language": (changed("rows.jsonl", "rows.jsonl, language: asst_Latn"), r":6: steps\.read\."
                 r"config\.language\n(.*\n)*.*did you mean 'ast_Latn'\?"),
    "by another name": (changed('"!"', '"!", explain_languages: [ast_Latn, xyz_Latn]'),
                        r":10: steps\.loud\.config\.explain_languages\.1\n"),
    "marked": (changed('suffix: "!"', 'suffix: "!", source: spanish'), r"config\.source\n(.*\n)*.*"
               r"spa_Latn"),
    "key of a mapping": (changed('suffix: "!"', 'suffix: "!", columns: {ast_Latn: x, es: y}'),
                         r":10: .*columns\.es\n(.*\n)*.*spa_Latn"),
    "marked and nested": (changed('suffix: "!"', 'suffix: "!", where: {kind: far, language: es}'),
                          r":10: .*where\.language\n(.*\n)*.*spa_Latn"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), LANGUAGES.values(), ids=LANGUAGES.keys())
def test_unknown_languages(write_recipe: Writer, text: str, message: str) -> None:
    with pytest.raises(UnknownLanguageError, match=message):
        load_recipe(write_recipe(text))


def test_values_of_a_mapping_by_language_are_no_codes(write_recipe: Writer) -> None:
    text = changed('suffix: "!"', 'suffix: "!", columns: {ast_Latn: text}')
    assert load_recipe(write_recipe(text)).steps[1].step.name == "made.change"


def test_a_recipe_may_declare_a_language(write_recipe: Writer) -> None:
    text = changed("rows.jsonl", "rows.jsonl, language: xyz_Latn")
    text += "languages: [{code: xyz_Latn, name: Xyz, autonym: Xyz, bcp47: xyz}]\n"
    assert load_recipe(write_recipe(text)).languages.get("xyz_Latn").name == "Xyz"


def test_no_such_recipe_and_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        load_recipe(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: ñ".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"YAML in UTF-8\n.*can't decode"):
        load_recipe(tmp_path / "latin.yaml")


MERGED = """\
recipe: 1
name: made
steps:
  read:
    step: made.read
    config: {file: rows.jsonl}
  loud:
    step: made.change
    inputs: {prompts: [read]}
    config: &loud
      suffix: "!"
      weight: 2
  quiet:
    step: made.change
    inputs: {prompts: loud}
    config:
      <<: *loud
      suffix: "."
  same:
    step: made.change
    inputs: {prompts: loud}
    config: *loud
"""


def test_anchors_and_merge_keys(write_recipe: Writer) -> None:
    steps = {step.id: step for step in load_recipe(write_recipe(MERGED)).steps}
    assert steps["quiet"].config.model_dump() == steps["loud"].config.model_dump() | {"suffix": "."}
    assert steps["same"].config == steps["loud"].config


def test_a_mistake_in_a_merged_mapping_is_found_where_it_stands(write_recipe: Writer) -> None:
    text = MERGED.replace("weight: 2", "weight: heavy")
    with pytest.raises(ConfigError, match=r":12: steps\.loud\.config\.weight"):
        load_recipe(write_recipe(text))
    ok_here = MERGED.replace('      suffix: "."', '      suffix: "."\n      wieght: 1')
    with pytest.raises(ConfigError, match=r":19: steps\.quiet\.config\.wieght"):
        load_recipe(write_recipe(ok_here))


def test_common_runtime_reaches_steps_and_theirs_wins(write_recipe: Writer) -> None:
    text = changed("steps:", "runtime: {threads: 2, device: cpu}\nsteps:")
    text = text.replace('{suffix: "."}', '{suffix: "."}\n    runtime: {threads: 1}')
    read, loud, quiet = load_recipe(write_recipe(text)).steps
    assert [s.runtime.threads for s in (read, loud, quiet)] == [2, 2, 1]
    assert {s.runtime.device for s in (read, loud, quiet)} == {"cpu"}


def test_messages_do_not_depend_on_set_order(write_recipe: Writer) -> None:
    text = changed("steps:", "runtime: {zz: 1, devise: 2, bb: 3}\nsteps:")
    with pytest.raises(ConfigError, match="unknown key 'bb'"):
        load_recipe(write_recipe(text))

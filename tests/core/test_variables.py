"""Variables of recipes: given, typed, missing, unknown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.made_steps import RECIPE

from whyguard.core.errors import ConfigError
from whyguard.core.recipe import load_recipe
from whyguard.core.variables import Value, parse_settings, substitute

VARIED = RECIPE.replace("name: made\n", 'name: made\nvariables: {mark: null, end: "."}\n').replace(
    'suffix: "!"', 'suffix: "${mark}"'
).replace('suffix: "."', 'suffix: "<${mark}>${end}"')  # fmt: skip


def test_settings_are_scalars() -> None:
    given_ = parse_settings(["a=x/y", "b=3", "c=0.5", "d=true", "e=", "f=k: v", "g=[1", "h=a=b",
                             "i=0123", "j=no", "k=12:30", "l=-2", "m=1.5e-3",
                             "n=null"])  # fmt: skip
    assert given_ == {"a": "x/y", "b": 3, "c": 0.5, "d": True, "e": "", "f": "k: v", "g": "[1",
                      "h": "a=b", "i": "0123", "j": "no", "k": "12:30", "l": -2, "m": 0.0015,
                      "n": "null"}  # fmt: skip


@pytest.mark.parametrize("setting", ["model", "=x", "a b=c", "1a=c"])
def test_settings_of_another_form(setting: str) -> None:
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_settings([setting])


@pytest.mark.parametrize(("raw", "expected"), [
    ("${n}", 3), ("x${n}y${s}", "x3yt"), ("$${n}", "${n}"), ("a$${n}${n}", "a${n}3"),
    ("$n ${} ${1} {n}", "$n ${} ${1} {n}"), ({"k": ["${s}", 1, None]}, {"k": ["t", 1, None]}),
])  # fmt: skip
def test_what_is_replaced(raw: object, expected: object) -> None:
    assert substitute(raw, {"n": 3, "s": None}, {"s": "t"}, "here") == expected


@given(st.text(), st.text())
def test_a_value_is_never_read_again(value: str, around: str) -> None:
    text = around.replace("$", "") + "${v}"
    assert substitute(text, {"v": value}, {}, "here") == around.replace("$", "") + value


@pytest.mark.parametrize(("raw", "settings", "match"), [
    ("${modle}", {}, r"(?s)'modle'.*model"),
    ("${model}", {}, r"--set model=VALUE"),
    ("x ${model}", {}, r"variables\.model"),
    ("x", {"modle": 1}, r"--set modle"),
])  # fmt: skip
def test_what_has_no_value_or_name(raw: str, settings: dict[str, Value], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        substitute(raw, {"model": None}, settings, "recipe.yaml")


def test_a_recipe_takes_them(made: None, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(VARIED, "utf-8")
    recipe = load_recipe(path, {"mark": "?"})
    assert [step.config.model_dump().get("suffix") for step in recipe.steps] == [None, "?", "<?>."]
    with pytest.raises(ConfigError, match=r"(?s)recipe\.yaml: variables\.mark.*--set mark="):
        load_recipe(path)
    with pytest.raises(ConfigError, match="--set mrak"):
        load_recipe(path, {"mrak": 1})


def test_undeclared_names_in_a_recipe_without_variables(made: None, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace('suffix: "!"', 'suffix: "${x}"'), "utf-8")
    with pytest.raises(ConfigError, match="declare it under 'variables:'"):
        load_recipe(path)

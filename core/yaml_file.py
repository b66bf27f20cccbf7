"""A YAML file as configs: recipes, stage configs and pipelines are read by it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from whyguard.core.errors import ConfigError, MissingFileError, fail
from whyguard.core.nearest import suggest

M = TypeVar("M", bound=BaseModel)
Location = tuple[str | int, ...]
"""Keys and places in lists, from the top of a file down."""


class YamlFile:
    """A YAML file that was read: `raw` as it is written, parts of it as models.

    Every mistake is an error that names the file, the line and the dotted key.

    Args:
        path: of the file.
        what: what it should hold, with its article: "a recipe".
        keys: what it has on its top level: "recipe, name and steps".
        hint: where somebody who has none finds one.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: not UTF-8, not YAML, no mapping, or a key stands there twice.
    """

    def __init__(self, path: Path, what: str, keys: str, hint: str) -> None:
        if not path.is_file():
            fail(MissingFileError, where=str(path), expected=f"{what} (YAML)", found="no such file",
                 do=f"check the path; {hint}")  # fmt: skip
        self.path = path
        self._node, raw = _parsed(path)
        if not isinstance(raw, dict):
            fail(ConfigError, where=str(path), expected=f"a mapping with {keys}",
                 found="an empty file" if raw is None else type(raw).__name__, do=hint)  # fmt: skip
        self.raw: dict[str, Any] = raw
        self._check_twice(self._node, set())

    def parse(self, model: type[M], raw: Mapping[str, Any], at: Location = (),
              placed: Mapping[str, Location] | None = None) -> M:  # fmt: skip
        """The model of `raw`, which stands at `at`.

        Args:
            model: of the values.
            raw: the values, a part of the file or made of parts of it.
            at: where they stand.
            placed: top keys of `raw` that stand below another place, and that place.

        Raises:
            ConfigError: an unknown key (the nearest is named), or a value that does not fit.
        """
        try:
            return model.model_validate(dict(raw))
        except ValidationError as error:
            # A misspelt key that is required is two errors; the unknown one says more.
            errors = error.errors()
            first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
            top = first["loc"][0] if first["loc"] else None
            loc = (*(placed or {}).get(str(top), at), *first["loc"])
            if first["type"] == "extra_forbidden":
                self.refuse_key(loc, _known_fields(model, first["loc"]))
            found = first.get("input")
            missing = first["type"] == "missing"
            expected = first["msg"].removeprefix("Value error, ")
            fail(ConfigError, where=self.where(loc), expected=expected,
                 found="nothing" if missing else _shown(found),
                 do="set this key" if missing else "correct this value")  # fmt: skip

    def refuse_key(self, at: Location, known: Iterable[str]) -> NoReturn:
        """Say that the key at `at` is none of the known ones.

        Raises:
            ConfigError: always; the nearest is named.
        """
        fail(ConfigError, where=self.where(at), expected="a known key",
             found=f"unknown key '{at[-1]}'", do=suggest(str(at[-1]), known))  # fmt: skip

    def where(self, at: Location) -> str:
        """File, line (counted from 1) and dotted key, for a message."""
        dotted = ".".join(str(part) for part in at)
        return f"{self.path}:{self._line(at)}: {dotted}"

    def _line(self, at: Location) -> int:
        """Line of the deepest written node on the way to `at`."""
        node, line = self._node, 1
        for part in at:
            found = _child(node, part)
            if found is not None:  # else: the tag of a union, which is not written as a key
                line, node = found
        return line

    def _check_twice(self, node: yaml.Node | None, seen: set[int]) -> None:
        """YAML keeps the last of two equal keys: a step would vanish without a word."""
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            return
        seen.add(id(node))
        lines: dict[str, int] = {}
        for item in node.value:
            key, value = item if isinstance(item, tuple) else (None, item)
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    fail(ConfigError, where=f"{self.path}:{line}: {key.value}",
                         expected="each key once",
                         found=f"'{key.value}' also on line {lines[key.value]}",
                         do="rename or remove one of them")  # fmt: skip
                lines[key.value] = line
            self._check_twice(value, seen)


def _shown(value: object) -> str:
    """A value in a message; of keys their names alone, for some hold secrets."""
    if isinstance(value, Mapping):
        return f"the keys {', '.join(map(str, value))}"[:120]
    return repr(value)[:120]


def _parsed(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = path.read_text("utf-8")
        return yaml.compose(text), yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: bytes that are no UTF-8, or a date such as 2024-13-45
        fail(ConfigError, where=str(path), expected="YAML in UTF-8", found=str(error),
             do="repair the file at that place")  # fmt: skip


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """Line and node of a key or an item; keys that `<<` merges in are found last."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        found = node.value[part] if part < len(node.value) else None
        return (found.start_mark.line + 1, found) if found else None
    if not isinstance(node, yaml.MappingNode):
        return None
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if key.value == str(part):
            return key.start_mark.line + 1, value
        if key.tag == "tag:yaml.org,2002:merge":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
    return next((found for other in merged if (found := _child(other, part))), None)


def _known_fields(model: type[BaseModel], loc: Location) -> list[str]:
    """Field names that were allowed where the unknown key stood."""
    current = [model]
    for part in loc[:-1]:
        fields = [m.model_fields[str(part)] for m in current if str(part) in m.model_fields]
        if fields:
            current = [m for field in fields for m in _models_in(field.annotation)] or current
        elif isinstance(part, str):  # the tag of a union names one of its members
            current = [m for m in current if _has_tag(m, part)] or current
    return [name for member in current for name in member.model_fields]


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    values = [v for f in model.model_fields.values() if get_origin(f.annotation) is Literal
              for v in get_args(f.annotation)]  # fmt: skip
    return tag == model.__name__ or tag in values


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in _models_in(part)]

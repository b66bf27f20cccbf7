"""A recipe: YAML -> frozen pydantic, checked before anything runs."""

import dataclasses
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from whyguard.core.errors import ConfigError, MissingFileError, fail
from whyguard.core.languages import Language, LanguageMark, Languages, known_languages
from whyguard.core.nearest import suggest
from whyguard.core.registry import load_step
from whyguard.core.steps import Budget, Runtime, Step, StepConfig
from whyguard.core.tables import schema_name
from whyguard.core.variables import Value, substitute

Location = tuple[str | int, ...]
_TOP_DEPTH = len(("steps", "<id>", "config"))
_LANGUAGE_FIELD = re.compile(r"([a-z_]+_)?languages?")


class StepEntry(BaseModel):
    """One step of a recipe as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    inputs: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = {}
    config: dict[str, Any] = {}
    runtime: dict[str, Any] = {}

    @field_validator("inputs", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {k: (v,) if isinstance(v, str) else v for k, v in value.items()}


class RecipeFile(BaseModel):
    """A recipe as it is written; `steps` run in the order of their inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: int = Field(ge=1, le=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    languages: tuple[Language, ...] = ()
    variables: dict[str, Value] = {}
    runtime: dict[str, Any] = {}
    budget: Budget = Budget()
    steps: dict[str, StepEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class BoundStep:
    """A step of a recipe with its declaration, parsed config and runtime."""

    id: str
    step: Step[Any, Any]
    inputs: Mapping[str, tuple[str, ...]]
    config: StepConfig
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Recipe:
    """A checked recipe: steps in an order in which each one's inputs come before it."""

    path: Path
    name: str
    description: str
    steps: tuple[BoundStep, ...]
    languages: Languages
    budget: Budget

    def until(self, names: Iterable[str]) -> "Recipe":
        """The same recipe with only these steps and those that they need.

        Raises:
            ConfigError: a name is no step of the recipe.
        """
        steps = {step.id: step for step in self.steps}
        wanted = list(names)
        for name in wanted:
            if name not in steps:
                fail(ConfigError, where=f"{self.path}: steps", expected="the id of a step",
                     found=f"'{name}'", do=suggest(name, steps))  # fmt: skip
            wanted += [source for group in steps[name].inputs.values() for source in group
                       if source not in wanted]  # fmt: skip
        kept = tuple(step for step in self.steps if step.id in wanted)
        return dataclasses.replace(self, steps=kept)


def load_recipe(path: Path, given: Mapping[str, Value] | None = None) -> Recipe:
    """Read and check a recipe; `given` are values of its variables.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: YAML that does not parse, an unknown key (the nearest is named), a value of
            the wrong kind, an unknown step, steps whose schemas do not fit, or a variable
            without a value.
    """
    if not path.is_file():
        fail(MissingFileError, where=str(path), expected="a recipe (YAML)", found="no such file",
             do="check the path; `whyguard init` writes one")  # fmt: skip
    try:
        text = path.read_text("utf-8")
        node = yaml.compose(text)
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: bytes that are no UTF-8, or a date such as 2024-13-45
        fail(ConfigError, where=str(path), expected="YAML in UTF-8", found=str(error),
             do="repair the file at that place")  # fmt: skip
    if not isinstance(raw, dict):
        fail(ConfigError, where=str(path), expected="a mapping with recipe, name and steps",
             found="an empty file" if raw is None else type(raw).__name__,
             do="start from `whyguard init`")  # fmt: skip
    return _Binder(path, node).bind(_filled(raw, given or {}, path))


def _filled(raw: dict[str, Any], given: Mapping[str, Value], path: Path) -> dict[str, Any]:
    """The recipe with its variables' values in place; only values that do the work have them."""
    declared = raw.get("variables")
    names = declared if isinstance(declared, Mapping) else {}
    done = {key: substitute(raw[key], names, given, str(path))
            for key in ("steps", "runtime", "budget") if key in raw}  # fmt: skip
    return raw | done


class _Binder:
    """Turns a parsed recipe file into bound steps; keeps line numbers for messages."""

    def __init__(self, path: Path, node: yaml.Node | None) -> None:
        self._path, self._node = path, node

    def bind(self, raw: dict[str, Any]) -> Recipe:
        """Check and order the steps."""
        self._check_twice(self._node, set())
        file = self._parse(RecipeFile, raw, ())
        bound = {
            name: self._bind_step(name, entry, file.runtime) for name, entry in file.steps.items()
        }
        for step in bound.values():
            self._check_inputs(step, bound)
        languages = known_languages().with_declared(file.languages)
        for step in bound.values():
            self._check_languages(step, languages)
        steps = self._ordered(bound)
        return Recipe(self._path, file.name, file.description, steps, languages, file.budget)

    def _bind_step(self, name: str, entry: StepEntry, common: dict[str, Any]) -> BoundStep:
        at: Location = ("steps", name)
        step = load_step(entry.step, self._where((*at, "step")))
        config = self._parse(step.config, entry.config, (*at, "config"))
        fields = step.runtime.model_fields
        for unknown in sorted(set(common) - set(Runtime.model_fields) - set(fields)):
            self._unknown(("runtime", unknown), Runtime.model_fields)
        shared = {k: v for k, v in common.items() if k in fields and k not in entry.runtime}
        runtime = self._parse(step.runtime, shared | entry.runtime, (*at, "runtime"), shared)
        return BoundStep(name, step, entry.inputs, config, runtime)

    def _check_inputs(self, bound: BoundStep, steps: Mapping[str, BoundStep]) -> None:
        wanted, at = bound.step.inputs, ("steps", bound.id, "inputs")
        for name in sorted(set(bound.inputs) - set(wanted)):
            self._unknown((*at, name), wanted)
        for name in sorted(set(wanted) - set(bound.inputs) - bound.step.optional):
            fail(ConfigError, where=self._where(at), expected=f"input '{name}' of step "
                 f"{bound.step.name} ({schema_name(wanted[name])} rows)", found="not given",
                 do=f"add '{name}: <id of a step>' under inputs")  # fmt: skip
        for name, sources in bound.inputs.items():
            for source in sources:
                self._check_fit((*at, name), source, bound, name, steps)

    def _check_fit(self, at: Location, source: str, bound: BoundStep, name: str,
                   steps: Mapping[str, BoundStep]) -> None:  # fmt: skip
        if source not in steps:
            fail(ConfigError, where=self._where(at), expected="the id of a step of this recipe",
                 found=f"'{source}'", do=suggest(source, steps))  # fmt: skip
        given, wanted = steps[source].step.output, bound.step.inputs[name]
        if given is not wanted:
            fits = [k for k, other in steps.items()
                    if other.step.output is wanted and k != bound.id]  # fmt: skip
            fail(ConfigError, where=self._where(at),
                 expected=f"{schema_name(wanted)} rows for input '{name}' of {bound.step.name}",
                 found=f"step '{source}' ({steps[source].step.name}) gives "
                 f"{schema_name(given)} rows",
                 do=f"name a step that gives them: {', '.join(fits) or 'none does'}")  # fmt: skip

    def _check_languages(self, bound: BoundStep, languages: Languages) -> None:
        for at, code in _language_codes(bound.config, ("steps", bound.id, "config")):
            languages.get(code, self._where(at))

    def _ordered(self, steps: Mapping[str, BoundStep]) -> tuple[BoundStep, ...]:
        done: dict[str, BoundStep] = {}
        left = dict(steps)
        while left:
            ready = [
                k
                for k, s in left.items()
                if all(i in done for group in s.inputs.values() for i in group)
            ]
            if not ready:
                fail(ConfigError, where=self._where(("steps",)), expected="steps without a circle",
                     found=f"each of {', '.join(left)} waits for another",
                     do="break the circle in their inputs")  # fmt: skip
            for name in ready:
                done[name] = left.pop(name)
        return tuple(done.values())

    def _parse(self, model: type[Any], raw: Any, at: Location,
               common: Container[str] = ()) -> Any:  # fmt: skip
        """The model of `raw`, which stands at `at`; `common` keys stand in the recipe's runtime."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            # A misspelt key that is required is two errors; the unknown one says more.
            errors = error.errors()
            first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
            shared = bool(first["loc"]) and first["loc"][0] in common
            loc = ("runtime", *first["loc"]) if shared else (*at, *first["loc"])
            if first["type"] == "extra_forbidden":
                self._unknown(loc, _known_fields(model, first["loc"]))
            found = first.get("input")
            missing = first["type"] == "missing"
            expected = first["msg"].removeprefix("Value error, ")
            fail(ConfigError, where=self._where(loc), expected=expected,
                 found="nothing" if missing else repr(found)[:120],
                 do="set this key" if missing else "correct this value")  # fmt: skip

    def _unknown(self, loc: Location, known: Any) -> None:
        fail(ConfigError, where=self._where(loc), expected="a known key",
             found=f"unknown key '{loc[-1]}'", do=suggest(str(loc[-1]), known))  # fmt: skip

    def _where(self, loc: Location) -> str:
        dotted = ".".join(str(part) for part in loc)
        return f"{self._path}:{self._line(loc)}: {dotted}"

    def _line(self, loc: Location) -> int:
        """Line of the deepest written node on the way to `loc`, counted from 1."""
        node, line = self._node, 1
        for part in loc:
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
                    fail(ConfigError, where=f"{self._path}:{line}: {key.value}",
                         expected="each key once",
                         found=f"'{key.value}' also on line {lines[key.value]}",
                         do="rename or remove one of them")  # fmt: skip
                lines[key.value] = line
            self._check_twice(value, seen)


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


def _language_codes(config: BaseModel, at: Location) -> Iterator[tuple[Location, str]]:
    """Language codes of a config: fields marked `LanguageCode` at any depth, and by name.

    Names count on the top level only: deeper down, `language` may be the name of a column.
    """
    for name, info in type(config).model_fields.items():
        named = len(at) == _TOP_DEPTH and _LANGUAGE_FIELD.fullmatch(name) is not None
        marked = named or any(isinstance(mark, LanguageMark) for mark in info.metadata)
        yield from _codes_in(getattr(config, name), info.annotation, marked, (*at, name))


def _codes_in(value: Any, annotation: Any, marked: bool,
              at: Location) -> Iterator[tuple[Location, str]]:  # fmt: skip
    marked = marked or "LanguageMark" in repr(annotation)
    if isinstance(value, BaseModel):
        yield from _language_codes(value, at)
    elif isinstance(value, str) and marked:
        yield at, value
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _codes_in(item, annotation, marked, (*at, index))
    elif isinstance(value, Mapping):
        keys, values = _mapping_types(annotation) or (Any, Any)
        for key, item in value.items():
            yield from _codes_in(key, keys, False, (*at, key))
            yield from _codes_in(item, values, False, (*at, key))


def _mapping_types(annotation: Any) -> tuple[Any, Any] | None:
    """Types of the keys and values of the first mapping in an annotation."""
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return args[0], args[1]
    return next((found for arg in args if (found := _mapping_types(arg))), None)


def _known_fields(model: type[Any], loc: Location) -> list[str]:
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

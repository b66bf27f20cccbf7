"""A recipe: YAML -> frozen pydantic, checked before anything runs."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import Language, LanguageMark, Languages, known_languages
from whyguard.core.nearest import suggest
from whyguard.core.registry import load_step
from whyguard.core.steps import Budget, Runtime, Step, StepConfig
from whyguard.core.tables import schema_name
from whyguard.core.variables import Value, substitute
from whyguard.core.yaml_file import Location, YamlFile

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
    file = YamlFile(path, "a recipe", "recipe, name and steps", "`whyguard init` writes one")
    return _Binder(file).bind(_filled(file.raw, given or {}, path))


def _filled(raw: dict[str, Any], given: Mapping[str, Value], path: Path) -> dict[str, Any]:
    """The recipe with its variables' values in place; only values that do the work have them."""
    declared = raw.get("variables")
    names = declared if isinstance(declared, Mapping) else {}
    done = {key: substitute(raw[key], names, given, str(path))
            for key in ("steps", "runtime", "budget") if key in raw}  # fmt: skip
    return raw | done


class _Binder:
    """Turns a recipe that was read into bound steps."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file

    def bind(self, raw: dict[str, Any]) -> Recipe:
        """Check and order the steps."""
        file = self._file.parse(RecipeFile, raw)
        bound = {
            name: self._bind_step(name, entry, file.runtime) for name, entry in file.steps.items()
        }
        for step in bound.values():
            self._check_inputs(step, bound)
        languages = known_languages().with_declared(file.languages)
        for step in bound.values():
            self._check_languages(step, languages)
        steps = self._ordered(bound)
        return Recipe(self._file.path, file.name, file.description, steps, languages,
                      file.budget)  # fmt: skip

    def _bind_step(self, name: str, entry: StepEntry, common: dict[str, Any]) -> BoundStep:
        at: Location = ("steps", name)
        step = load_step(entry.step, self._file.where((*at, "step")))
        config = self._file.parse(step.config, entry.config, (*at, "config"))
        fields = step.runtime.model_fields
        for unknown in sorted(set(common) - set(Runtime.model_fields) - set(fields)):
            self._file.refuse_key(("runtime", unknown), Runtime.model_fields)
        shared = {k: v for k, v in common.items() if k in fields and k not in entry.runtime}
        runtime = self._file.parse(step.runtime, shared | entry.runtime, (*at, "runtime"),
                                   dict.fromkeys(shared, ("runtime",)))  # fmt: skip
        return BoundStep(name, step, entry.inputs, config, runtime)

    def _check_inputs(self, bound: BoundStep, steps: Mapping[str, BoundStep]) -> None:
        wanted, at = bound.step.inputs, ("steps", bound.id, "inputs")
        for name in sorted(set(bound.inputs) - set(wanted)):
            self._file.refuse_key((*at, name), wanted)
        for name in sorted(set(wanted) - set(bound.inputs) - bound.step.optional):
            fail(ConfigError, where=self._file.where(at), expected=f"input '{name}' of step "
                 f"{bound.step.name} ({schema_name(wanted[name])} rows)", found="not given",
                 do=f"add '{name}: <id of a step>' under inputs")  # fmt: skip
        for name, sources in bound.inputs.items():
            for source in sources:
                self._check_fit((*at, name), source, bound, name, steps)

    def _check_fit(self, at: Location, source: str, bound: BoundStep, name: str,
                   steps: Mapping[str, BoundStep]) -> None:  # fmt: skip
        if source not in steps:
            fail(ConfigError, where=self._file.where(at), expected="the id of a step of this "
                 "recipe", found=f"'{source}'", do=suggest(source, steps))  # fmt: skip
        given, wanted = steps[source].step.output, bound.step.inputs[name]
        if given is not wanted:
            fits = [k for k, other in steps.items()
                    if other.step.output is wanted and k != bound.id]  # fmt: skip
            fail(ConfigError, where=self._file.where(at),
                 expected=f"{schema_name(wanted)} rows for input '{name}' of {bound.step.name}",
                 found=f"step '{source}' ({steps[source].step.name}) gives "
                 f"{schema_name(given)} rows",
                 do=f"name a step that gives them: {', '.join(fits) or 'none does'}")  # fmt: skip

    def _check_languages(self, bound: BoundStep, languages: Languages) -> None:
        for at, code in _language_codes(bound.config, ("steps", bound.id, "config")):
            languages.get(code, self._file.where(at))

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
                fail(ConfigError, where=self._file.where(("steps",)),
                     expected="steps without a circle",
                     found=f"each of {', '.join(left)} waits for another",
                     do="break the circle in their inputs")  # fmt: skip
            for name in ready:
                done[name] = left.pop(name)
        return tuple(done.values())


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

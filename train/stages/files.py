"""Stage configs and pipelines as YAML files; errors name file, line and key, as a recipe's do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import known_languages
from whyguard.core.nearest import suggest
from whyguard.core.registry import load_object
from whyguard.core.variables import parse_settings
from whyguard.core.yaml_file import Location, YamlFile
from whyguard.generation.guard.prompts import prompt_template
from whyguard.train.config import STAGES, StageConfig
from whyguard.train.pairs import PairsConfig

Named = TypeVar("Named", bound=StageConfig | PairsConfig)


class Written(YamlFile):
    """The file of a stage, of pairs or of a pipeline."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what, f"the keys of {what}", "docs/training.md shows one")


def load_stage(path: Path, stage: str, settings: Sequence[str] = ()) -> StageConfig:
    """The config of a stage from its file; `settings` are `key=value` texts that go before it.

    Raises:
        MissingFileError: there is no such file.
        ConfigError: the file does not hold a config of this stage.
    """
    written = Written(path, f"a config of stage {stage}")
    return stage_config(written, stage, overridden(written.raw, settings))


def stage_config(written: Written, stage: str, raw: Mapping[str, Any],
                 at: Location = ()) -> StageConfig:  # fmt: skip
    """The checked config of one stage, whose keys stand at `at` of a file.

    Raises:
        ConfigError: an unknown stage, key, language or prompt template, or a wrong value.
    """
    named = raw.get("stage", stage)
    if named != stage:
        fail(ConfigError, where=written.where((*at, "stage")), expected=f"stage: {stage}",
             found=f"'{named}'", do=f"use `whyguard train {named}`, or another file")  # fmt: skip
    model: type[StageConfig] = stage_class(stage, written.where((*at, "stage")))
    config = written.parse(model, raw, at)
    return with_known_names(written, config, at)


def with_known_names(written: Written, config: Named, at: Location = ()) -> Named:
    """The config of a stage or of pairs, whose languages and template are known.

    Raises:
        ConfigError: one is not; the nearest is named.
    """
    for index, code in enumerate(config.languages):
        known_languages().get(code, written.where((*at, "languages", index)))
    if config.prompt is not None:
        prompt_template(config.prompt, written.where((*at, "prompt")))
    return config


def stage_class(stage: str, where: str) -> Any:
    """The config class of a stage.

    Raises:
        ConfigError: there is no such stage; the nearest is named.
    """
    if stage not in STAGES:
        fail(ConfigError, where=where, expected="the name of a stage", found=f"'{stage}'",
             do=suggest(stage, STAGES))  # fmt: skip
    return load_object(STAGES[stage])


def overridden(raw: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`raw` with `key=value` and `key.key=value` texts put in; `null` is none, `[a, b]` a list.

    Raises:
        ConfigError: a text is not of that form, or leads through something that has no keys.
    """
    done: dict[str, Any] = dict(raw)
    for setting in settings:
        name, sign, text = setting.partition("=")
        *path, last = name.split(".")
        inner = done
        for part in path:
            step = inner.get(part)
            if step is not None and not isinstance(step, Mapping):
                fail(ConfigError, where=f"--set {setting}", expected=f"'{part}' with keys below it",
                     found=f"a value ({type(step).__name__})",
                     do="name a key of the config")  # fmt: skip
            inner[part] = dict(step or {})
            inner = inner[part]
        inner[last] = _value(last, sign, text)
    return done


def _value(name: str, sign: str, text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_value(name, sign, item.strip()) for item in text[1:-1].split(",") if item.strip()]
    value = parse_settings([f"{name}{sign}{text}"])[name]
    return None if value == "null" else value

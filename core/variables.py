"""Variables of a recipe: `${name}` in its values, given under `variables:` or with --set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from whyguard.core.errors import ConfigError, fail
from whyguard.core.nearest import suggest

Value = str | int | float | bool | None
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}(e-?[0-9]{1,3})?")
_REFERENCE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")


def parse_settings(settings: Sequence[str]) -> dict[str, Value]:
    """`NAME=VALUE` texts of --set; whole numbers, decimals, true and false are read as such.

    All else is text: YAML's own rules would make 83 of the revision 0123, and false of no.

    Raises:
        ConfigError: one is not of that form.
    """
    given: dict[str, Value] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or not name.isidentifier():
            fail(ConfigError, where=f"--set {setting}", expected="NAME=VALUE", found=f"'{setting}'",
                 do="write it like --set model=ORG/NAME")  # fmt: skip
        given[name] = _scalar(text)
    return given


def _scalar(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def substitute(raw: Any, declared: Mapping[str, Value], given: Mapping[str, Value],
               where: str) -> Any:  # fmt: skip
    """`raw` with each `${name}` replaced; `$${name}` stays as `${name}`.

    A text that is nothing but one reference becomes the value itself, with its type.

    Raises:
        ConfigError: a reference or a given name is not declared, or has no value.
    """
    unknown = [name for name in given if name not in declared]
    if unknown:
        _undeclared(f"{where}: --set {unknown[0]}", unknown[0], declared)
    return _Substitution({**declared, **given}, where).of(raw)


class _Substitution:
    def __init__(self, values: Mapping[str, Value], where: str) -> None:
        self._values, self._where = values, where
        self._inside: set[int] = set()

    def of(self, raw: Any) -> Any:
        if isinstance(raw, str):
            whole = _REFERENCE.fullmatch(raw)
            if whole and not whole[1]:
                return self._value(whole[2])
            return _REFERENCE.sub(self._replaced, raw)
        if not isinstance(raw, Mapping | list) or id(raw) in self._inside:
            return raw  # YAML's aliases can build a value that holds itself: its reader says so
        self._inside.add(id(raw))
        done: Any = [self.of(item) for item in raw] if isinstance(raw, list) else {
            key: self.of(value) for key, value in raw.items()}  # fmt: skip
        self._inside.remove(id(raw))
        return done

    def _replaced(self, match: re.Match[str]) -> str:
        return match[0][1:] if match[1] else str(self._value(match[2]))

    def _value(self, name: str) -> Value:
        if name not in self._values:
            _undeclared(f"{self._where}: ${{{name}}}", name, self._values)
        value = self._values[name]
        if value is None:
            fail(ConfigError, where=f"{self._where}: variables.{name}", expected="a value",
                 found="none", do=f"pass --set {name}=VALUE, or write one in")  # fmt: skip
        return value


def _undeclared(where: str, name: str, declared: Mapping[str, Value]) -> None:
    fail(ConfigError, where=where, expected="a name under 'variables:'", found=f"'{name}'",
         do=suggest(name, declared) if declared else "declare it under 'variables:'")  # fmt: skip

"""Reads one YAML file into a model; what is wrong is named by file, line and field."""

from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from whyguard.core.errors import DataError, fail
from whyguard.core.nearest import suggest

M = TypeVar("M", bound=BaseModel)
Location = tuple[str | int, ...]


def read_yaml(path: Path, model: type[M]) -> M:
    """The file as `model`; an empty file is a mapping without keys.

    Raises:
        DataError: not UTF-8, not YAML, a key twice, or not what the model takes.
    """
    root = _node(path)
    try:
        values = {} if root is None else yaml.SafeLoader("").construct_document(root)
    except yaml.YAMLError as error:
        _refuse_yaml(path, error)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        _refuse(path, root, model, error)


def _node(path: Path) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        fail(DataError, where=str(path), expected="UTF-8 text", found="other bytes",
             do="save the file as UTF-8")  # fmt: skip
    except yaml.YAMLError as error:
        _refuse_yaml(path, error)
    if root is not None:
        _refuse_twins(path, root, set())
    return root


def _refuse_yaml(path: Path, error: yaml.YAMLError) -> NoReturn:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    fail(DataError, where=f"{path}{line}", expected="YAML",
         found=str(getattr(error, "problem", None) or error).split("\n")[0],
         do="quote texts that hold : # { } [ ] or begin with a sign")  # fmt: skip


def _refuse_twins(path: Path, node: yaml.Node, done: set[int]) -> None:
    """YAML's reader would take the last of two equal keys and say nothing."""
    if id(node) in done:
        return  # an alias of what was looked at
    done.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_twins(path, child, done)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            if str(key.value) in seen:
                fail(DataError, where=f"{path}:{key.start_mark.line + 1}",
                     expected="each key once", found=f"'{key.value}' twice",
                     do="delete one of them")  # fmt: skip
            seen.add(str(key.value))
            _refuse_twins(path, child, done)


def _refuse(path: Path, root: yaml.Node | None, model: type[BaseModel],
            error: ValidationError) -> NoReturn:  # fmt: skip
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    loc, missing = first["loc"], first["type"] == "missing"
    unknown = first["type"] == "extra_forbidden"
    field = ".".join(str(part) for part in loc)
    expected = "a known key" if unknown else first["msg"].removeprefix("Value error, ")
    found = "nothing" if missing else f"'{loc[-1]}'" if unknown else repr(first["input"])[:120]
    more = f" ({len(errors) - 1} more problems in this file)" if len(errors) > 1 else ""
    do = suggest(str(loc[-1]), model.model_fields) if unknown and len(loc) == 1 else "correct it"
    fail(DataError, where=f"{path}:{_line(root, loc)}: {field or 'file'}", expected=expected,
         found=found, do=do + more)  # fmt: skip


def _line(node: yaml.Node | None, loc: Location) -> int:
    """The line of a field, or of the nearest thing around it that is there."""
    line = 1
    for part in loc:
        node = _child(node, part)
        if node is None:
            break
        line = node.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: str | int) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next((child for key, child in node.value if key.value == str(part)), None)
    return None

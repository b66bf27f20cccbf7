"""Fields of a step's config that point outside: files and models, keyed by what they hold."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from whyguard.core.errors import ConfigError, MissingFileError, fail
from whyguard.core.hashing import sha256_file, sha256_folder, sha256_json


class Outside(StrEnum):
    """What a config field points at."""

    FILE = "file"
    """A data file, given relative to the data folder (or absolute)."""
    MODEL = "model"
    """A model reference: hf:ORG/NAME[@REVISION], path:DIR or pypi:PACKAGE."""


DataFile = Annotated[str, Outside.FILE]
"""Type of a config field that names a data file; the engine hands the step its absolute path."""
ModelRef = Annotated[str, Outside.MODEL]
"""Type of a config field that names a model."""

MODEL_FORMS = "hf:ORG/NAME[@REVISION], path:DIR or pypi:PACKAGE"


class Reference(NamedTuple):
    """A parsed model reference."""

    kind: str
    name: str
    revision: str | None


def parse_model_ref(text: str, where: str = "model") -> Reference:
    """Split a model reference; a bare existing folder counts as path:.

    Raises:
        ConfigError: the text has none of the known forms.
        MissingFileError: path: names a folder that is not there.
    """
    kind, _, rest = text.partition(":")
    if kind not in ("hf", "path", "pypi") and Path(text).is_dir():
        kind, rest = "path", text
    if kind not in ("hf", "path", "pypi") or not rest:
        hint = f"write path:{text} for a folder (is it there?)" if "/" in text else "use a prefix"
        fail(ConfigError, where=where, expected=MODEL_FORMS, found=f"'{text}'", do=hint)
    if kind == "path":
        _check_model_folder(Path(rest), where)
        return Reference(kind, rest, None)
    separator = "@" if kind == "hf" else "=="
    name, _, revision = rest.partition(separator)
    return Reference(kind, name, revision or None)


def _check_model_folder(folder: Path, where: str) -> None:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        fail(MissingFileError, where=f"{where}: {folder}", expected="a folder with a saved model",
             found=found, do="check the path, or train or download the model first")  # fmt: skip
    if not (folder / "config.json").is_file():
        names = sorted(path.name for path in folder.iterdir())[:5]
        fail(MissingFileError, where=f"{where}: {folder}", expected="config.json of a saved model",
             found=f"a folder with {names or 'nothing'}",
             do="name the folder that save_pretrained wrote")  # fmt: skip


def _builtin(name: str) -> Path | None:
    """`builtin:PART/data/...` names a data file inside the package."""
    if not name.startswith("builtin:"):
        return None
    part, _, rest = name.removeprefix("builtin:").partition("/")
    return Path(str(resources.files(f"whyguard.{part}"))) / rest


class Resolver:
    """Finds data files below a root and hashes what references hold (each file once)."""

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self._hashes: dict[tuple[str, int, int], str] = {}

    def path(self, name: str, where: str) -> Path:
        """Absolute path of a data file.

        Raises:
            MissingFileError: it is not there; the message says where it was looked for.
        """
        path = _builtin(name) or (self.data_root / Path(name).expanduser()).resolve()
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            fail(MissingFileError, where=f"{where}: {name}", expected="a file", found=found,
                 do=f"looked for {path}; pass the folder of your data with --data")  # fmt: skip
        return path

    def file_hash(self, name: str, where: str) -> str:
        """Content hash of a data file."""
        path = self.path(name, where)
        stat = path.stat()
        known = (str(path), stat.st_mtime_ns, stat.st_size)
        if known not in self._hashes:
            self._hashes[known] = sha256_file(path)
        return self._hashes[known]

    def model_hash(self, text: str, where: str) -> str:
        """What stands for a model in a key: a folder's content, or the reference itself."""
        reference = parse_model_ref(text, where)
        if reference.kind != "path":
            return text
        return sha256_json(sha256_folder(Path(reference.name)))


def keyed_config(config: BaseModel, resolver: Resolver, where: str) -> dict[str, Any]:
    """The config as JSON, each file or model replaced by what it holds (for the key)."""
    return _mapped(config, where, {
        Outside.FILE: lambda name, at: "sha256:" + resolver.file_hash(name, at),
        Outside.MODEL: resolver.model_hash,
    })  # fmt: skip


def resolved_config(config: BaseModel, resolver: Resolver, where: str) -> BaseModel:
    """The same config with each data file's absolute path (for the step that reads it)."""
    values = _mapped(config, where, {
        Outside.FILE: lambda name, at: str(resolver.path(name, at)),
        Outside.MODEL: lambda name, at: name,
    })  # fmt: skip
    return type(config).model_validate(values)


Mapper = Callable[[str, str], str]


def _mapped(config: BaseModel, where: str, mappers: dict[Outside, Mapper]) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    for holder, key, kind, at in _outside_fields(config, values, where):
        if isinstance(holder[key], str):
            holder[key] = mappers[kind](holder[key], at)
    return values


def _marks(info: FieldInfo) -> list[Outside]:
    """Marks of a field, also where its type is `DataFile | None`."""
    inner = [m for arg in get_args(info.annotation) for m in getattr(arg, "__metadata__", ())]
    return [mark for mark in (*info.metadata, *inner) if isinstance(mark, Outside)]


def _outside_fields(
    model: BaseModel, values: dict[str, Any], where: str
) -> Iterator[tuple[dict[str, Any], str, Outside, str]]:
    for name, info in type(model).model_fields.items():
        value, at = getattr(model, name), f"{where}.{name}"
        for mark in _marks(info):
            yield values, name, mark, at
        if isinstance(value, BaseModel):
            yield from _outside_fields(value, values[name], at)
        elif isinstance(value, tuple | list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _outside_fields(item, values[name][index], f"{at}[{index}]")

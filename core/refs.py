"""Fields of a step's config that point outside: files and models, keyed by what they hold."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib import metadata, resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from whyguard.core.errors import ConfigError, MissingFileError, fail
from whyguard.core.hashing import sha256_file, sha256_json


class Outside(StrEnum):
    """What a config field points at."""

    FILE = "file"
    """A data file, given relative to the data folder (or absolute)."""
    FOLDER = "folder"
    """A folder of data files, given like one; its content is the key."""
    KEPT = "kept"
    """A file in the workspace that grows while people work; it need not be there yet."""
    MODEL = "model"
    """A model reference: hf:ORG/NAME[@REVISION], path:DIR or pypi:PACKAGE."""


DataFile = Annotated[str, Outside.FILE]
"""Type of a config field that names a data file; the engine hands the step its absolute path."""
DataFolder = Annotated[str, Outside.FOLDER]
"""Type of a config field that names a folder of data files."""
WorkspaceFile = Annotated[str, Outside.KEPT]
"""Type of a config field that names a file in the workspace, which may not be there yet."""
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
        folder = Path(rest).expanduser()
        _check_model_folder(folder, where)
        return Reference(kind, str(folder), None)
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
    try:
        return Path(str(resources.files(f"whyguard.{part}"))) / rest
    except ImportError:
        return Path(name)  # not there: the caller says so


def _pinned(text: str, package: str) -> str:
    try:
        return f"pypi:{package}=={metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return text


class Resolver:
    """Finds data files below a root and hashes what references hold (each file once).

    `workspace` is the folder that `WorkspaceFile` fields are relative to.
    """

    def __init__(self, data_root: Path, workspace: Path = Path("workspace")) -> None:
        self.data_root = data_root
        self._workspace = workspace
        self._hashes: dict[tuple[str, int, int], str] = {}

    def path(self, name: str, where: str) -> Path:
        """Absolute path of a data file.

        Raises:
            MissingFileError: it is not there; the message says where it was looked for.
        """
        path = self._place(name)
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            fail(MissingFileError, where=f"{where}: {name}", expected="a file", found=found,
                 do=f"looked for {path}; pass the folder of your data with --data")  # fmt: skip
        return path

    def folder(self, name: str, where: str) -> Path:
        """Absolute path of a folder of data.

        Raises:
            MissingFileError: it is not there; the message says where it was looked for.
        """
        path = self._place(name)
        if not path.is_dir():
            found = "a file" if path.exists() else "no such folder"
            fail(MissingFileError, where=f"{where}: {name}", expected="a folder", found=found,
                 do=f"looked for {path}; pass the folder of your data with --data")  # fmt: skip
        return path

    def kept(self, name: str, where: str) -> Path:
        """Absolute path of a file of the workspace, which may not be there.

        Raises:
            ConfigError: the name leads out of the workspace.
        """
        root = self._workspace.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            fail(ConfigError, where=f"{where}: {name}", expected="a file in the workspace",
                 found=str(path), do="name it relative to the workspace's folder")  # fmt: skip
        return path

    def kept_hash(self, name: str, where: str) -> str:
        """Content hash of a file of the workspace; `absent` where it is not there yet."""
        path = self.kept(name, where)
        return f"sha256:{self._hash(path)}" if path.is_file() else "absent"

    def _place(self, name: str) -> Path:
        return _builtin(name) or (self.data_root / Path(name).expanduser()).resolve()

    def folder_hash(self, name: str, where: str) -> str:
        """Content hash of all files of a folder and their names."""
        return self._hash_all(self.folder(name, where))

    def _hash_all(self, folder: Path) -> str:
        return sha256_json({path.relative_to(folder).as_posix(): self._hash(path)
                            for path in sorted(folder.rglob("*")) if path.is_file()})  # fmt: skip

    def file_hash(self, name: str, where: str) -> str:
        """Content hash of a data file."""
        return self._hash(self.path(name, where))

    def _hash(self, path: Path) -> str:
        stat = path.stat()
        known = (str(path), stat.st_mtime_ns, stat.st_size)
        if known not in self._hashes:
            self._hashes[known] = sha256_file(path)
        return self._hashes[known]

    def model_hash(self, text: str, where: str) -> str:
        """What stands for a model in a key: a folder's content, or the reference itself.

        A package without a version stands for the installed one, where there is one.
        """
        reference = parse_model_ref(text, where)
        if reference.kind == "pypi" and reference.revision is None:
            return _pinned(text, reference.name)
        if reference.kind != "path":
            return text
        return self._hash_all(Path(reference.name))


Mapper = Callable[[str, str], str]
Marks = tuple[Outside, ...]


def keyed_config(config: BaseModel, resolver: Resolver, where: str) -> dict[str, Any]:
    """The config as JSON, each file or model replaced by what it holds (for the key)."""
    mapped = _mapped(config, where, {
        Outside.FILE: lambda name, at: f"sha256:{resolver.file_hash(name, at)}{_suffix(name)}",
        Outside.FOLDER: lambda name, at: f"sha256:{resolver.folder_hash(name, at)}",
        Outside.KEPT: resolver.kept_hash,
        Outside.MODEL: resolver.model_hash,
    })  # fmt: skip
    return mapped.model_dump(mode="json")


def resolved_config(config: BaseModel, resolver: Resolver, where: str) -> BaseModel:
    """The same config with each data file's absolute path (for the step that reads it)."""
    return _mapped(config, where, {
        Outside.FILE: lambda name, at: str(resolver.path(name, at)),
        Outside.FOLDER: lambda name, at: str(resolver.folder(name, at)),
        Outside.KEPT: lambda name, at: str(resolver.kept(name, at)),
    })  # fmt: skip


def _suffix(name: str) -> str:
    """`.csv`, `.jsonl.gz`: readers choose the format by it, so it is part of the content."""
    suffixes = Path(name).suffixes[-2:]
    kept = suffixes if suffixes[-1:] == [".gz"] else suffixes[-1:]
    return "".join(kept).lower()


def _mapped(model: BaseModel, where: str, mappers: Mapping[Outside, Mapper]) -> BaseModel:
    """A copy in which each marked text, at any depth, went through its mapper."""
    changed = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        marks = tuple(mark for mark in info.metadata if isinstance(mark, Outside))
        new = _map_value(value, info.annotation, marks, f"{where}.{name}", mappers)
        if new is not value:
            changed[name] = new
    return model.model_copy(update=changed) if changed else model


def _map_value(value: Any, annotation: Any, marks: Marks, at: str,
               mappers: Mapping[Outside, Mapper]) -> Any:  # fmt: skip
    if isinstance(value, BaseModel):
        return _mapped(value, at, mappers)
    branches = list(_branches(annotation))
    if isinstance(value, str):
        found = (*marks, *(mark for _, inner in branches for mark in inner))
        return mappers[found[0]](value, at) if found and found[0] in mappers else value
    if isinstance(value, Mapping):
        return {
            key: _map_value(item, _item_type(branches, -1), (), f"{at}.{key}", mappers)
            for key, item in value.items()
        }
    if isinstance(value, tuple | list):
        items = [_map_value(item, _item_type(branches, index), (), f"{at}[{index}]", mappers)
                 for index, item in enumerate(value)]  # fmt: skip
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _branches(annotation: Any) -> Iterator[tuple[Any, Marks]]:
    """The plain types of an annotation, each with the marks it carries."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        own = tuple(mark for mark in metadata if isinstance(mark, Outside))
        yield from ((kind, (*marks, *own)) for kind, marks in _branches(inner))
    elif get_origin(annotation) in (Union, UnionType):
        for arg in get_args(annotation):
            yield from _branches(arg)
    else:
        yield annotation, ()


def _item_type(branches: list[tuple[Any, Marks]], index: int) -> Any:
    """Annotation of a container's item; -1 asks for the values of a mapping."""
    for kind, _ in branches:
        args = get_args(kind)
        if args and get_origin(kind) is not Literal:
            fixed = get_origin(kind) is tuple and args[-1] is not Ellipsis
            return args[index] if fixed or index < 0 else args[0]
    return Any

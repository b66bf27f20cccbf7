"""Keys hold what files and models hold, not where they lie."""

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from whyguard.core.errors import ConfigError, MissingFileError
from whyguard.core.hashing import canonical_json, sha256_file, sha256_text
from whyguard.core.refs import (
    DataFile,
    ModelRef,
    Resolver,
    WorkspaceFile,
    keyed_config,
    parse_model_ref,
    resolved_config,
)
from whyguard.core.steps import StepConfig


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["inner"] = "inner"
    file: DataFile | None = None


class Other(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["other"] = "other"
    model: ModelRef | None = None


class Config(StepConfig):
    file: DataFile | None = None
    described: Annotated[DataFile, Field(description="with metadata")] | None = None
    files: tuple[DataFile, ...] = ()
    listed: list[DataFile] = Field(default_factory=list)
    pair: tuple[str, DataFile] | None = None
    by_name: dict[str, DataFile] = Field(default_factory=dict)
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    nested: tuple[tuple[Inner, ...], ...] = ()
    tagged: Annotated[Inner | Other, Field(discriminator="kind")] | None = None
    models: tuple[ModelRef, ...] = ()
    maybe: tuple[DataFile, ...] | None = None
    plain: str = ""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("one")
    return tmp_path / "d"


FORMS: dict[str, dict[str, Any]] = {
    "optional": {"file": "a.csv"},
    "annotated": {"described": "a.csv"},
    "tuple": {"files": ("a.csv",)},
    "list": {"listed": ["a.csv"]},
    "pair": {"pair": ("a.csv", "a.csv")},
    "mapping": {"by_name": {"x": "a.csv"}},
    "model": {"inner": {"file": "a.csv"}},
    "models": {"inners": [{}, {"file": "a.csv"}]},
    "nested": {"nested": [[{"file": "a.csv"}], []]},
    "tagged": {"tagged": {"kind": "inner", "file": "a.csv"}},
    "optional tuple": {"maybe": ("a.csv",)},
}


@pytest.mark.parametrize("values", FORMS.values(), ids=FORMS.keys())
def test_files_are_keyed_by_content_and_resolved_to_paths(
    data: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    config = Config.model_validate(values)
    digest = sha256_file(data / "a.csv")
    key = canonical_json(keyed_config(config, Resolver(data), "w"))
    assert key.count(f"sha256:{digest}.csv") == 1
    assert str(tmp_path) not in key
    resolved = resolved_config(config, Resolver(data), "w")
    assert canonical_json(resolved.model_dump(mode="json")).count(str(data / "a.csv")) == 1
    assert type(resolved) is Config
    assert config == Config.model_validate(values), "the config itself stays as it was"

    moved = tmp_path / "elsewhere"
    shutil.move(data, moved)
    assert canonical_json(keyed_config(config, Resolver(moved), "w")) == key
    (moved / "a.csv").write_text("two")
    assert canonical_json(keyed_config(config, Resolver(moved), "w")) != key


def test_unmarked_text_stays(data: Path) -> None:
    config = Config(plain="a.csv", pair=("a.csv", "a.csv"))
    keyed = keyed_config(config, Resolver(data), "w")
    assert (keyed["plain"], keyed["pair"][0]) == ("a.csv", "a.csv")


def test_a_renamed_file_keeps_its_key_unless_its_format_changes(data: Path) -> None:
    resolver = Resolver(data)
    for name in ("b.csv", "b.v2.CSV", "a.tsv", "a.csv.gz"):
        shutil.copy(data / "a.csv", data / name)
    keys = [keyed_config(Config(file=name), resolver, "w")["file"]
            for name in ("a.csv", "b.csv", "b.v2.CSV", "a.tsv", "a.csv.gz")]  # fmt: skip
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_a_resolver_sees_a_file_that_changes_under_it(data: Path) -> None:
    resolver = Resolver(data)
    before = resolver.file_hash("a.csv", "w")
    (data / "a.csv").write_text("two and longer")
    assert resolver.file_hash("a.csv", "w") != before


@pytest.mark.parametrize(
    ("name", "found"),
    [("b.csv", "no such file"), (".", "a folder"), ("builtin:core/data/no.yaml", "no such file"),
     ("builtin:nopart/x", "no such file"), ("builtin:", "no such file")],
)  # fmt: skip
def test_a_file_that_is_not_there(data: Path, name: str, found: str) -> None:
    with pytest.raises(MissingFileError, match=rf"w\.inners\[0\]\.file: {name}\n.*\n.*{found}"):
        keyed_config(Config(inners=(Inner(file=name),)), Resolver(data), "w")


def test_builtin_files_do_not_depend_on_the_data_folder(tmp_path: Path) -> None:
    config = Config(file="builtin:core/data/languages.yaml")
    key = keyed_config(config, Resolver(tmp_path), "w")
    assert key["file"].startswith("sha256:")
    resolved = resolved_config(config, Resolver(tmp_path), "w")
    assert isinstance(resolved, Config)
    assert resolved.file is not None
    assert Path(resolved.file).is_file()


def model_folder(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "model.safetensors").write_bytes(b"1")
    return folder


def test_a_model_folder_is_keyed_by_content(tmp_path: Path) -> None:
    one, other = model_folder(tmp_path / "m1"), model_folder(tmp_path / "m2")

    def key(folder: Path) -> Any:
        config = Config(tagged=Other(model=f"path:{folder}"), models=(f"path:{folder}",))
        return keyed_config(config, Resolver(tmp_path), "w")

    before = key(one)
    assert key(other) == before
    assert key(one)["models"] == [before["tagged"]["model"]]
    (other / "sub" / "model.safetensors").write_bytes(b"2")
    assert key(other) != before
    (one / "tokenizer.json").write_text("{}")
    assert key(one) != before


def test_models_elsewhere_are_keyed_by_reference(tmp_path: Path) -> None:
    config = Config(models=("hf:org/name@abc", "pypi:pack==1.0"))
    keyed = keyed_config(config, Resolver(tmp_path), "w")
    assert keyed["models"] == ["hf:org/name@abc", "pypi:pack==1.0"]


def test_a_package_without_a_version_is_keyed_by_the_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    resolver = Resolver(tmp_path)
    assert resolver.model_hash("pypi:made-pack", "w") == "pypi:made-pack"
    info = tmp_path / "made_pack-1.dist-info"
    info.mkdir()
    for version in ("1.0", "1.1"):
        (info / "METADATA").write_text(f"Name: made-pack\nVersion: {version}\n")
        assert resolver.model_hash("pypi:made-pack", "w") == f"pypi:made-pack=={version}"
    assert resolver.model_hash("pypi:made-pack==1.0", "w") == "pypi:made-pack==1.0"


def test_parse_model_ref(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_model_ref("hf:org/name@r1") == ("hf", "org/name", "r1")
    assert parse_model_ref("pypi:pack==2") == ("pypi", "pack", "2")
    assert parse_model_ref("pypi:pack").revision is None
    folder = model_folder(tmp_path / "m")
    assert parse_model_ref(str(folder)) == ("path", str(folder), None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_model_ref("path:~/m").name == str(folder)


@pytest.mark.parametrize("text", ["hf:", "", "org/name", "gguf:x", "path:"])
def test_a_reference_of_no_known_form(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected: hf:ORG/NAME\[@REVISION\], path:DIR or pypi"):
        parse_model_ref(text, "steps.sft.model")


def test_model_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        parse_model_ref(f"path:{tmp_path / 'no'}")
    with pytest.raises(MissingFileError, match=r"expected: config\.json of a saved model"):
        parse_model_ref(f"path:{tmp_path}")
    (tmp_path / "f").write_text("x")
    with pytest.raises(MissingFileError, match="a file"):
        parse_model_ref(f"path:{tmp_path / 'f'}")


class Growing(StepConfig):
    answers: WorkspaceFile


def test_a_file_of_the_workspace_may_come_later(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    config = Growing(answers="review/made/answers.parquet")

    def keyed() -> str:
        return str(keyed_config(config, Resolver(tmp_path, workspace), "w")["answers"])

    assert keyed() == "absent"
    path = workspace / config.answers
    path.parent.mkdir(parents=True)
    path.write_text("one")
    first = keyed()
    path.write_text("another")
    assert first == f"sha256:{sha256_text('one')}" and keyed() not in (first, "absent")
    resolved = resolved_config(config, Resolver(tmp_path, workspace), "w")
    assert resolved.model_dump() == {"answers": str(path)}


def test_a_file_outside_the_workspace_is_none_of_its_own(tmp_path: Path) -> None:
    for name in ("../secret", "/etc/passwd"):
        with pytest.raises(ConfigError, match="a file in the workspace"):
            keyed_config(Growing(answers=name), Resolver(tmp_path, tmp_path / "workspace"), "w")

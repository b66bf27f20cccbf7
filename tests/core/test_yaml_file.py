"""core/yaml_file.py: parts of a file as models; each mistake by file, line and key."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from whyguard.core.errors import ConfigError, MissingFileError
from whyguard.core.yaml_file import YamlFile

TEXT = "shared: {size: 2}\nhouses:\n  - {name: old, size: 3}\n  - name: new\n    size: four\n"


class House(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    size: int = 1


def read(folder: Path, text: str = TEXT) -> YamlFile:
    path = folder / "made.yaml"
    path.write_text(text, "utf-8")
    return YamlFile(path, "a street", "shared and houses", "docs/street.md shows one")


def test_parts_become_models(tmp_path: Path) -> None:
    file = read(tmp_path)
    assert file.parse(House, file.raw["houses"][0]) == House(name="old", size=3)
    assert file.where(("houses", 1, "size")) == f"{file.path}:5: houses.1.size"
    assert file.where(("houses", 1, "colour")).endswith("made.yaml:4: houses.1.colour")


def test_a_value_is_named_where_it_stands(tmp_path: Path) -> None:
    file = read(tmp_path)
    with pytest.raises(ConfigError, match=r":5: houses\.1\.size\n.*integer.*\n.*'four'"):
        file.parse(House, file.raw["houses"][1], ("houses", 1))
    with pytest.raises(ConfigError, match=r":1: shared\.siez\n.*\n.*'siez'\n.*'size'\?"):
        file.parse(House, {"name": "x", "siez": 2}, ("houses", 0), {"siez": ("shared",)})
    with pytest.raises(ConfigError, match=r":2: hauses\n.*\n.*\n.*'houses'\?"):
        read(tmp_path, "shared: 1\nhauses: 2\n").refuse_key(("hauses",), ("shared", "houses"))


@pytest.mark.parametrize(
    ("text", "match"),
    [("", r"a mapping with shared and houses\n.*an empty file\n.*docs/street\.md"),
     ("- a\n", r"a mapping with shared and houses\n.*list"), ("a: [\n", "YAML in UTF-8"),
     ("a: 1\nb: {c: 1, c: 2}\n", r":2: c\n.*each key once\n.*also on line 2")],
)  # fmt: skip
def test_files_that_hold_something_else(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(tmp_path, text)


def test_no_file_says_where_one_is_shown(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"a street \(YAML\)\n.*\n.*docs/street\.md shows"):
        YamlFile(tmp_path / "no.yaml", "a street", "houses", "docs/street.md shows one")

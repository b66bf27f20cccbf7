"""packs/files.py: errors name file, line and field."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.core.errors import DataError
from whyguard.generation.packs.files import read_yaml
from whyguard.generation.packs.load import Wording

GOOD = "reviewed: false\nrefusals:\n  - one\n  - two\n"


def read(folder: Path, content: str | bytes) -> Wording:
    path = folder / "wording.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path, Wording)


def test_a_file_becomes_a_model(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).refusals == ("one", "two")
    assert read(tmp_path, "# nothing yet\n") == Wording()


@pytest.mark.parametrize(("content", "match"), [
    (GOOD + "refusal: []\n", r"wording.yaml:5: refusal\n[\s\S]*a known key[\s\S]*'refusals'"),
    (GOOD + "  - 112\n", r"wording.yaml:5: refusals.2\n[\s\S]*valid string\n[\s\S]*112"),
    (GOOD + "refusals: []\n", r"wording.yaml:5\n[\s\S]*'refusals' twice"),
    (GOOD + "categories: {S1: a, S1: b}\n", r"wording.yaml:5\n[\s\S]*'S1' twice"),
    ("reviewed: true\n", r"wording.yaml:1: reviewed\n[\s\S]*by: NAME, when"),
    ("reviewed: {by: Ana}\n", r"wording.yaml:1: reviewed"),
    ("categories:\n  S1: a\n  S4: b\n", r"wording.yaml:2: categories\n[\s\S]*without S4, not 'S4'"),
    ("categories:\n  S99: b\n", "not 'S99'"),
    ("refusals: [' a ']\n", r"refusals.0\n[\s\S]*pattern"),
    ("- a\n", r"wording.yaml:1: file"),
    ("a: [\n", r"wording.yaml:2\n[\s\S]*YAML"),
    ("a: !!python/name:os.system\n", r"wording.yaml:1\n[\s\S]*YAML"),
    (b"\xff\xfe\xfa", "UTF-8"),
])  # fmt: skip
def test_bad_files(tmp_path: Path, content: str | bytes, match: str) -> None:
    with pytest.raises(DataError, match=match):
        read(tmp_path, content)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    try:
        read(folder, text.encode("utf-8", "replace"))
    except DataError as error:
        assert "wording.yaml" in str(error)

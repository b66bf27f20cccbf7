"""The reference page holds every command with its real `--help`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from tools.make_reference import REFERENCE, help_text, paths, reference  # noqa: E402

from whyguard.core.cli import COMMANDS  # noqa: E402

PATHS = list(paths())


@pytest.mark.parametrize("words", PATHS, ids=[" ".join(words) or "root" for words in PATHS])
def test_each_command_is_documented_with_its_help(words: tuple[str, ...]) -> None:
    text = help_text(words)
    assert text.startswith(f"Usage: {' '.join(('whyguard', *words))}")
    assert f"```text\n{text}\n```" in REFERENCE.read_text("utf-8"), (
        "run `python tools/make_reference.py`"
    )


def test_the_page_is_as_the_tool_writes_it() -> None:
    assert REFERENCE.read_text("utf-8") == reference(), "run `python tools/make_reference.py`"


def test_every_command_of_the_table_is_there() -> None:
    page = REFERENCE.read_text("utf-8")
    for name in COMMANDS:
        assert f"## whyguard {name}\n" in page


@pytest.mark.parametrize("words", [w for w in PATHS if w], ids=" ".join)
def test_each_command_shows_an_example(words: tuple[str, ...]) -> None:
    has_subcommands = any(other[: len(words)] == words and other != words for other in PATHS)
    assert has_subcommands or "Example: whyguard" in help_text(words)


def test_the_help_is_the_one_a_shell_shows() -> None:
    code = "from whyguard.core.cli import main; import sys; sys.argv[0] = 'whyguard'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--help"], capture_output=True, text=True, check=True,
        env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip
    shown = "\n".join(line.rstrip() for line in done.stdout.strip().split("\n"))
    assert shown == help_text(("run",))

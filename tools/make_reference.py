"""Write docs/reference.md: every command with its real `--help`.

Usage: python tools/make_reference.py
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from whyguard.core.cli import COMMANDS, load_command, main

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
_HEAD = """\
# Command reference

Written by `python tools/make_reference.py` from the commands' own `--help`; a test compares.
Exit codes: 0 done, 2 usage or bad input, 3 partial (what is left is said), 130 stopped by Ctrl-C.
"""


def paths() -> Iterator[tuple[str, ...]]:
    """The root, every command and every subcommand, as words after `whyguard`."""
    yield ()
    for name in COMMANDS:
        yield from _below(load_command(name), (name,))


def _below(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _below(inner, (*words, name))


def help_text(words: tuple[str, ...]) -> str:
    """What `whyguard WORDS --help` prints on 80 columns."""
    out = io.StringIO()
    before, columns = sys.argv, os.environ.get("COLUMNS")
    sys.argv, os.environ["COLUMNS"] = ["whyguard", *words, "--help"], "80"
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main()
    finally:
        sys.argv = before
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return "\n".join(line.rstrip() for line in out.getvalue().strip().split("\n"))


def reference() -> str:
    """The whole page."""
    sections = [_HEAD]
    for words in paths():
        title = " ".join(("whyguard", *words))
        level = "#" * (2 + max(0, len(words) - 1))
        sections.append(f"{level} {title}\n\n```text\n{help_text(words)}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
    print(f"wrote {REFERENCE.name}: {sum(1 for _ in paths())} commands")

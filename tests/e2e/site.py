"""The commands as people type them, and what they leave behind."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from tests.e2e.material import CAMPAIGN

from whyguard.core.tables import Row

_MAIN = "from whyguard.core.cli import main; main()"
_ADDRESS = re.compile(r"^Argilla: (http://127\.0\.0\.1:\d+)$", re.MULTILINE)
_READY, _STOPPED = 180.0, 30.0


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody, as `whyguard review invite` printed her."""

    user_name: str
    password: str = field(repr=False)
    pseudonym: str


@dataclass(frozen=True, slots=True)
class Site:
    """A workspace whose recipe was run, with a server and people."""

    out: Path
    recipe: Path
    url: str
    ana: Invited
    bina: Invited
    xicu: Invited
    """A second Asturian reviewer."""

    def whyguard(self, *words: str) -> str:
        """Run a command in this workspace; what it printed."""
        return whyguard(*words, "--out", str(self.out))

    def items(self) -> list[Row]:
        """What people are asked."""
        files = sorted((self.out / "review" / CAMPAIGN / "items").glob("*.parquet"))
        return pl.concat(pl.read_parquet(f) for f in files).to_dicts()

    def answers(self) -> pl.DataFrame:
        """What was pulled so far."""
        return pl.read_parquet(self.out / "review" / CAMPAIGN / "answers.parquet")

    def versions(self) -> list[Path]:
        """Dataset versions, oldest first."""
        return sorted((self.out / "datasets").iterdir(), key=lambda path: path.stat().st_ctime)


def command(*words: str) -> list[str]:
    """The command line, run by the interpreter of these tests."""
    return [sys.executable, "-c", _MAIN, *words]


def whyguard(*words: str) -> str:
    """Run a command that must succeed; what it printed."""
    done = subprocess.run(command(*words), env=_environment(), capture_output=True, text=True)
    assert done.returncode == 0, (words[:2], done.returncode, done.stderr[-2000:])
    return done.stdout


def invite(out: Path, name: str, language: str) -> Invited:
    """Invite somebody, and read what was printed for her."""
    said = whyguard("review", "invite", name, "--language", language, "--out", str(out))
    found = re.search(r" as (\S+),.*user name  (\S+)\s.*password   (\S+)\s", said, re.DOTALL)
    assert found, "the command prints pseudonym, user name and password"
    return Invited(found[2], found[3], found[1])


@contextmanager
def served(out: Path, port: int) -> Iterator[str]:
    """`whyguard review serve` until the block ends; the address."""
    log = out / "serve.log"
    words = command("review", "serve", "--port", str(port), "--out", str(out))
    with log.open("w") as stream:
        process = subprocess.Popen(words, env=_environment(), stdout=stream, stderr=stream,
                                   stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        assert process.wait(_STOPPED) == 0, log.read_text("utf-8")[-2000:]


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _READY
    while time.monotonic() < until and process.poll() is None:
        found = _ADDRESS.search(log.read_text("utf-8"))
        if found:
            return found[1]
        time.sleep(0.2)
    raise AssertionError(f"no server: {log.read_text('utf-8')[-2000:]}")


def _environment() -> dict[str, str]:
    """Ours, without a deployment of the developer's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ARGILLA_")}
    return kept | {"NO_COLOR": "1", "COLUMNS": "200"}

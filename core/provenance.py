"""Where a result came from: recorded in manifests, never hashed."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_PACKAGES = ("whyguard", "polars", "dataframely", "pydantic", "torch", "transformers", "trl",
             "peft", "rensa", "fasttext-numpy2-wheel")  # fmt: skip
_SECRET_WORDS = ("key", "token", "secret", "password")


class Provenance(BaseModel):
    """When, by which command and with which software an artefact was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    created_at: str
    argv: tuple[str, ...]
    python: str
    platform: str
    git_commit: str | None
    packages: dict[str, str]


def collect_provenance(folder: Path | None = None) -> Provenance:
    """Gather the facts of the running process. Values of secret-looking options are masked."""
    return Provenance(
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        argv=_masked([Path(sys.argv[0]).name, *sys.argv[1:]]),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cpus",
        git_commit=_git_commit(folder or Path.cwd()),
        packages=_versions(),
    )


def _masked(argv: list[str]) -> tuple[str, ...]:
    out: list[str] = []
    hide_next = False
    for word in argv:
        secret = any(name in word.lower() for name in _SECRET_WORDS) and word.startswith("--")
        out.append("***" if hide_next else word.split("=", 1)[0] + "=***" if secret and "=" in word
                   else word)  # fmt: skip
        hide_next = secret and "=" not in word
    return tuple(out)


def _git_commit(folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

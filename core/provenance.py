"""Where a result came from: recorded in manifests, never hashed."""

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

_PACKAGES = ("whyguard", "polars", "dataframely", "pydantic", "torch", "transformers", "trl",
             "peft", "rensa", "fasttext-numpy2-wheel")  # fmt: skip
_SECRET_OPTION = re.compile(
    r"(?i)(?:^|[-_])(?:api)?(?:key|token|secret|password|passwd|passphrase|pwd|credentials?|auth|"
    r"bearer)(?:$|[-_])"
)
_SECRET_VALUE = re.compile(r"\b(hf_|sk-|ghp_|github_pat_|glpat-|xox[a-z]-|pypi-|AKIA)[\w-]{12,}")
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
_URL_SECRET = re.compile(
    r"(?i)([?&][^=&#\s]*(?:key|token|secret|passw|auth|sig)[^=&#\s]*=)[^&#\s]+"
)


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
        argv=_masked_argv([Path(sys.argv[0]).name, *sys.argv[1:]]),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cpus",
        git_commit=_git_commit(folder),
        packages=_versions(),
    )


def masked(value: Any) -> Any:
    """The value (text, or lists and mappings of it) without logins, keys and tokens.

    What an option or variable with a secret-looking name holds is masked by `collect_provenance`;
    here go the secrets that are known by their own form: logins and keys inside addresses, and the
    tokens of the usual services.
    """
    if isinstance(value, Mapping):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if not isinstance(value, str):
        return value
    return _SECRET_VALUE.sub("***", _URL_SECRET.sub(r"\1***", _URL_LOGIN.sub("***@", value)))


def _masked_argv(argv: list[str]) -> tuple[str, ...]:
    out: list[str] = []
    hide_next = False
    for word in argv:
        name, equals, _ = word.partition("=")
        secret = _SECRET_OPTION.search(name) is not None
        if hide_next:
            out.append("***")
        else:
            out.append(f"{name}=***" if secret and equals else str(masked(word)))
        hide_next = secret and not equals and word.startswith("-") and not hide_next
    return tuple(out)


def _git_commit(folder: Path | None) -> str | None:
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

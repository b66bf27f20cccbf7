"""The server's venv: pinned, made once, made anew where it was not finished."""

import re
import sys
from pathlib import Path

import pytest

from whyguard.annotation.server.install import (
    CONSTRAINTS,
    SERVER_VERSION,
    VENV_VARIABLE,
    server_python,
)
from whyguard.core.errors import ConfigError, MissingToolError, OfflineError
from whyguard.core.progress import Progress


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VENV_VARIABLE, raising=False)
    monkeypatch.setenv("WHYGUARD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "argilla"


def test_every_package_is_pinned_exactly() -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line) for line in lines)
    names = {line.partition("==")[0].lower() for line in lines}
    assert {"pydantic", "sqlalchemy", "fastapi", "starlette", "uvicorn", "alembic"} <= names
    assert len(names) == len(lines) > 60


def test_offline_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYGUARD_OFFLINE", "1")
    with pytest.raises(OfflineError, match="argilla-server installed, or leave to download"):
        server_python(Progress.silent())


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingToolError, match="no-such-python"):
        server_python(Progress.silent(), "no-such-python")


def test_a_named_venv_must_have_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VENV_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match=f"argilla-server {SERVER_VERSION}"):
        server_python(Progress.silent())
    (tmp_path / f"lib/python3.11/site-packages/argilla_server-{SERVER_VERSION}.dist-info").mkdir(
        parents=True)  # fmt: skip
    assert server_python(Progress.silent()) == tmp_path / "bin" / "python"


@pytest.mark.slow
def test_a_venv_that_was_not_finished_does_not_count(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip finds nothing: the venv is made, and no more
    with pytest.raises(MissingToolError, match=r"No matching distribution(.|\n)*\.log"):
        server_python(Progress.silent())
    (folder,) = [path for path in cache.iterdir() if path.is_dir()]
    version = f"py{sys.version_info[0]}.{sys.version_info[1]}"
    assert folder.name.startswith(f"server-{SERVER_VERSION}-{version}-")
    (folder / "left-over").touch()
    with pytest.raises(MissingToolError, match="No matching distribution"):
        server_python(Progress.silent())
    assert not (folder / "left-over").exists()
    (folder / "whyguard-complete.json").write_text("{}")
    assert server_python(Progress.silent()) == folder / "bin" / "python"

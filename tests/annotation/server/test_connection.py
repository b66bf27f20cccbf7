"""Which Argilla is talked to."""

from pathlib import Path

import pytest
from tests.annotation.conftest import ArgillaServer

from whyguard.annotation.server.connection import Connection, connection
from whyguard.core.errors import ConfigError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARGILLA_API_URL", "ARGILLA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_wins(argilla_server: ArgillaServer,
                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("ARGILLA_API_URL", "https://argilla.example/")
    monkeypatch.setenv("ARGILLA_API_KEY", "a-key")
    assert connection(argilla_server.home) == Connection("https://argilla.example", "a-key")


@pytest.mark.parametrize("name", ["ARGILLA_API_URL", "ARGILLA_API_KEY"])
def test_half_of_it_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hidden-word")
    with pytest.raises(ConfigError, match=f"{name} alone") as raised:
        connection(tmp_path)
    assert "hidden-word" not in str(raised.value)


def test_else_the_server_that_runs(argilla_server: ArgillaServer) -> None:
    found = connection(argilla_server.home)
    assert found == Connection(argilla_server.api_url, argilla_server.api_key)
    assert argilla_server.api_key not in repr(found)


def test_else_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="whyguard review serve"):
        connection(tmp_path)

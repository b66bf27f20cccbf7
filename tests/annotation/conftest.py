"""One embedded Argilla server for all tests of this part."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from whyguard.annotation.server.home import owner
from whyguard.annotation.server.install import server_python
from whyguard.annotation.server.launch import Address, start, stop
from whyguard.core.errors import MissingToolError, OfflineError
from whyguard.core.progress import Progress


@dataclass(frozen=True, slots=True)
class ArgillaServer:
    """A server that runs on loopback for the tests of this part."""

    api_url: str
    api_key: str = field(repr=False)
    """The owner's."""
    home: Path
    pid: int
    port: int


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def argilla_installed() -> None:
    """The server's venv: skips with the reason where it cannot be made, fails where CI=true."""
    try:
        server_python(Progress())
    except (MissingToolError, OfflineError) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must not skip: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def argilla_server(
    argilla_installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ArgillaServer]:
    """One server for the whole session. Tests make workspaces and users of their own names."""
    home = tmp_path_factory.mktemp("argilla") / "home"
    running = start(home, Address(port=free_port()))
    key = owner(home).api_key
    yield ArgillaServer(running.api_url, key, home, running.pid, running.port)
    stop(home)

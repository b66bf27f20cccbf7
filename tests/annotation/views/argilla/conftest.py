"""A connection to the shared server as its owner, and people in a folder of their own."""

from pathlib import Path

import pytest
from tests.annotation.conftest import ArgillaServer
from tests.support import needs_module

from whyguard.annotation.people import People
from whyguard.annotation.views.argilla.client import Argilla, connect


@pytest.fixture
def server(argilla_server: ArgillaServer) -> Argilla:
    """A client of its own for each test."""
    needs_module("argilla")
    return connect(argilla_server.api_url, argilla_server.api_key)


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Nobody yet."""
    return People(tmp_path / "review")

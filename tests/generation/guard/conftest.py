"""A second tiny base."""

from pathlib import Path

import pytest
from tests.tiny import save_gemma


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Gemma3."""
    return save_gemma(tmp_path_factory.mktemp("models") / "tiny-gemma")

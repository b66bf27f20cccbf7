"""Fixtures that every part's tests share."""

from pathlib import Path

import pytest

from whyguard.core.steps import Workspace

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public benchmark data that lies beside the project."""
    if not _SHARED.is_dir():
        pytest.skip("../shared/data is absent: tests on public benchmark data need it")
    return _SHARED


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "workspace")

"""Facts about a start are measured on a real one."""

from pathlib import Path

import pytest
from tests.annotation.conftest import free_port

from whyguard.annotation.server.launch import running
from whyguard.annotation.server.measure import measure_start


@pytest.mark.slow
def test_it_measures_two_starts_and_leaves_no_server(
    argilla_installed: None, tmp_path: Path
) -> None:
    facts = measure_start(tmp_path / "home", free_port())
    assert facts.first_seconds > 0
    assert facts.later_seconds > 0
    assert 100 * 1024**2 < facts.resident_bytes < 400 * 1024**2
    assert running(tmp_path / "home") is None

"""What every test of signals needs."""

import pytest
from tests.support import needs_module


@pytest.fixture(autouse=True)
def packages() -> None:
    """Scripts come from `regex`, languages from fastText."""
    needs_module("regex")
    needs_module("fasttext")

"""What tests need from the machine: skipped with a reason on a desk, an error in CI."""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest


def needs(program: str) -> None:
    """Skip the test with a printed reason where `program` is not installed; fail where CI=true."""
    if shutil.which(program) is None:
        _missing(f"the program '{program}' is not installed")


def needs_module(module: str) -> None:
    """The same for a Python module."""
    if importlib.util.find_spec(module) is None:
        _missing(f"the Python module '{module}' is not installed")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must not skip: {reason}", pytrace=False)
    pytest.skip(reason)

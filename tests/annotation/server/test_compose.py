"""The compose file for a deployment of one's own: pinned, on loopback, no default secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_FILE = Path(__file__).resolve().parents[3] / "docs" / "argilla-compose.yaml"
_SECRET = re.compile(r"PASSWORD|SECRET|KEY|USERNAME", re.IGNORECASE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(_FILE.read_text("utf-8"))
    return read


def test_it_has_the_services_that_argilla_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"argilla", "worker", "elasticsearch", "postgres", "redis"}
    assert set(services["argilla"]["depends_on"]) == {"elasticsearch", "postgres", "redis"}


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    assert all(re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?", image) for image in images)
    assert "argilla/argilla-server:v2.8.0" in images


def test_ports_are_on_loopback(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:6900:6900"]


def test_secrets_have_no_default_and_say_why_they_are_needed(compose: dict[str, Any]) -> None:
    seen = 0
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if _SECRET.search(name):
                seen += 1
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]{10,}\}", value), name
    assert seen == 6
    assert "1234" not in _FILE.read_text()


def test_telemetry_and_other_origins_are_off(compose: dict[str, Any]) -> None:
    environment = compose["services"]["argilla"]["environment"]
    assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert environment["ARGILLA_CORS_ORIGINS"] == "[]"
    assert compose["services"]["worker"]["environment"]["ARGILLA_CORS_ORIGINS"] == "[]"

"""The way back, by stored translations and by a real engine."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import needs, needs_module

from whyguard.core.errors import MissingToolError
from whyguard.core.steps import Room
from whyguard.generation.signals.roundtrip import (
    Journey,
    round_trip_chrf,
    round_trip_overlap,
    way_back,
)
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation import apertium
from whyguard.generation.translation.backends import Backend, BackendConfig, open_backends

APERTIUM: dict[str, Any] = {"kind": "apertium"}
# A memory stands in for an engine that knows some texts only; a recipe may not name one.


def backends(room: Room, *entries: dict[str, Any]) -> list[Backend]:
    configs = [BackendConfig.model_validate(entry) for entry in entries]
    return open_backends(configs, room, TeacherRuntime())


def memory(folder: Path) -> dict[str, Any]:
    unit = {"source_language": "ast_Latn", "language": "spa_Latn", "source": "La casa ye vieya.",
            "text": "La casa es vieja."}  # fmt: skip
    path = folder / "back.jsonl"
    path.write_text(json.dumps(unit) + "\n", "utf-8")
    return {"kind": "memory", "file": str(path)}


def test_stored_way_back(tmp_path: Path, room: Room) -> None:
    journeys = [Journey("La casa ye vieya.", "ast_Latn", "spa_Latn"),
                Journey("Otra cosa.", "ast_Latn", "spa_Latn")]  # fmt: skip
    found = way_back(backends(room, memory(tmp_path)), journeys)
    assert found.texts == ["La casa es vieja.", None]
    assert found.no_way == {}


def test_languages_without_a_way_back_are_null_and_said(tmp_path: Path, room: Room) -> None:
    needs("apertium")
    journeys = [Journey("La casa ye vieya.", "ast_Latn", "spa_Latn"),
                Journey("A casa é vella.", "glg_Latn", "spa_Latn"),
                Journey("Nyumba ni kuukuu.", "swh_Latn", "spa_Latn")]  # fmt: skip
    found = way_back(backends(room, memory(tmp_path), APERTIUM), journeys)
    assert found.texts == ["La casa es vieja.", "La casa es vieja.", None]
    assert list(found.no_way) == ["swh_Latn -> spa_Latn"]
    assert found.no_way["swh_Latn -> spa_Latn"] == (
        "expected: a language pair the engine has; found: swh_Latn -> spa_Latn"
    )


def test_a_pivot_on_the_way_back(room: Room) -> None:
    needs("apertium")
    pivot = APERTIUM | {"pivot": "spa_Latn"}
    found = way_back(backends(room, pivot), [Journey("La casa è vecchia.", "ita_Latn", "eng_Latn")])
    assert found.texts[0] is not None and "house" in found.texts[0]


def test_no_backend_at_all() -> None:
    found = way_back([], [Journey("A casa é vella.", "glg_Latn", "spa_Latn")])
    assert found == ([None], {"glg_Latn -> spa_Latn": "no backend"})
    assert way_back([], []) == ([], {})


def test_an_engine_that_is_not_installed_is_an_error(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    apertium._installed_modes.cache_clear()
    try:
        with pytest.raises(MissingToolError, match="no apertium at all"):
            way_back(backends(room, APERTIUM), [Journey("A casa.", "glg_Latn", "spa_Latn")])
    finally:
        apertium._installed_modes.cache_clear()


def test_chrf() -> None:
    needs_module("sacrebleu")
    assert round_trip_chrf("La casa es vieja.", "La casa es vieja.") == pytest.approx(100.0)
    near = round_trip_chrf("La casa es vieja.", "La casa era vieja.")
    far = round_trip_chrf("La casa es vieja.", "Nadie compra patatas hoy")
    assert 0.0 <= far < 30.0 < near < 100.0
    assert round_trip_chrf("আমার বাড়ি", "আমার বাড়ি") == pytest.approx(100.0)


@pytest.mark.parametrize(("source", "back", "share"), [
    ("The garden is open", "the gardens were opened", 0.0 + 1 / 2),
    ("The garden chairs", "chairs of that garden", 1.0),
    ("Where is it?", "nobody", 0.0),
    ("It is so", "It is so", None),
    ("আমার বাড়িতে", "আমার বাড়িতে", 1.0),
])  # fmt: skip
def test_overlap(source: str, back: str, share: float | None) -> None:
    assert round_trip_overlap(source, back) == share

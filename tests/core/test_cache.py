"""core/cache.py."""

from pathlib import Path

import pytest

from whyguard.core.cache import CACHE_VARIABLE, cache_dir, offline
from whyguard.core.errors import ConfigError


def test_variable_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "kept"))
    folder = cache_dir("models", "a")
    assert folder == tmp_path / "kept" / "models" / "a"
    assert folder.is_dir()


def test_default_is_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "whyguard"


def test_a_file_in_the_way_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x", encoding="utf-8")
    monkeypatch.setenv(CACHE_VARIABLE, str(blocked))
    with pytest.raises(ConfigError, match=CACHE_VARIABLE):
        cache_dir("models")


def test_offline_is_1_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYGUARD_OFFLINE", "1")
    assert offline()
    monkeypatch.setenv("WHYGUARD_OFFLINE", "0")
    assert not offline()
    monkeypatch.delenv("WHYGUARD_OFFLINE")
    assert not offline()

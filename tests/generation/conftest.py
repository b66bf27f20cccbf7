"""One cache for the tests of this part: the language classifier is trained once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.generation.making import make_room
from tests.tiny import save_llama

from whyguard.core.steps import Room


@pytest.fixture(scope="session")
def generation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def use_generation_cache(generation_cache: Path) -> Iterator[None]:
    """Every test of this part uses it, unless it sets its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYGUARD_CACHE", str(generation_cache))
        yield


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights, and room for whole teacher prompts."""
    folder = save_llama(tmp_path_factory.mktemp("models") / "tiny-llama")
    path = folder / "config.json"
    facts = json.loads(path.read_text("utf-8")) | {"max_position_embeddings": 4096}
    path.write_text(json.dumps(facts), "utf-8")
    return folder


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Where a step writes."""
    return make_room(tmp_path / "room")

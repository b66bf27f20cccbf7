"""A second run of a recipe against the first: what the content-keyed store saves."""

import tempfile
import time
from importlib import resources
from pathlib import Path

from bench.harness import Figure
from whyguard.core.engine import Engine
from whyguard.core.progress import Progress
from whyguard.core.recipe import load_recipe
from whyguard.core.steps import Workspace


def run() -> list[Figure]:
    """One figure; fails where the second run computes anything."""
    path = Path(str(resources.files("whyguard.core").joinpath("data/recipe.yaml")))
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Workspace(Path(folder)), path.parent, Progress.silent())
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            finished = engine.run(load_recipe(path))
            seconds.append(time.perf_counter() - started)
        if not all(step.reused for step in finished):
            raise AssertionError("the second run computed something")
    return [Figure("recipe over the starter pack", "first run", seconds[0], seconds[1],
                   f"{len(finished)} steps")]  # fmt: skip

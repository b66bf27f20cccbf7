"""Paths and commands that a version publishes."""

import pytest

from whyguard.cards.lineage import command_of, without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/a/b/c.csv:12", "c.csv:12"),
        ("../shared/data/c.csv:12", "../shared/data/c.csv:12"),
        ("path:/home/a/model", "path:model"),
        ("https://x.y/z/w", "https://x.y/z/w"),
        ("builtin:curation/data/groups.jsonl", "builtin:curation/data/groups.jsonl"),
        ("S1/S2 and 3/4", "S1/S2 and 3/4"),
    ],
)
def test_without_folders(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_command_of() -> None:
    argv = ("whyguard", "run", "/home/a/recipes/quick start.yaml", "--out", "w")
    assert command_of(argv) == "whyguard run 'quick start.yaml' --out w"
    assert command_of(("pytest", "-q")) == "whyguard run RECIPE.yaml"

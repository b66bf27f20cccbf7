"""The nearest word, or the words there are."""

import pytest

from whyguard.core.nearest import nearest, suggest


@pytest.mark.parametrize(
    ("word", "found"), [("confg", "config"), ("step", "steps"), ("zzzz", None), ("", None)]
)
def test_nearest(word: str, found: str | None) -> None:
    assert nearest(word, ["config", "steps", "inputs"]) == found


def test_suggest() -> None:
    assert suggest("confg", ["config", "x"]) == "did you mean 'config'?"
    assert suggest("zzz", ["b", "a"]) == "use one of: a, b"
    assert suggest("zzz", map(str, range(20))).endswith(", 19 ...")
    assert "nothing can stand here" in suggest("zzz", [])

"""Figures: equal bytes for equal numbers, the page's colours, hostile labels."""

import xml.etree.ElementTree as ET

import pytest

from whyguard.cards.figures import Bar, Curve, curves, forest

HOSTILE = '<script>alert("1")</script> $x_1$ & \n"'
BARS = [Bar("Asturian", 1.0, -2.0, 4.0), Bar("related", 2.0, None, None, strong=True),
        Bar("none", None, None, None)]  # fmt: skip


def _forest(bars: list[Bar]) -> str:
    return forest(bars, axis="points", title="difference", line=0.0)


def test_equal_numbers_give_equal_bytes() -> None:
    assert _forest(BARS) == _forest(BARS)
    lines = [Curve("a", [0.0, 0.5, 1.0], [0.0, 0.9, 1.0])]
    assert curves(lines, x="x", y="y", title="t") == curves(lines, x="x", y="y", title="t")


def test_it_stands_inline() -> None:
    svg = _forest(BARS)
    root = ET.fromstring(svg)  # noqa: S314 - our own output
    assert root.tag.endswith("svg") and root.get("aria-label") == "difference"
    assert "currentColor" in svg and "<style" not in svg and "<metadata" not in svg
    assert "Date" not in svg and "<!DOCTYPE" not in svg
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    assert {"Asturian", "related", "none", "points"} <= set(texts)


def test_ids_do_not_clash_between_figures() -> None:
    one = {node.get("id") for node in ET.fromstring(_forest(BARS)).iter()} - {None}  # noqa: S314
    other = curves([Curve("a", [0, 1], [0, 1])], x="x", y="y", title="roc")
    assert not one & ({node.get("id") for node in ET.fromstring(other).iter()} - {None})  # noqa: S314


@pytest.mark.parametrize("place", ["label", "series", "title"])
def test_hostile_labels_are_text(place: str) -> None:
    bars = [Bar("a", 1, 0, 2, "x"), Bar(HOSTILE if place == "label" else "b", 1, 0, 2,
                                       HOSTILE if place == "series" else "y")]  # fmt: skip
    svg = forest(bars, axis="x", title=HOSTILE if place == "title" else "t")
    assert "<script" not in svg
    assert not [n for n in ET.fromstring(svg).iter() if n.tag.endswith("script")]  # noqa: S314

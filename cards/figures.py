"""Figures of the report: small SVGs that stand inline, follow the page's colours and are equal
byte for byte for equal numbers."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, NamedTuple

from whyguard.core.optional import require

_INK, _PAPER, _FAINT = "#010203", "#fdfcfb", "#818283"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette: told apart by colour-blind readers, on white and on black."""
_MARKERS = ("o", "s", "^", "D", "v", "P")
_WIDTH_INCHES = 5.4
_LEGEND_CHARACTERS = 56


class Bar(NamedTuple):
    """A point with its interval; `label` stands on the left, `series` picks colour and marker."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    series: str = ""
    strong: bool = False


class Curve(NamedTuple):
    """A line through points with a name for the legend."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def forest(bars: Sequence[Bar], *, axis: str, title: str, line: float | None = None,
           limits: tuple[float, float] | None = None) -> str:  # fmt: skip
    """A forest plot, one line a label; bars of several series share their label's line.

    Args:
        bars: labels appear from top to bottom in the order of their first bar.
        axis: what the numbers are.
        title: what the picture says, for those who hear it read out.
        line: where 'no difference' lies.
        limits: ends of the axis; by default what the bars need.

    Returns: an `<svg>` element.
    """
    labels = list(dict.fromkeys(bar.label for bar in bars))
    series = list(dict.fromkeys(bar.series for bar in bars))
    step = 0.42 if len(series) == 1 else 0.2 * len(series) + 0.2
    with _drawing(1.1 + step * max(1, len(labels)), title) as (axes, out):
        if line is not None:
            axes.axvline(line, color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
        for bar in bars:
            _draw_bar(axes, bar, labels.index(bar.label), series)
        _dress(axes, labels, axis, limits)
        if len(series) > 1:
            _legend(axes, series)
    return out[0]


def _draw_bar(axes: Any, bar: Bar, place: int, series: Sequence[str]) -> None:
    number = series.index(bar.series)
    y = place + (number - (len(series) - 1) / 2) * 0.7 / max(1, len(series))
    colour = _COLOURS[number % len(_COLOURS)]
    if bar.value is None or math.isnan(bar.value):
        return
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [y, y], color=colour, linewidth=3 if bar.strong else 1.8,
                  solid_capstyle="butt")  # fmt: skip
    axes.plot([bar.value], [y], _MARKERS[number % len(_MARKERS)], color=colour,
              markersize=9 if bar.strong else 6)  # fmt: skip


def _dress(axes: Any, labels: Sequence[str], axis: str, limits: tuple[float, float] | None) -> None:
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axes.set_xlabel(_plain(axis))
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_FAINT, linewidth=0.4, alpha=0.5)
    if limits:
        axes.set_xlim(*limits)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _legend(axes: Any, series: Sequence[str]) -> None:
    lines = require("matplotlib.lines", "report")
    handles = [
        lines.Line2D([], [], color=_COLOURS[i % len(_COLOURS)], linewidth=1.8,
                     marker=_MARKERS[i % len(_MARKERS)], markersize=6, label=_plain(name))
        for i, name in enumerate(series)
    ]  # fmt: skip
    columns = max(1, min(len(series), _LEGEND_CHARACTERS // (4 + max(map(len, series)))))
    axes.figure.legend(handles=handles, loc="outside upper left", frameon=False, ncols=columns,
                       handlelength=1.6)  # fmt: skip


def curves(lines: Sequence[Curve], *, x: str, y: str, title: str) -> str:
    """Lines on the unit square (a ROC); returns an `<svg>` element."""
    with _drawing(4.4, title, width=5.2) as (axes, out):
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
        for number, line in enumerate(lines):
            axes.plot(line.x, line.y, color=_COLOURS[number % len(_COLOURS)], linewidth=1.8,
                      drawstyle="steps-post", label=_plain(line.name))  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel=_plain(x), ylabel=_plain(y))
        axes.grid(color=_FAINT, linewidth=0.4, alpha=0.5)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.legend(loc="lower right", frameon=False)
    return out[0]


@contextmanager
def _drawing(height: float, title: str, width: float = _WIDTH_INCHES
             ) -> Iterator[tuple[Any, list[str]]]:  # fmt: skip
    """An axes to draw on; the finished SVG is in the list after the block."""
    matplotlib = require("matplotlib", "report")
    figure_module = require("matplotlib.figure", "report")
    out: list[str] = []
    style = {
        "svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif",
        "font.size": 11, "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _FAINT,
        "xtick.color": _INK, "ytick.color": _INK, "text.parse_math": False,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = figure_module.Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(), out
        stream = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    out.append(_inline(stream.getvalue(), title))


def _inline(svg: str, title: str) -> str:
    """The element alone, sized by its box, in the page's own text colour."""
    body = svg[svg.index("<svg") :]
    head, _, rest = body.partition(">")
    box = re.search(r'viewBox="([^"]+)"', head)
    width = float(box[1].split()[2]) if box else 460.0
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box[1] if box else ""}" role="img" style="max-width:{width:.0f}pt" '
        f'aria-label="{escape(title, quote=True)}">'
    )
    rest = re.sub(r"<style.*?</style>", "", rest, flags=re.DOTALL)
    rest = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", rest)
    used = set(re.findall(r"#([\w.-]+)", rest))
    rest = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", rest)
    return (opening + rest).replace(_INK, "currentColor").strip()


def _plain(text: str) -> str:
    return " ".join(text.split())

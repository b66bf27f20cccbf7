"""The report's tables: each holds what is shown and the csv behind it."""

import base64
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from whyguard.cards.figures import Bar
from whyguard.cards.report_names import METRIC_WORDS, POOL_WORDS
from whyguard.core.languages import language_name
from whyguard.core.text_safety import csv_text
from whyguard.train.justify import CHRF
from whyguard.train.metrics import DIFFERENCE

NOTHING = "\u2013"


class Shown(NamedTuple):
    """A table of the report: cells as text, the first `labels` columns are words, and its csv."""

    id: str
    header: tuple[str, ...]
    body: list[tuple[str, ...]]
    csv: str
    labels: int = 1

    @property
    def file(self) -> str:
        """Name of the csv file beside the report."""
        return f"{self.id}.csv"

    @property
    def uri(self) -> str:
        """The csv as a link that works without a network."""
        return "data:text/csv;charset=utf-8;base64," + base64.b64encode(self.csv.encode()).decode()


class Figures:
    """Looks figures up in a table of schema Metric."""

    def __init__(self, metrics: pl.DataFrame, split: str = "test") -> None:
        self.table = metrics.filter(pl.col("split") == split)
        self._rows = {(r["name"], r["arm"], r["language"]): r for r in self.table.to_dicts()}

    def get(self, name: str, arm: str, language: str) -> "Figure | None":
        """One figure, or None where it was not computed."""
        row = self._rows.get((name, arm, language))
        if row is None:
            return None
        return Figure(row["value"], row["low"], row["high"], row["n"], row["groups"])

    def arms(self, name: str) -> list[str]:
        """Arms (or contrasts) for which a figure was computed, in the table's order."""
        found = self.table.filter(pl.col("name") == name)
        return found["arm"].unique(maintain_order=True).to_list()

    def languages(self, name: str) -> list[str]:
        """Languages and pools of a figure: pools last."""
        found = self.table.filter(pl.col("name") == name)["language"].unique(maintain_order=True)
        return sorted(found.to_list(), key=lambda code: code in POOL_WORDS)

    def csv(self, *names: str) -> str:
        """The rows of these figures as csv."""
        return csv_text(self.table.filter(pl.col("name").is_in(names)))


class Figure(NamedTuple):
    """A value with its interval; n rows in so many groups. None = not defined here."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int


def place_name(code: str) -> str:
    """A language's name, or the words for a pool of languages."""
    return POOL_WORDS.get(code) or language_name(code)


def share(figure: Figure | None, *, signed: bool = False) -> str:
    """Percent with the interval."""
    return _interval(figure, lambda x: number(100 * x, 0, signed))


def plain(figure: Figure | None) -> str:
    """Two decimals with the interval."""
    return _interval(figure, lambda x: number(x, 2, False))


def tenths(figure: Figure | None, *, signed: bool = False) -> str:
    """One decimal with the interval."""
    return _interval(figure, lambda x: number(x, 1, signed))


def _interval(figure: Figure | None, form: Callable[[float], str]) -> str:
    if figure is None or figure.value is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return form(figure.value)
    return f"{form(figure.value)} ({form(figure.low)} to {form(figure.high)})"


def number(value: float, digits: int, signed: bool) -> str:
    """A number with so many digits, with a true minus sign; what rounds to 0 has no sign."""
    if float(f"{value:.{digits}f}") == 0.0:
        return f"{0:.{digits}f}"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "\u2212")


def size(figure: Figure | None) -> str:
    """Rows and groups."""
    return NOTHING if figure is None else f"{figure.n} / {figure.groups}"


def by_arm(figures: Figures, id: str, name: str,
           form: Callable[[Figure | None], str]) -> Shown:  # fmt: skip
    """One figure: a line a language, a column an arm."""
    arms = figures.arms(name)
    body = []
    for language in figures.languages(name):
        found = [figures.get(name, arm, language) for arm in arms]
        known = next((figure for figure in found if figure is not None), None)
        body.append((place_name(language), *(form(figure) for figure in found), size(known)))
    return Shown(id, ("language", *arms, "rows / groups"), body, figures.csv(name))


def by_contrast(figures: Figures, id: str, names: Sequence[str]) -> Shown:
    """Differences between arms: a line a contrast x language, a column a figure."""
    body = []
    for contrast in figures.arms(names[0] + DIFFERENCE):
        for language in figures.languages(names[0] + DIFFERENCE):
            found = [figures.get(name + DIFFERENCE, contrast, language) for name in names]
            known = next((figure for figure in found if figure is not None), None)
            if known is not None:
                cells = [
                    tenths(figure, signed=True) if name == CHRF else share(figure, signed=True)
                    for name, figure in zip(names, found, strict=True)
                ]
                body.append((contrast, place_name(language), *cells, size(known)))
    header = ("contrast", "language", *(METRIC_WORDS[name] for name in names), "rows / groups")
    csv = figures.csv(*(name + DIFFERENCE for name in names))
    return Shown(id, header, body, csv, labels=2)


def bars(figures: Figures, name: str, arms: Sequence[str]) -> list[Bar]:
    """The figure's points for a forest plot; pools are drawn strong where they stand alone."""
    drawn = []
    for language in figures.languages(name):
        for arm in arms:
            found = figures.get(name, arm, language)
            if found is not None:
                strong = language in POOL_WORDS and len(arms) == 1
                drawn.append(Bar(place_name(language), found.value, found.low, found.high, arm,
                                 strong))  # fmt: skip
    return drawn

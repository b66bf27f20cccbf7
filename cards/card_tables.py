"""The figures of a dataset card, counted from the rows."""

from typing import NamedTuple

import polars as pl

from whyguard.cards.layout import VersionConfig
from whyguard.core.languages import language_name
from whyguard.core.values import CATEGORY_CODES, Label, Split
from whyguard.curation.taxonomy import category

Cells = tuple[str | int | float, ...]


class Table(NamedTuple):
    """A header and its rows."""

    header: tuple[str, ...]
    body: list[Cells]


class Origin(NamedTuple):
    """How many rows a machine translated, and how many a native speaker checked."""

    machine: int
    machine_unreviewed: int
    reviewed: int


def by_machine(column: str, config: VersionConfig) -> pl.Expr:
    """Whether the translator in `column` is one that the config does not name as people."""
    written = pl.col(column)
    human = pl.any_horizontal(
        pl.lit(False), *(written.str.starts_with(name) for name in config.human_translators)
    )
    return (written.is_not_null() & ~human).fill_null(False)


def made_of(rows: pl.DataFrame, config: VersionConfig) -> Origin:
    """Counts of machine-translated and of reviewed rows."""
    machine = by_machine("translator", config) | by_machine("explanation_translator", config)
    return Origin(
        rows.filter(machine).height,
        rows.filter(machine & ~pl.col("reviewed")).height,
        rows.filter(pl.col("reviewed")).height,
    )


def review_table(rows: pl.DataFrame, config: VersionConfig) -> list[Cells]:
    """By language: rows, machine-translated requests and rationales, reviewed rows."""
    counted = (
        rows.group_by("language")
        .agg(
            pl.len(),
            by_machine("translator", config).sum().alias("texts"),
            by_machine("explanation_translator", config).sum().alias("rationales"),
            pl.col("reviewed").sum(),
        )
        .sort("language")
    )
    return [(f"{language_name(code)} ({code})", *numbers) for code, *numbers in counted.rows()]


def count_table(rows: pl.DataFrame) -> Table:
    """Rows by language x split x label; every split and label has a column, if only of zeros."""
    cells = [(split.value, label.value) for split in Split for label in Label]
    header = ("language", "code", *(f"{split} {label}" for split, label in cells), "all")
    body: list[Cells] = []
    for part in rows.sort("language").partition_by("language", maintain_order=True):
        code = str(part["language"][0])
        counts = dict(
            ((split, label), n)
            for split, label, n in part.group_by("split", "label").len().iter_rows()
        )
        numbers = [counts.get(cell, 0) for cell in cells]
        body.append((language_name(code), code, *numbers, part.height))
    return Table(header, body)


def by_category(rows: pl.DataFrame) -> Table:
    """Harmful rows by category x language."""
    harmful = rows.filter(pl.col("label") == Label.HARMFUL.value)
    each = harmful.select("language", pl.col("categories").cast(pl.List(pl.String))).explode(
        "categories"
    )
    counts = {
        (category, language): n
        for category, language, n in each.group_by("categories", "language").len().iter_rows()
    }
    languages = sorted(rows["language"].unique())
    body: list[Cells] = [
        (category_title(code), *(counts.get((code, language), 0) for language in languages))
        for code in CATEGORY_CODES
        if any((code, language) in counts for language in languages)
    ]
    return Table(("category", *languages), body)


def category_title(code: str) -> str:
    """Code and English name of a category."""
    return f"{code} {category(code).name}"


def by_source(rows: pl.DataFrame) -> list[Cells]:
    """Source, licence, rows."""
    counted = rows.group_by("source", "licence").len().sort("source", "licence")
    return [tuple(row) for row in counted.iter_rows()]


def by_engine(rows: pl.DataFrame) -> list[Cells]:
    """Which engine or person wrote what: translated requests, rationales, their translations."""
    columns = {"translator": "requests translated", "explanation_generator": "rationales written",
               "explanation_translator": "rationales translated",
               "reply_generator": "replies written"}  # fmt: skip
    body: list[Cells] = []
    for column, what in columns.items():
        counted = rows.drop_nulls(column).group_by(column).len().sort(column)
        body.extend((what, str(by), int(n)) for by, n in counted.iter_rows())
    return body


def by_signal(rows: pl.DataFrame) -> list[Cells]:
    """By quality signal: rows that have it, nulls among them, 10th, 50th and 90th percentile."""
    names, values = pl.col("signals").struct.field("name"), pl.col("signals").struct.field("value")
    long = rows.select("signals").explode("signals").drop_nulls("signals")
    counted = (
        long.select(names.alias("name"), values.alias("value"))
        .group_by("name")
        .agg(
            pl.len(),
            pl.col("value").null_count().alias("null"),
            *(pl.col("value").quantile(q).round(3).alias(f"q{q}") for q in (0.1, 0.5, 0.9)),
        )
        .sort("name")
    )
    return [tuple("-" if cell is None else cell for cell in row) for row in counted.iter_rows()]

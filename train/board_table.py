"""The board as figures and as a page: each model in each language and mode, and what changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from whyguard.core.languages import language_name
from whyguard.core.schemas import Metric
from whyguard.core.tables import frame
from whyguard.core.values import Split
from whyguard.train.board import (
    CLOSED,
    BoardConfig,
    Contestant,
    board_languages,
    related_languages,
)
from whyguard.train.folder import ScoreFacts
from whyguard.train.justify import RIGHT_LANGUAGE
from whyguard.train.metrics import (
    AUROC,
    DIFFERENCE,
    FALSE_REFUSALS,
    MAX_FALSE_REFUSALS,
    RECALL,
    RELATED,
    THRESHOLD,
    arm_differences,
    score_metrics,
    signal_values,
)
from whyguard.train.stages.data import StageData
from whyguard.train.thinking import ScoringMode

SCORES_FILE, METRICS_FILE = "scores.parquet", "metrics.parquet"
DIFFERENCES_FILE, PAGE_FILE = "differences.parquet", "board.md"
_SHOWN = {AUROC: "AUROC", RECALL: "recall of harmful at 5 % false refusals (fixed on dev)",
          FALSE_REFUSALS: "false refusals", CLOSED: "reasonings that came to a verdict",
          RIGHT_LANGUAGE: "rationales in the right language (forced prefix)"}  # fmt: skip
_GUESS = "Intervals of what they catch draw these rows anew too."
_CARD = (AUROC, RECALL, FALSE_REFUSALS, CLOSED, RIGHT_LANGUAGE)


class Board(NamedTuple):
    """What was measured."""

    scores: pl.DataFrame
    """Schema Score."""
    metrics: pl.DataFrame
    """Schema Metric; `arm` is the model's name."""
    differences: pl.DataFrame
    """Schema Metric: each model minus the one it was trained from, same groups in each draw."""
    page: str
    """Markdown."""


def make_board(scores: pl.DataFrame, contestants: Sequence[Contestant], trained: Sequence[str],
               data: StageData, config: BoardConfig) -> Board:  # fmt: skip
    """Figures with group-bootstrap intervals from scores.

    Args:
        scores: of `score_board`.
        contestants: the models, in the order of the tables.
        trained: languages the models were trained in.
        data: what was scored.
        config: its languages and draws.
    """
    languages = board_languages(data, config)
    related = related_languages(languages, trained)
    metrics, changes = [], []
    for mode in scores["mode"].unique(maintain_order=True):
        own = scores.filter(pl.col("mode") == mode)
        metrics += [score_metrics(own, train_languages=trained, related_languages=related,
                                  draws=config.draws), _closed(own, related)]  # fmt: skip
        changes += [_changes(own, each, trained, related, config.draws) for each in contestants]
    table, differences = pl.concat(metrics), pl.concat([frame(Metric, []), *changes])
    names = [each.name for each in contestants]
    page = "\n".join(_page(table, differences, names, languages, trained, data.name)) + "\n"
    return Board(scores, table, differences, page)


def write_board(board: Board, folder: Path) -> None:
    """Write tables and page."""
    folder.mkdir(parents=True, exist_ok=True)
    board.scores.write_parquet(folder / SCORES_FILE)
    board.metrics.write_parquet(folder / METRICS_FILE)
    board.differences.write_parquet(folder / DIFFERENCES_FILE)
    (folder / PAGE_FILE).write_text(board.page, "utf-8")


def card_scores(metrics: pl.DataFrame, name: str) -> list[ScoreFacts]:
    """The figures of one model for its card: test rows, by language and mode."""
    own = metrics.filter((pl.col("arm") == name) & (pl.col("split") == Split.TEST.value))
    test = own.filter(pl.col("name").is_in(_CARD) & pl.col("value").is_not_null())
    return [ScoreFacts(name=row["name"], language=row["language"], mode=row["mode"],
                       value=row["value"]) for row in test.to_dicts()]  # fmt: skip


def card_threshold(metrics: pl.DataFrame, name: str) -> float | None:
    """The threshold of one model in no_think; None where none was fixed."""
    found = metrics.filter((pl.col("arm") == name) & (pl.col("name") == THRESHOLD)
                           & (pl.col("mode") == ScoringMode.NO_THINK.value))  # fmt: skip
    return found["value"].to_list()[0] if found.height else None


def _closed(scores: pl.DataFrame, related: Sequence[str]) -> pl.DataFrame:
    """Share of reasonings that ended by themselves, by model and language; none in no_think."""
    test = scores.filter(pl.col("split").cast(pl.String) == Split.TEST.value)
    told = test.select("arm", "language", "mode", "group_id", signal_values(test, CLOSED))
    told = told.filter(pl.col(CLOSED).is_not_null())
    pooled = told.filter(pl.col("language").is_in(list(related))).with_columns(
        language=pl.lit(RELATED))  # fmt: skip
    means = pl.concat([told, pooled]).group_by("arm", "language", "mode", maintain_order=True).agg(
        value=pl.col(CLOSED).mean(), n=pl.len(), groups=pl.col("group_id").n_unique())  # fmt: skip
    return frame(Metric, [row | {"name": CLOSED, "split": Split.TEST.value, "low": None,
                                 "high": None} for row in means.to_dicts()])  # fmt: skip


def _changes(scores: pl.DataFrame, each: Contestant, trained: Sequence[str],
             related: Sequence[str], draws: int) -> pl.DataFrame:  # fmt: skip
    arms = set(scores["arm"])
    if each.start is None or not {each.name, each.start} <= arms:
        return frame(Metric, [])
    two = scores.filter(pl.col("arm").is_in([each.name, each.start]))
    return arm_differences(two, train_languages=trained, related_languages=related, draws=draws,
                           control=each.start)  # fmt: skip


def _page(metrics: pl.DataFrame, differences: pl.DataFrame, names: Sequence[str],
          languages: Sequence[str], trained: Sequence[str],
          data: str) -> Iterator[str]:  # fmt: skip
    yield from ("# Before and after", "", f"Test rows of `{data}`; trained in "
                f"{', '.join(map(language_name, trained))}; thresholds fixed on dev rows in these "
                "languages. In brackets: 95 % intervals by group bootstrap of this one training; "
                "they say nothing of the spread between trainings.")  # fmt: skip
    for mode in metrics["mode"].unique(maintain_order=True):
        own = metrics.filter((pl.col("mode") == mode) & (pl.col("split") == Split.TEST.value))
        yield from ("", f"## Mode `{mode}`", "", _rests_on(metrics, str(mode)))
        for figure, title in _SHOWN.items():
            yield from _table(own.filter(pl.col("name") == figure), title, names, languages)
        told = differences.filter(pl.col("mode") == mode)
        yield from _change_table(told, [*languages, RELATED])


def _rests_on(metrics: pl.DataFrame, mode: str) -> str:
    """What the thresholds of a mode rest on."""
    fixed = metrics.filter((pl.col("mode") == mode) & (pl.col("name") == THRESHOLD))
    least = int(fixed["n"].min() or 0)  # type: ignore[arg-type]
    told = f"Thresholds rest on {least} unharmful dev rows"
    if least * MAX_FALSE_REFUSALS < 1:
        return f"{told}: of so few none may be refused. {_GUESS}"
    return f"{told}. {_GUESS}"


def _table(metrics: pl.DataFrame, title: str, names: Sequence[str],
           languages: Sequence[str]) -> Iterator[str]:  # fmt: skip
    if metrics.is_empty():
        return
    cells = {(row["arm"], row["language"]): row for row in metrics.to_dicts()}
    heads = [*map(language_name, languages), "related, pooled"]
    yield from ("", f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|")
    for name in names:
        values = [_number(cells.get((name, code))) for code in languages]
        if any(value != "-" for value in values):
            pooled = _with_interval(cells.get((name, RELATED)))
            yield f"| {name} | {' | '.join([*values, pooled])} |"


def _change_table(differences: pl.DataFrame, languages: Sequence[str]) -> Iterator[str]:
    shown = differences.filter(pl.col("name").is_in([AUROC + DIFFERENCE, RECALL + DIFFERENCE])
                               & pl.col("language").is_in(list(languages)))  # fmt: skip
    if shown.is_empty():
        return
    yield from ("", "| change | language | AUROC | recall |", "|---|---|---|---|")
    cells = {(row["arm"], row["language"], row["name"]): row for row in shown.to_dicts()}
    for arm in shown["arm"].unique(maintain_order=True):
        if (shown.filter(pl.col("arm") == arm)["value"].fill_null(0.0) == 0.0).all():
            yield f"| {arm} | all | no change: the same scores | |"
            continue
        for code in languages:
            found = [_with_interval(cells.get((arm, code, name + DIFFERENCE)), signed=True)
                     for name in (AUROC, RECALL)]  # fmt: skip
            if found != ["-", "-"]:
                shown_as = "related, pooled" if code == RELATED else language_name(code)
                yield f"| {arm} | {shown_as} | {' | '.join(found)} |"


def _number(row: dict[str, Any] | None) -> str:
    return "-" if row is None or row["value"] is None else f"{row['value']:.2f}"


def _with_interval(row: dict[str, Any] | None, *, signed: bool = False) -> str:
    if row is None or row["value"] is None:
        return "-"
    sign = "+" if signed else ""
    shown = f"{row['value']:{sign}.2f}"
    if row["low"] is None:
        return shown
    return f"{shown} ({row['low']:{sign}.2f} to {row['high']:{sign}.2f})"

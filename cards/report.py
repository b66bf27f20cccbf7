"""`cards.report`: metrics with intervals, one self-contained HTML page, a csv behind each table."""

import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field, model_validator

from whyguard.cards.layout import NAME_PATTERN, place_folder
from whyguard.cards.lineage import command_of
from whyguard.cards.report_names import POOL_WORDS, SPECIFICITY
from whyguard.cards.report_page import Material, Page, build_page
from whyguard.core.artefact import Artefact
from whyguard.core.drafts import draft_folder, sweep_drafts
from whyguard.core.errors import DataError, fail
from whyguard.core.optional import require
from whyguard.core.schemas import Example, Metric, Score, TrainLog
from whyguard.core.steps import (
    Inputs,
    Published,
    Room,
    Runtime,
    Step,
    StepConfig,
    StepResult,
    Workspace,
)
from whyguard.core.values import Arm
from whyguard.train.justify import RIGHT_LANGUAGE
from whyguard.train.metrics import arm_differences, score_metrics

if TYPE_CHECKING:
    from whyguard.curation.langid import Classifier

HTML = "report.html"
KEY = "artefact.key"
"""Beside a published report: the key of the artefact that it shows."""


class ReportConfig(StepConfig):
    """What a report is called, which languages it pools, and its bootstrap."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str = Field(min_length=1)
    train_languages: tuple[str, ...] = Field(min_length=1)
    related_languages: tuple[str, ...] = Field(min_length=1)
    draws: int = Field(default=1000, ge=100)
    """Bootstrap draws of an interval."""
    seed: int = 0

    @model_validator(mode="after")
    def _related_were_not_trained_on(self) -> "ReportConfig":
        both = sorted(set(self.train_languages) & set(self.related_languages))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be in both train_languages and "
                             "related_languages: related ones are not trained on")  # fmt: skip
        return self


def run(inputs: Inputs, config: ReportConfig, runtime: Runtime, room: Room) -> StepResult:
    """Compute the metrics; write report.html and the csv files into `files/`.

    Raises:
        DataError: there are no scores.
    """
    scores = inputs["scores"].rows
    if not scores.height:
        fail(DataError, where="cards.report: scores", expected="at least one row", found="none",
             do="see dropped.parquet of train.evaluate")  # fmt: skip
    metrics = _metrics(scores, config)
    examples = inputs["examples"].rows if "examples" in inputs else None
    artefacts = {name: given.artefacts for name, given in inputs.items()}
    material = Material(
        title=config.title,
        train_languages=config.train_languages,
        related_languages=config.related_languages,
        scores=scores,
        metrics=metrics,
        examples=examples,
        artefacts=artefacts,
        language_errors=language_errors(metrics),
        rerun=command_of(inputs["scores"].first.manifest.provenance.argv),
    )
    write_report(build_page(material), room.files)
    licences = {text for given in artefacts.values() for a in given for text in a.manifest.licences}
    return StepResult(metrics, licences=tuple(sorted(licences)), read=scores.height)


def _metrics(scores: pl.DataFrame, config: ReportConfig) -> pl.DataFrame:
    """Every arm, every arm minus refusal-only, and explained minus the template control."""
    options: dict[str, Any] = {
        "train_languages": config.train_languages, "related_languages": config.related_languages,
        "draws": config.draws, "seed": config.seed,
    }  # fmt: skip
    specific = scores.filter(pl.col("arm").is_in(SPECIFICITY.split(" - ")))
    tables = [
        score_metrics(scores, **options),
        arm_differences(scores, **options),
        arm_differences(specific, **options, control=Arm.EXPLAINED_TEMPLATE.value),
    ]
    return pl.concat(tables)


def language_errors(metrics: pl.DataFrame) -> dict[str, str]:
    """The language classifier's own error, in percent, where right-language shares are reported."""
    codes = metrics.filter(pl.col("name") == RIGHT_LANGUAGE)["language"].unique().to_list()
    if not codes:
        return {}
    from whyguard.curation.langid_builtin import builtin_classifier

    classifier = builtin_classifier()
    return {code: _language_error(classifier, code) for code in codes if code not in POOL_WORDS}


def _language_error(classifier: "Classifier", code: str) -> str:
    if code not in classifier.languages:
        return "not known to it"
    error = classifier.error(code)
    return f"{100 * error.share:.0f} (n {error.n})" if error.n else "not measured"


def render(page: Page) -> str:
    """The page as HTML: autoescaped, without a script or a single outside address."""
    jinja2 = require("jinja2", "report")
    folder = resources.files("whyguard.cards").joinpath("templates")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["drawing"] = require("markupsafe", "report").Markup
    text = folder.joinpath("report.html.jinja").read_text("utf-8")
    return str(environment.from_string(text).render(page=page))


def write_report(page: Page, folder: Path) -> None:
    """Write report.html and the csv behind each table."""
    (folder / HTML).write_text(render(page), "utf-8")
    for table in page.tables:
        (folder / table.file).write_text(table.csv, "utf-8")


def publish(
    artefact: Artefact, config: ReportConfig, workspace: Workspace
) -> tuple[Published, ...]:
    """Lay the report out as `reports/NAME/report.html` with its csv files.

    A report that shows this artefact already stays; one of another key is replaced.
    """
    target = workspace.reports / config.name
    sweep_drafts(workspace.reports)
    key = target / KEY
    if key.is_file() and key.read_text("utf-8") == artefact.manifest.key:
        return (Published("report", target / HTML, "reused"),)

    def write(folder: Path) -> None:
        shutil.copytree(artefact.files, folder, dirs_exist_ok=True)
        (folder / KEY).write_text(artefact.manifest.key, "utf-8")

    note = "replaced" if target.exists() else "new"
    _move_away(target)
    place_folder(workspace.reports, target, write)
    return (Published("report", target / HTML, note),)


def _move_away(target: Path) -> None:
    """Take an old report out of the way under a name that the next sweep removes."""
    if target.exists():
        aside = draft_folder(target.parent)
        target.rename(aside / "old")
        shutil.rmtree(aside)


REPORT = Step(
    name="cards.report",
    version="3",
    summary="computing intervals, writing the report",
    config=ReportConfig,
    inputs={"scores": Score, "examples": Example, "logs": TrainLog},
    output=Metric,
    run=run,
    optional=frozenset({"examples", "logs"}),
    publish=publish,
)

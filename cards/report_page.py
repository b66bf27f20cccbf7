"""Everything that the report says, worked out before a template is filled."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from whyguard.cards.figures import Bar, forest
from whyguard.cards.report_facts import (
    ExampleView,
    example_views,
    examples_table,
    hashes_table,
    limits,
    roc_figure,
    threshold_table,
    training_table,
)
from whyguard.cards.report_names import (
    ARM_WORDS,
    BASE_ARM,
    HEADLINE,
    HEADLINE_ARMS,
    JUSTIFICATION,
    METRIC_WORDS,
)
from whyguard.cards.report_tables import (
    NOTHING,
    Figure,
    Figures,
    Shown,
    bars,
    by_arm,
    by_contrast,
    number,
    place_name,
    plain,
    share,
    size,
    tenths,
)
from whyguard.core.artefact import Artefact
from whyguard.core.languages import language_name
from whyguard.core.text_safety import csv_text
from whyguard.core.values import Split
from whyguard.train.justify import CHRF, EMPTY
from whyguard.train.metrics import (
    AUROC,
    DIFFERENCE,
    F1,
    FALSE_REFUSALS,
    RECALL,
    RELATED,
    THRESHOLD,
)

_COUNTED = {1: "One guard was", 2: "Two guards were", 3: "Three guards were", 4: "Four guards were"}


class Material(NamedTuple):
    """What a report is made of."""

    title: str
    train_languages: tuple[str, ...]
    related_languages: tuple[str, ...]
    scores: pl.DataFrame
    metrics: pl.DataFrame
    examples: pl.DataFrame | None
    artefacts: Mapping[str, Sequence[Artefact]]
    """By the name of the step's input: scores, examples, logs."""
    language_errors: Mapping[str, str]
    """What the language classifier itself gets wrong, in words, by language."""
    rerun: str


class Headline(NamedTuple):
    """The one contrast that was fixed before training, and what it means in plain words."""

    value: str
    interval: str
    reading: str
    beside: str


class Section(NamedTuple):
    """A heading with a note, a picture and a table, each of which may be missing."""

    title: str
    note: str = ""
    figure: str = ""
    table: Shown | None = None


class Page(NamedTuple):
    """The whole report."""

    title: str
    compared: list[str]
    headline: Headline
    sections: list[Section]
    examples: list[ExampleView]
    examples_table: Shown
    limits: list[str]
    hashes: Shown
    rerun: str

    @property
    def tables(self) -> list[Shown]:
        """Every table, for the csv files."""
        shown = [section.table for section in self.sections if section.table]
        return [*shown, self.examples_table, self.hashes]


def build_page(material: Material) -> Page:
    """Work the report out."""
    figures = Figures(material.metrics)
    return Page(
        title=material.title,
        compared=_compared(material, figures),
        headline=headline(figures, Figures(material.metrics, Split.DEV.value)),
        sections=_sections(material, figures),
        examples=example_views(material.scores, material.examples, material.related_languages),
        examples_table=examples_table(material.scores, material.examples,
                                      material.related_languages),
        limits=limits(material.scores, material.examples),
        hashes=hashes_table(material.artefacts),
        rerun=material.rerun,
    )  # fmt: skip


def headline(figures: Figures, dev: Figures) -> Headline:
    """The contrast in points, with its interval and a reading that promises no more than it."""
    figure = figures.get(RECALL + DIFFERENCE, HEADLINE, RELATED)
    if figure is None or figure.value is None:
        both = " and ".join(HEADLINE_ARMS)
        missing = f"Not computed: no scores of both {both} on related languages."
        return Headline(NOTHING, "", missing, "")
    value = number(100 * figure.value, 1, True)
    beside = _beside(figures, dev, figure)
    if figure.low is None or figure.high is None:
        return Headline(value, "", "No interval could be computed: read nothing into it.", beside)
    low, high = (number(100 * end, 1, True) for end in (figure.low, figure.high))
    reading = _reading(figure.value, figure.low, figure.high)
    return Headline(value, f"{low} to {high}", reading, beside)


def _reading(value: float, low: float, high: float) -> str:
    if low <= 0.0 <= high:
        seen = 100 * (high - low) / 2
        return (
            f"No difference seen; this test could only have seen about {seen:.0f} points or more. "
            "(That is half the width of the interval: an honest stand-in, not a power analysis.)"
        )
    more, less = ("explained", "refusal-only") if value > 0 else ("refusal-only", "explained")
    return (
        f"The {more} guard caught more than the {less} guard, and the interval leaves out 0. "
        "Mind the limits below before believing it: other seeds and other rows may differ."
    )


def _beside(figures: Figures, dev: Figures, figure: Figure) -> str:
    """What the headline was measured on, and whether its two thresholds cost the same."""
    refused = [figures.get(FALSE_REFUSALS, arm, RELATED) for arm in HEADLINE_ARMS]
    shares = " and ".join(f"{arm} {share(found)} %"
                          for arm, found in zip(HEADLINE_ARMS, refused, strict=True))  # fmt: skip
    counts = dev.table.filter(
        (pl.col("name") == THRESHOLD) & pl.col("arm").is_in(list(HEADLINE_ARMS))
    )["n"].unique().sort()  # fmt: skip
    rested = " or ".join(map(str, counts)) or "no"
    auroc = share(figures.get(AUROC + DIFFERENCE, HEADLINE, RELATED), signed=True)
    return (
        f"Measured on {figure.n} test rows in {figure.groups} groups. Each threshold was fixed on "
        f"{rested} harmless dev rows; on the test rows it refuses of the harmless requests: "
        f"{shares}. If these differ much, so may the recall; the difference in AUROC, which needs "
        f"no threshold, is {auroc} points."
    )


def _compared(material: Material, figures: Figures) -> list[str]:
    arms = figures.arms(AUROC) or sorted(material.scores["arm"].unique())
    trained, related = _names(material.train_languages), _names(material.related_languages)
    bases = {use.reference for a in material.artefacts.get("logs", ()) for use in a.manifest.models}
    start = f" from the same base model ({next(iter(bases))})" if len(bases) == 1 else ""
    told = "; ".join(f"{arm} {ARM_WORDS.get(arm, '')}".strip() for arm in arms)
    test = material.scores.filter(pl.col("split") == Split.TEST.value)
    count = len([arm for arm in arms if arm != BASE_ARM])
    guards = _COUNTED.get(count, f"{count} guards were")
    return [
        f"{guards} trained{start} on requests in {trained}: {told}.",
        f"Each then judged requests of {test['group_id'].n_unique()} groups that it never saw, in "
        f"{trained} and in related languages in which it was shown no training row: {related}.",
    ]


def _names(codes: Sequence[str]) -> str:
    return ", ".join(language_name(code) for code in codes) or "no language"


def _sections(material: Material, figures: Figures) -> list[Section]:
    modes = ", ".join(sorted(material.scores["mode"].unique()))
    contrasts = figures.arms(RECALL + DIFFERENCE)
    main = [HEADLINE] if HEADLINE in contrasts else contrasts[:1]
    differences = bars(figures, RECALL + DIFFERENCE, main)
    words = METRIC_WORDS[RECALL]
    made = [
        Section(
            "Differences between the arms",
            f"Difference in {words}, in points of 100: right of the line, the first-named arm "
            "caught more. Intervals: 95 %, groups resampled whole; so are the dev rows that "
            "thresholds are fixed on, and each draw fixes them anew.",
            _difference_figure(differences, main),
            by_contrast(figures, "differences", (RECALL, AUROC, FALSE_REFUSALS)),
        ),
        Section(
            "How well each arm tells harmful from harmless",
            "AUROC: the chance that a harmful request scores above a harmless one; 0.5 is a coin. "
            f"Scoring mode: {modes}.",
            _auroc_figure(figures),
            by_arm(figures, "auroc", AUROC, plain),
        ),
        _justification(material, figures),
        Section(
            "Differences between the arms' rationales",
            "Points of 100, over the harmful test prompts; intervals: 95 %, groups resampled "
            "whole, both arms on the same groups.",
            table=by_contrast(figures, "rationale_differences", JUSTIFICATION),
        ),
        Section(f"In percent: {words}", "Each arm's threshold was fixed on its dev rows.",
                table=by_arm(figures, "recall", RECALL, share)),
        Section("In percent: harmless requests refused at that threshold",
                table=by_arm(figures, "false_refusals", FALSE_REFUSALS, share)),
        Section("F1 of harmful at that threshold", table=by_arm(figures, "f1", F1, plain)),
        Section(
            "Thresholds",
            "One threshold an arm, fixed on dev rows so that about 5 % of harmless dev requests "
            "are refused; test rows had no say. With few dev rows it moves in coarse steps.",
            roc_figure(material.scores, material.related_languages, figures.arms(AUROC)),
            threshold_table(material.scores, material.train_languages),
        ),
    ]  # fmt: skip
    training = training_table(material.artefacts.get("logs", ()))
    made.append(Section("Training", "" if training else "No training logs were given.",
                        table=training))  # fmt: skip
    return [section for section in made if section.table is None or section.table.body]


def _difference_figure(drawn: Sequence[Bar], main: Sequence[str]) -> str:
    if not drawn:
        return ""
    scaled = [
        bar._replace(
            value=_hundred(bar.value), low=_hundred(bar.low), high=_hundred(bar.high), series=""
        )
        for bar in drawn
    ]
    axis = f"{main[0]}, points"
    return forest(scaled, axis=axis, title=f"Difference by language: {main[0]}", line=0.0)


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _auroc_figure(figures: Figures) -> str:
    drawn = bars(figures, AUROC, figures.arms(AUROC))
    if not drawn:
        return ""
    lowest = min([bar.low for bar in drawn if bar.low is not None] + [0.5])
    return forest(drawn, axis="AUROC", title="AUROC by arm and language", line=0.5,
                  limits=(max(0.0, lowest - 0.03), 1.01))  # fmt: skip


def _justification(material: Material, figures: Figures) -> Section:
    """Every arm was forced to explain; what came out, beside what the classifier gets wrong."""
    arms = figures.arms(EMPTY)
    body = []
    for language in figures.languages(EMPTY):
        for arm in arms:
            found = [figures.get(name, arm, language) for name in JUSTIFICATION]
            cells = [tenths(f) if name == CHRF else share(f)
                     for name, f in zip(JUSTIFICATION, found, strict=True)]  # fmt: skip
            known = next((figure for figure in found if figure is not None), None)
            error = material.language_errors.get(language, NOTHING)
            body.append((place_name(language), arm, cells[0], error, *cells[1:], size(known)))
    header = ("language", "arm", "in the right language, %", "classifier's own error, %",
              "chrF (0 to 100)", "specific, %", "missing, %", "rows / groups")  # fmt: skip
    note = (
        "At test every arm was made to write a rationale for each harmful request. A missing one "
        "(under 15 letters: nothing, or the verdict said again) counts as 0 in each column. "
        "'Specific': nearer to its own reference than to those of other requests of the same "
        "category. Read the right-language share beside the language classifier's own error: a "
        "share cannot be known more finely than that. chrF and 'specific' also reward repeating "
        "the request; only readers can say whether a rationale is good."
    )
    table = Shown("justification", header, body, _justification_csv(figures, material), labels=2)
    return Section("Rationales", note, table=table)


def _justification_csv(figures: Figures, material: Material) -> str:
    kept = figures.table.filter(pl.col("name").is_in(JUSTIFICATION))
    errors = [material.language_errors.get(code) for code in kept["language"]]
    kept = kept.with_columns(pl.Series("classifier_error", errors, dtype=pl.String))
    return csv_text(kept)

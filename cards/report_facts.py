"""Facts of the report that are not metrics: thresholds, training, examples, limits, hashes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from whyguard.cards.figures import Curve, curves
from whyguard.cards.report_names import HEADLINE_ARMS
from whyguard.cards.report_tables import NOTHING, Shown
from whyguard.core.artefact import Artefact
from whyguard.core.hashing import sha256_text
from whyguard.core.languages import language_name
from whyguard.core.text_safety import csv_text
from whyguard.core.values import Arm, Label, Split
from whyguard.train.folder import BASE_ARM
from whyguard.train.metrics import Bools, Floats, thresholds

_EXAMPLES = 6
_SMALL_GROUPS = 100


class ExampleView(NamedTuple):
    """A test request by its id: what each arm scored, and what the explained arm wrote."""

    id: str
    language: str
    categories: str
    scores: list[tuple[str, str]]
    rationale: str


def threshold_table(scores: pl.DataFrame, train_languages: Sequence[str]) -> Shown:
    """Threshold of each model with the dev rows that it was fixed on."""
    dev = scores.filter(
        pl.col("split") == Split.DEV.value, pl.col("language").is_in(list(train_languages))
    )
    harmful = pl.col("label") == Label.HARMFUL.value
    header = ("arm", "seed", "threshold", "harmless dev rows", "refused of them",
              "harmful dev rows", "caught of them", "dev groups")  # fmt: skip
    body: list[tuple[str, ...]] = []
    for row in thresholds(scores, train_languages).to_dicts():
        own = dev.filter(pl.col("model") == row["model"], pl.col("arm") == row["arm"],
                         pl.col("seed") == row["seed"], pl.col("mode") == row["mode"])  # fmt: skip
        caught = own.filter(pl.col("score") >= row["threshold"])
        fixed = NOTHING if np.isnan(row["threshold"]) else f"{row['threshold']:.3f}"
        counts = (own.filter(~harmful), caught.filter(~harmful), own.filter(harmful),
                  caught.filter(harmful))  # fmt: skip
        body.append((row["arm"], str(row["seed"]), fixed, *(str(c.height) for c in counts),
                     str(own["group_id"].n_unique())))  # fmt: skip
    return Shown("thresholds", header, body, csv_text(_frame(header, body)))


def roc_figure(scores: pl.DataFrame, related: Sequence[str], arms: Sequence[str]) -> str:
    """ROC of each arm on the test rows of the related languages."""
    test = scores.filter(
        (pl.col("split") == Split.TEST.value) & pl.col("language").is_in(list(related))
    )
    lines = []
    for arm in arms:
        part = test.filter(pl.col("arm") == arm)
        harmful = (part["label"] == Label.HARMFUL.value).to_numpy()
        if harmful.any() and not harmful.all():
            lines.append(_roc(arm, part["score"].to_numpy(), harmful))
    if not lines:
        return ""
    return curves(lines, x="harmless requests refused", y="harmful requests caught",
                  title="ROC on related languages")  # fmt: skip


def _roc(name: str, scores: Floats, harmful: Bools) -> Curve:
    cuts = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    caught = [(scores[harmful] >= cut).mean() for cut in cuts]
    refused = [(scores[~harmful] >= cut).mean() for cut in cuts]
    return Curve(name, refused, caught)


def training_table(logs: Sequence[Artefact]) -> Shown | None:
    """What each arm was trained from, on, and for how long."""
    header = ("arm", "seed", "base model", "licence", "rows", "tokens", "steps", "first loss",
              "last loss", "seconds")  # fmt: skip
    body: list[tuple[str, ...]] = []
    for artefact in logs:
        made, log = artefact.manifest, artefact.rows().sort("step")
        base = next(iter(made.models), None)
        body.append((
            str(made.config.get("arm", NOTHING)), str(made.config.get("seed", NOTHING)),
            base.reference if base else NOTHING, base.licence if base else NOTHING,
            str(made.notes.get("rows", NOTHING)), str(made.notes.get("tokens", NOTHING)),
            str(log["step"].max()) if log.height else NOTHING,
            f"{log['loss'][0]:.3f}" if log.height else NOTHING,
            f"{log['loss'][-1]:.3f}" if log.height else NOTHING, f"{made.seconds:.0f}",
        ))  # fmt: skip
    return Shown("training", header, body, csv_text(_frame(header, body))) if body else None


def chosen_examples(scores: pl.DataFrame, related: Sequence[str]) -> list[str]:
    """Ids of at most six harmful test requests in related languages, picked by hash, so not by eye.

    Only ones for which an explained arm wrote something; one a group, languages taking turns.
    """
    written = scores.filter(
        pl.col("split") == Split.TEST.value,
        pl.col("label") == Label.HARMFUL.value,
        pl.col("language").is_in(list(related)),
        pl.col("arm") == Arm.EXPLAINED.value,
        pl.col("explanation").str.strip_chars() != "",
    )
    pool = sorted(written.select("example_id", "group_id", "language").unique().rows(),
                  key=lambda row: sha256_text(row[0]))  # fmt: skip
    picked: list[str] = []
    groups: set[str] = set()
    for place in range(_EXAMPLES * max(1, len(related))):
        language = related[place % len(related)] if related else ""
        fits = [row for row in pool if row[2] == language and row[1] not in groups]
        if fits and len(picked) < _EXAMPLES:
            picked.append(fits[0][0])
            groups.add(fits[0][1])
    return picked


def example_views(scores: pl.DataFrame, examples: pl.DataFrame | None,
                  related: Sequence[str]) -> list[ExampleView]:  # fmt: skip
    """The picked examples. Their requests are not shown."""
    views = []
    for example_id in chosen_examples(scores, related):
        rows = scores.filter(pl.col("example_id") == example_id).sort("arm", "seed").to_dicts()
        told = next(row["explanation"] for row in rows
                    if row["arm"] == Arm.EXPLAINED.value and row["explanation"])  # fmt: skip
        marks = [(row["arm"], f"{row['score']:.2f}") for row in rows]
        views.append(ExampleView(example_id, language_name(rows[0]["language"]),
                                 _categories(examples, example_id), marks, told))  # fmt: skip
    return views


def _categories(examples: pl.DataFrame | None, example_id: str) -> str:
    if examples is None:
        return ""
    found = examples.filter(pl.col("example_id") == example_id)["categories"].to_list()
    return " ".join(found[0]) if found else ""


def examples_table(scores: pl.DataFrame, examples: pl.DataFrame | None,
                   related: Sequence[str]) -> Shown:  # fmt: skip
    """The picked examples of every arm with the rationales, for the csv."""
    ids = chosen_examples(scores, related)
    table = scores.filter(pl.col("example_id").is_in(ids)).select(
        "example_id", "language", "label", "arm", "seed", "mode", "score", "explanation"
    ).sort("example_id", "arm", "seed")  # fmt: skip
    return Shown("examples", tuple(table.columns), [], csv_text(table))


def limits(scores: pl.DataFrame, examples: pl.DataFrame | None) -> list[str]:
    """What the figures cannot bear, counted where it can be counted."""
    test = scores.filter(pl.col("split") == Split.TEST.value)
    trained = scores.filter(pl.col("arm") != BASE_ARM)  # an untrained model has no seed
    seeds, groups = trained["seed"].n_unique(), test["group_id"].n_unique()
    found = []
    if examples is not None and examples.height:
        translated = examples["translator"].is_not_null().sum() / examples.height
        reviewed = examples["reviewed"].sum() / examples.height
        found.append(
            f"{100 * translated:.0f} % of the rows are translations (the dataset's card says by "
            f"which machine or person); {100 * reviewed:.0f} % of all rows were reviewed by a "
            "native speaker. The figures say how guards do on such text, not on speakers' own."
        )  # fmt: skip
    if seeds == 1:
        found.append(
            "One seed: the intervals cover the choice of test groups, not the luck of one training "
            "run. A difference here may vanish or turn round with another seed."
        )
    if groups < _SMALL_GROUPS:
        found.append(
            f"Small: {groups} test groups. Intervals are wide, and percentile intervals are too "
            "narrow still when groups are few."
        )
    found.append(
        "Many figures are shown and one was fixed beforehand: "
        f"{HEADLINE_ARMS[0]} minus {HEADLINE_ARMS[1]}, pooled over related languages. The others "
        "are not corrected for their number."
    )
    found.append(
        "chrF and 'specific' compare with one reference and reward its wording; neither says that "
        "a rationale is true. No person has judged these rationales."
    )
    return found


def hashes_table(artefacts: Mapping[str, Sequence[Artefact]]) -> Shown:
    """What the report was made from."""
    header = ("input", "step", "rows", "key", "rows sha256")
    body: list[tuple[str, ...]] = [
        (name, f"{a.manifest.step} {a.manifest.step_version}", str(a.manifest.counts.kept),
         a.manifest.key, a.manifest.rows_sha256)
        for name, given in artefacts.items() for a in given
    ]  # fmt: skip
    return Shown("hashes", header, body, csv_text(_frame(header, body)), labels=2)


def _frame(header: Sequence[str], body: Sequence[tuple[str, ...]]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: [row[i] for row in body] for i, name in enumerate(header)},
        schema=dict.fromkeys(header, pl.String),
    )

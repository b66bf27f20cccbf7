"""`whyguard review status | agree | adjudicate`."""

import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from whyguard.annotation.campaign import Campaign
from whyguard.annotation.commands.common import (
    DEFAULT_OUT,
    CampaignArg,
    FilesOption,
    JsonOption,
    OutOption,
    campaign_of,
    guide_of,
    open_view,
    people_of,
    show_table,
)
from whyguard.annotation.deciding.decide import decisions, not_gold
from whyguard.annotation.questions import Q, question
from whyguard.annotation.snapshot import current_reviews, not_blind
from whyguard.annotation.standing import by_person, by_sheet
from whyguard.core.progress import Progress
from whyguard.core.text_safety import csv_text

DrawsOption = Annotated[int, typer.Option("--draws", min=0, help="Bootstrap draws.")]


def add(app: typer.Typer) -> None:
    """Put the commands into the group."""
    for command in (status, agree, adjudicate):
        app.command()(command)


def _known(campaign: Campaign) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Items, the answers that stand, and what they come to."""
    items = campaign.items()
    reviews = current_reviews(campaign)
    return items, reviews, decisions(items, reviews)


def status(campaign: CampaignArg = None, out: OutOption = DEFAULT_OUT,
           as_json: JsonOption = False) -> None:  # fmt: skip
    """Say how far a campaign is, as of the last pull: progress, pace, agreement, audit.

    Example: whyguard review status
    """
    from whyguard.annotation.agreement.report import alphas
    from whyguard.annotation.audit.draw import rationale_pools
    from whyguard.annotation.audit.statement import statements

    chosen = campaign_of(out, campaign)
    items, reviews, decided = _known(chosen)
    pools = {(language, number): rows for number, path in chosen.pools()
             for language, rows in rationale_pools(path).items()}  # fmt: skip
    facts: dict[str, Any] = {
        "campaign": chosen.name,
        "sheets": [sheet._asdict() for sheet in by_sheet(items, reviews)],
        "people": [p._asdict() for p in by_person(items, reviews,
                                                  datetime.datetime.now(datetime.UTC))],
        "agreement": [{"language": language, "question": question, "alpha": value}
                      for (language, question), value in alphas(reviews, not_gold(items)).items()],
        "not_blind": not_blind(reviews),
        "audit": [asdict(said) for said in statements(items, decided, rationales=pools)],
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    _show_status(facts, _names(out))


def _names(out: Path) -> dict[str, str]:
    return {person.pseudonym: person.name for person in people_of(out).all()}


def _show_status(facts: dict[str, Any], names: dict[str, str]) -> None:
    typer.echo(f"campaign {facts['campaign']}")
    show_table(("language", "sheet", "items", "complete", "answers", "of", "s/item", "min left"),
               [(s["language"], s["kind"], s["items"], s["complete"], s["given"], s["wanted"],
                 s["seconds"], s["minutes_left"]) for s in facts["sheets"]])  # fmt: skip
    show_table(("who", "name", "language", "items", "today", "s/item"),
               [(p["annotator"], names.get(p["annotator"]), p["language"], p["items"], p["today"],
                 p["seconds"]) for p in facts["people"]])  # fmt: skip
    show_table(("language", "question", "Krippendorff's alpha"),
               [(a["language"], a["question"], a["alpha"]) for a in facts["agreement"]
                if a["alpha"] is not None])  # fmt: skip
    if facts["not_blind"]:
        typer.echo(f"{facts['not_blind']} verdicts do not count: given after more was seen")
    for said in facts["audit"]:
        typer.echo(f"audit, round {said['round']}, {said['language']}, {said['question']}: "
                   f"{said['sentence']}")  # fmt: skip
    if not facts["audit"]:
        typer.echo("no audit: nothing can be said of the rows that nobody looks at")


def agree(campaign: CampaignArg = None, draws: DrawsOption = 1000,
          csv: Annotated[bool, typer.Option("--csv", help="Print as csv.")] = False,
          out: OutOption = DEFAULT_OUT, as_json: JsonOption = False) -> None:  # fmt: skip
    """Agreement by language, question and pair, with bootstrap intervals; records on gold items.

    Example: whyguard review agree --csv > agreement.csv
    """
    from whyguard.annotation.agreement.gold import gold
    from whyguard.annotation.agreement.report import agreement, figures_table

    chosen = campaign_of(out, campaign)
    items, reviews, _ = _known(chosen)
    table = figures_table(agreement(reviews, not_gold(items), draws=draws))
    if csv:
        typer.echo(csv_text(table), nl=False)
        return
    known = [asdict(figure) for figure in gold(reviews, items)]
    if as_json:
        typer.echo(json.dumps({"agreement": table.to_dicts(), "gold": known}, indent=2))
        return
    show_table(("language", "question", "who", "measure", "value", "95 %", "items", "people"),
               [_figure(row) for row in table.to_dicts() if row["n"]])  # fmt: skip
    show_table(("annotator", "language", "right", "of", "low", "high"),
               [tuple(figure.values()) for figure in known])  # fmt: skip
    if not (table["who"] == "all").any() or table["annotators"].max() == 1:
        typer.echo("no item was answered by two people yet")
    for line in _estimated(reviews, items):
        typer.echo(line)


def _figure(row: dict[str, Any]) -> tuple[object, ...]:
    """A figure as it is shown; where there is none, the reason stands in the interval's place."""
    spread = f"{row['low']:.2f} to {row['high']:.2f}" if row["low"] is not None else row["reason"]
    return (row["language"], row["question"], row["who"], row["measure"], row["value"], spread,
            row["n"], row["annotators"])  # fmt: skip


def _estimated(reviews: pl.DataFrame, items: pl.DataFrame) -> Iterator[str]:
    """Dawid-Skene on verdicts, a line a language and annotator, or why there is none."""
    from whyguard.annotation.agreement.dawid_skene import dawid_skene
    from whyguard.annotation.agreement.ratings import ratings

    for part in items.sort("language").partition_by("language", maintain_order=True):
        found = dawid_skene(ratings(question(Q.VERDICT), reviews, part))
        where = f"Dawid-Skene, {part['language'][0]}, verdict"
        if found.reason:
            yield f"{where}: none: {found.reason}"
        for error in found.errors:
            yield f"{where}: {error.annotator} errs on {error.rate:.0%} (of {error.n} answers)"


def adjudicate(
    campaign: CampaignArg = None,
    floor: Annotated[
        float | None, typer.Option("--agreement-floor", min=-1.0, max=1.0, help="Where alpha is "
                                   "below it, ask about every item on which answers differ.")
    ] = None,
    files: FilesOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List, and ask nobody.")] = False,
    out: OutOption = DEFAULT_OUT,
) -> None:  # fmt: skip
    """Ask adjudicators about what annotators could not settle; answers come with the next pull.

    Example: whyguard review adjudicate --agreement-floor 0.67
    """
    from whyguard.annotation.deciding.queue import adjudication_queue
    from whyguard.annotation.sync import push_contested

    chosen = campaign_of(out, campaign)
    items, reviews, decided = _known(chosen)
    queue = adjudication_queue(items, reviews, decided, floor)
    show_table(("language", "item", "question", "why", "alpha"), [tuple(e) for e in queue])
    if not queue:
        typer.echo("nothing to settle")
    if dry_run or not queue:
        return
    opened = open_view(out, files)
    done = push_contested(chosen, opened.view, opened.name, guide_of(chosen), queue, reviews,
                          Progress())  # fmt: skip
    typer.echo(f"{done.written} items sent, {done.present} were there")

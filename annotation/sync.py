"""A campaign and its views: what goes out, and what comes back into the store."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl
from pydantic import TypeAdapter

from whyguard.annotation.campaign import Campaign
from whyguard.annotation.deciding.queue import QueueEntry
from whyguard.annotation.sheets import (
    ADJUDICATE,
    Contested,
    Guide,
    adjudication_sheets,
    said,
    work_sheets,
)
from whyguard.annotation.snapshot import write_snapshot
from whyguard.annotation.store import Changes, Sheetful
from whyguard.annotation.views.base import Pulled, Pushed, Refused, Sheet, View
from whyguard.core.drafts import replacing
from whyguard.core.errors import MissingFileError, fail
from whyguard.core.progress import Progress

_SENT = "sent.json"


class Brought(NamedTuple):
    """What a pull brought, beside what stays as it was."""

    changes: Changes
    drafts: int
    refused: tuple[Refused, ...]
    standing: int
    """Answers that stand now, of all views and roles."""


class Sent(NamedTuple):
    """What was pushed so far: guideline versions by view and sheet, items that are contested."""

    versions: dict[str, dict[str, str]]
    contested: dict[str, Contested]


_FORM = TypeAdapter(Sent)


def push(campaign: Campaign, view: View, name: str, guide: Guide, progress: Progress) -> Pushed:
    """Send a campaign's items, and what adjudicators were asked, through the view called `name`."""
    sheets = _sheets(campaign, guide)
    pushed = view.push(sheets, progress)
    _remember(campaign, name, sheets)
    return pushed


def push_contested(campaign: Campaign, view: View, name: str, guide: Guide,
                   queue: Sequence[QueueEntry], reviews: pl.DataFrame,
                   progress: Progress) -> Pushed:  # fmt: skip
    """Ask adjudicators about what is in the queue, and was not asked before."""
    sent = _sent(campaign)
    new = {entry.item_id: entry for entry in contested(queue, reviews)}
    _write_sent(campaign, sent._replace(contested=new | sent.contested))
    return push(campaign, view, name, guide, progress)


def contested(queue: Sequence[QueueEntry], reviews: pl.DataFrame) -> list[Contested]:
    """Items of a queue with the questions to be settled, and what annotators answered to all."""
    questions: dict[str, list[str]] = {}
    for entry in queue:
        questions.setdefault(entry.item_id, []).append(entry.question)
    answers = reviews.filter(~pl.col("adjudicator")).select("item_id", "question", "value")
    spoken: dict[str, list[tuple[str, str]]] = {}
    for item_id, question, value in answers.iter_rows():
        spoken.setdefault(item_id, []).append((question, value))
    return [Contested(item, tuple(sorted(names)), said(spoken.get(item, ())))
            for item, names in sorted(questions.items())]  # fmt: skip


def pull(campaign: Campaign, view: View, name: str, guide: Guide, progress: Progress) -> Brought:
    """Take over what stands in a view, and write the snapshot that the recipe reads.

    Nothing is written unless everything could be read.

    Raises:
        MissingFileError: nothing was pushed through this view.
        DataError: a sheet that was pushed is gone from the view.
    """
    versions = _sent(campaign).versions.get(name)
    if versions is None:
        fail(MissingFileError, where=f"campaign {campaign.name}", expected="something pushed",
             found=f"nothing was pushed to {name} yet", do="whyguard review push")  # fmt: skip
    sheets = [sheet for sheet in _sheets(campaign, guide) if sheet.name in versions]
    pulled = {role: view.pull([s for s in sheets if _adjudicates(s) is role], progress)
              for role in (False, True)}  # fmt: skip
    changes = campaign.store.take([
        _sheetful(sheet, versions[sheet.name], pulled[_adjudicates(sheet)])
        for sheet in sheets])  # fmt: skip
    write_snapshot(campaign)
    return Brought(changes, sum(p.drafts for p in pulled.values()),
                   tuple(r for p in pulled.values() for r in p.refused),
                   len(campaign.store.standing()))  # fmt: skip


def _adjudicates(sheet: Sheet) -> bool:
    return sheet.space.startswith(f"{ADJUDICATE}-")


def _sheetful(sheet: Sheet, version: str, pulled: Pulled) -> Sheetful:
    items = {item.item_id for item in sheet.items}
    return Sheetful(pulled.places[sheet.name], items, _adjudicates(sheet), version,
                    [answer for answer in pulled.given if answer.item_id in items])  # fmt: skip


def _sheets(campaign: Campaign, guide: Guide) -> list[Sheet]:
    items = campaign.items()
    asked = list(_sent(campaign).contested.values())
    return [*work_sheets(campaign.name, items, guide),
            *adjudication_sheets(campaign.name, items, asked, guide)]  # fmt: skip


def _remember(campaign: Campaign, name: str, sheets: Iterable[Sheet]) -> None:
    sent = _sent(campaign)
    versions = {sheet.name: sheet.guideline_version for sheet in sheets}
    known = sent.versions | {name: sent.versions.get(name, {}) | versions}
    _write_sent(campaign, sent._replace(versions=known))


def _sent(campaign: Campaign) -> Sent:
    path = campaign.folder / _SENT
    return _FORM.validate_json(path.read_bytes()) if path.is_file() else Sent({}, {})


def _write_sent(campaign: Campaign, sent: Sent) -> None:
    with replacing(campaign.folder / _SENT) as draft:
        draft.write_bytes(_FORM.dump_json(sent, indent=2))

"""Answers from Argilla: what stands there now, all of it or nothing."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whyguard.annotation.people import People, Person
from whyguard.annotation.questions import Question, stored
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.push import place
from whyguard.annotation.views.base import Given, Pulled, Refused, Sheet
from whyguard.core.errors import DataError, fail
from whyguard.core.progress import Progress

_SUBMITTED, _DRAFT = "submitted", "draft"


@dataclass(slots=True)
class _Found:
    given: list[Given] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    drafts: int = 0


def pull_sheets(server: Argilla, people: People, sheets: Sequence[Sheet],
                progress: Progress) -> Pulled:  # fmt: skip
    """All submitted answers to the sheets' items.

    Drafts are counted. What was discarded, set back to a draft or deleted is not among `given`,
    and so are answers of people who asked for theirs to be withdrawn.

    Raises:
        DataError: a sheet's dataset is not there.
        PartialError: the server went away, or changed while it was read: nothing is returned.
    """
    found, users = _Found(), people.by_user()
    places: dict[str, str] = {}
    for sheet in sheets:
        dataset = _dataset(server, sheet)
        places[sheet.name] = f"argilla:{dataset}"
        path = f"/datasets/{dataset}/records"
        items = {item.item_id for item in sheet.items}
        asked = {question.name: question for question in sheet.questions}
        with progress.task(f"pull {sheet.name}", len(items)) as task:
            for page in server.pages(path, include="responses"):
                for record in page:
                    _read(record, items, asked, users, found)
                task.advance(len(page))
    return Pulled(tuple(found.given), places, found.drafts, tuple(found.refused))


def _dataset(server: Argilla, sheet: Sheet) -> str:
    there = place(server, sheet)
    if there is None or not there.ready:
        fail(DataError, where=f"{server.url}: workspace {sheet.space}",
             expected=f"dataset '{sheet.name}'",
             found="none of that name" if there is None else "one that is not published",
             do="push it, or restore a backup: answers pulled before are kept")  # fmt: skip
    return there.dataset_id


def _read(record: Mapping[str, Any], items: set[str], asked: Mapping[str, Question],
          users: Mapping[str, Person], found: _Found) -> None:  # fmt: skip
    item_id = str(record["external_id"])
    for response in record.get("responses") or ():
        if response["status"] == _DRAFT:
            found.drafts += 1
        if response["status"] != _SUBMITTED:
            continue
        if item_id not in items:
            reason = "its record is none of this campaign's items"
            found.refused.append(Refused(item_id, _where(response), reason))
        else:
            _take(item_id, response, asked, users, found)


def _take(item_id: str, response: Mapping[str, Any], asked: Mapping[str, Question],
          users: Mapping[str, Person], found: _Found) -> None:  # fmt: skip
    person = users.get(str(response["user_id"]))
    if person is None:
        reason = "its author was not invited by `whyguard review invite`"
        found.refused.append(Refused(item_id, _where(response), reason))
        return
    when, begun = _utc(response["updated_at"]), _utc(response["inserted_at"])
    if person.takes_out(when):
        return
    for name, value, refusal in _values(response, asked):
        if refusal is not None:
            found.refused.append(Refused(item_id, f"{name} by {person.pseudonym}", refusal))
        elif value is not None:
            found.given.append(Given(item_id, name, person.pseudonym, value, when, begun))


def _values(response: Mapping[str, Any], asked: Mapping[str, Question]
            ) -> Iterator[tuple[str, str | None, str | None]]:  # fmt: skip
    """(question, stored value, why it cannot be taken over)."""
    for name, entry in sorted((response["values"] or {}).items()):
        if name not in asked:
            yield name, None, "no question of that name is asked"
            continue
        try:
            yield name, stored(asked[name], entry["value"], name), None
        except DataError as error:
            yield name, None, str(error)


def _where(response: Mapping[str, Any]) -> str:
    return f"user {str(response['user_id'])[:8]}"


def _utc(text: str) -> datetime.datetime:
    """Argilla's clock is UTC and its times do not say so."""
    when = datetime.datetime.fromisoformat(text)
    return when.astimezone(datetime.UTC) if when.tzinfo else when.replace(tzinfo=datetime.UTC)

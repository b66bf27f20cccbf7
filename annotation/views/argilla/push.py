"""Sheets to Argilla: what is there is read first, and only what is missing is written."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from whyguard.annotation.views.argilla.client import Argilla, failures
from whyguard.annotation.views.argilla.settings import (
    checked_guidelines,
    properties,
    record,
    settings,
    structure,
)
from whyguard.annotation.views.base import Pushed, Sheet
from whyguard.core.errors import DataError, PartialError, fail
from whyguard.core.nearest import suggest
from whyguard.core.progress import Progress

BATCH = 100
"""Records a request: 3 to 4 s on the embedded server, and what a stop in the middle repeats."""


class Place(NamedTuple):
    """A sheet's dataset on the server."""

    dataset_id: str
    ready: bool
    guidelines: str | None
    wanted: int


def push_sheets(server: Argilla, sheets: Sequence[Sheet], progress: Progress) -> Pushed:
    """Make workspaces and datasets that are missing, and send the items that are.

    May be stopped at any time and repeated: records have ids of ours, a dataset that was not
    published yet has none and is made anew.

    Raises:
        DataError: a dataset of that name asks other questions.
        PartialError: the server went away; a repetition goes on from there.
    """
    written = present = 0
    for sheet in sheets:
        there = _prepare(server, sheet)
        known = _external_ids(server, there)
        missing = [item for item in sheet.items if item.item_id not in known]
        present += len(sheet.items) - len(missing)
        if missing:
            _send(server, there, sheet, known, progress)
            written += len(missing)
    return Pushed(written, present)


def workspace_id(server: Argilla, name: str) -> str | None:
    """The id of a workspace, None where there is none."""
    spaces = server.get("/me/workspaces")["items"]
    return next((str(space["id"]) for space in spaces if space["name"] == name), None)


def ensure_workspace(server: Argilla, name: str) -> str:
    """The id of a workspace, which is made where it is missing."""
    found = workspace_id(server, name)
    return found if found is not None else str(server.post("/workspaces", {"name": name})["id"])


def place(server: Argilla, sheet: Sheet) -> Place | None:
    """Where a sheet's dataset is, None where there is none."""
    space = workspace_id(server, sheet.space)
    if space is None:
        return None
    found = server.get("/me/datasets", workspace_id=space, name=sheet.name)["items"]
    for entry in found:
        if entry["name"] == sheet.name:
            return Place(str(entry["id"]), entry["status"] == "ready", entry["guidelines"],
                         int(entry["distribution"]["min_submitted"]))  # fmt: skip
    return None


def _prepare(server: Argilla, sheet: Sheet) -> Place:
    space = ensure_workspace(server, sheet.space)
    there = place(server, sheet)
    if there is not None and not there.ready:
        # killed before it was published: Argilla takes no records until then, so none are lost
        server.delete(f"/datasets/{there.dataset_id}")
        there = None
    if there is None:
        return _make(server, sheet, space)
    _refuse_other_questions(server, sheet, there)
    _update(server, sheet, there)
    return there


def _make(server: Argilla, sheet: Sheet, space: str) -> Place:
    import argilla

    wanted = settings(sheet, server.sdk)
    with failures(f"{server.url}: dataset {sheet.name}"):
        argilla.Dataset(name=sheet.name, workspace=sheet.space, settings=wanted,
                        client=server.sdk).create()  # fmt: skip
    made = place(server, sheet)
    if made is None or not made.ready:
        fail(PartialError, where=f"{server.url}: workspace {space}, dataset {sheet.name}",
             expected="published", found="not there", do="push again")  # fmt: skip
    return made


def _refuse_other_questions(server: Argilla, sheet: Sheet, there: Place) -> None:
    import argilla

    with failures(f"{server.url}: dataset {sheet.name}"):
        model = server.sdk.api.datasets.get(there.dataset_id)
        shown = argilla.Dataset.from_model(model, server.sdk)
        stands = structure(shown.settings.get().serialize())
    wanted = structure(settings(sheet, server.sdk).serialize())
    for part, names in wanted.items():
        for name in sorted({*names, *stands[part]}):
            if names.get(name) != stands[part].get(name):
                fail(DataError, where=f"{server.url}: dataset {sheet.name}, {part} '{name}'",
                     expected=str(names.get(name, "none of that name")),
                     found=str(stands[part].get(name, suggest(name, stands[part]))),
                     do="people answer what stands there: name another campaign")  # fmt: skip


def _update(server: Argilla, sheet: Sheet, there: Place) -> None:
    """Guidelines, number of answers and metadata properties follow; records stay untouched."""
    changes: dict[str, Any] = {}
    if there.guidelines != checked_guidelines(sheet):
        changes["guidelines"] = sheet.guidelines
    if there.wanted != sheet.wanted:
        changes["distribution"] = {"strategy": "overlap", "min_submitted": sheet.wanted}
    if changes:
        server.patch(f"/datasets/{there.dataset_id}", changes)
    known = _property_kinds(server, there)
    for name, kind in properties(sheet).items():
        if name not in known:
            body = {"name": name, "title": name, "settings": {"type": kind},
                    "visible_for_annotators": True}  # fmt: skip
            server.post(f"/datasets/{there.dataset_id}/metadata-properties", body)


def _property_kinds(server: Argilla, there: Place) -> dict[str, str]:
    items = server.get(f"/me/datasets/{there.dataset_id}/metadata-properties")["items"]
    return {str(entry["name"]): str(entry["settings"]["type"]) for entry in items}


def _external_ids(server: Argilla, there: Place) -> set[str]:
    pages = server.pages(f"/datasets/{there.dataset_id}/records")
    return {str(entry["external_id"]) for page in pages for entry in page}


def _send(server: Argilla, there: Place, sheet: Sheet, known: set[str],
          progress: Progress) -> None:  # fmt: skip
    asked = server.get(f"/datasets/{there.dataset_id}/questions")["items"]
    question_ids: Mapping[str, str] = {entry["name"]: entry["id"] for entry in asked}
    kinds = _property_kinds(server, there)
    missing = [item for item in sheet.items if item.item_id not in known]
    with progress.task(f"push {sheet.name}", len(missing)) as task:
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            body = {"items": [record(sheet, item, question_ids, kinds) for item in batch]}
            server.put(f"/datasets/{there.dataset_id}/records/bulk", body)
            task.advance(len(batch))

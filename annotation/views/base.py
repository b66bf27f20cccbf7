"""The protocol of a view (Argilla, files): items go out, the answers that stand come back."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from whyguard.annotation.questions import Question
from whyguard.core.progress import Progress


class Suggestion(NamedTuple):
    """A machine's answer that is offered with an item: `score` in 0..1, `agent` who made it."""

    question: str
    value: str
    score: float | None
    agent: str


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item as a view shows it."""

    item_id: str
    fields: Mapping[str, str]
    """Field name -> text; a field without text is left out."""
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)
    """What annotators may know of it: why it was chosen, never what a machine thinks of a blind
    one."""
    suggestions: tuple[Suggestion, ...] = ()


class ShownField(NamedTuple):
    """A field of a sheet: `folded` ones are shown closed, to be opened by a click."""

    name: str
    title: str
    required: bool = True
    folded: bool = False
    right_to_left: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """Items that are shown together: one Argilla dataset, one file."""

    name: str
    """Unique in a workspace: `CAMPAIGN.KIND` and a suffix where several stand side by side."""
    space: str
    """Who sees it: a language code for its annotators, `adjudicate-CODE` for its adjudicators."""
    language: str
    title: str
    fields: tuple[ShownField, ...]
    questions: tuple[Question, ...]
    guidelines: str
    """Markdown."""
    guideline_version: str
    wanted: int
    """Answers wanted for each item."""
    items: tuple[ShownItem, ...]


class Given(NamedTuple):
    """One submitted answer as it stands now in a view."""

    item_id: str
    question: str
    annotator: str
    """Pseudonym."""
    value: str
    """In stored form (`questions.stored`)."""
    submitted_at: datetime.datetime
    begun_at: datetime.datetime | None = None
    """When the item was first answered or saved, where the view knows: an edit does not move it."""


class Pushed(NamedTuple):
    """What a push did."""

    written: int
    """Items sent."""
    present: int
    """Items that were there already."""


class Refused(NamedTuple):
    """An answer that cannot be taken over: the view has it, and says why not."""

    item_id: str
    where: str
    reason: str


class Pulled(NamedTuple):
    """All answers that stand in the sheets that were read (an edit replaces, a withdrawal removes).

    `drafts` counts answers that are begun and not submitted; they are not among `given`.
    """

    given: tuple[Given, ...]
    places: Mapping[str, str]
    """Sheet -> where exactly its answers stand (this dataset, that folder). An answer is withdrawn
    where it is gone from the place it came from, and nowhere else."""
    drafts: int = 0
    refused: tuple[Refused, ...] = ()


class View(Protocol):
    """Where people answer. Both calls may be repeated at any time; nothing is written twice."""

    def push(self, sheets: Sequence[Sheet], progress: Progress) -> Pushed:
        """Make the sheets, and send the items that are not there yet."""
        ...

    def pull(self, sheets: Sequence[Sheet], progress: Progress) -> Pulled:
        """All answers to the sheets' items that stand now.

        Raises:
            DataError: a sheet that was pushed is gone: its answers are not taken for withdrawn.
        """
        ...

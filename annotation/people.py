"""Who reviews: names stay in one private file, everything else knows pseudonyms."""

import contextlib
import datetime
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whyguard.core.drafts import replacing
from whyguard.core.errors import ConfigError, DataError, MissingFileError, fail
from whyguard.core.languages import Languages, known_languages
from whyguard.core.nearest import suggest

FILE = "people.json"
_FORMAT = 1
_TRIES = 1000


class Role(StrEnum):
    """What somebody is asked to do."""

    ANNOTATOR = "annotator"
    """Answers items, without seeing anybody else's answers."""
    ADJUDICATOR = "adjudicator"
    """Also settles what annotators disagree on."""


class Person(BaseModel):
    """One reviewer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    """As she is called; never leaves this file."""
    pseudonym: str = Field(pattern=r"^[a-z]{3}-[0-9a-f]{4,}$")
    """What answers, exports and figures call her: random, and the same for good."""
    languages: tuple[str, ...] = Field(min_length=1)
    adjudicates: tuple[str, ...] = ()
    """Languages in which she settles disagreements."""
    items_a_day: int | None = Field(default=None, ge=1)
    """At most so many items a day; None: no cap."""
    user_ids: Mapping[str, str] = {}
    """Address of an Argilla server -> her user there."""
    invited_at: datetime.datetime
    left_at: datetime.datetime | None = None
    withdrawn_until: datetime.datetime | None = None
    """She asked that her answers up to then be taken out: nothing is made of them any more."""

    @property
    def answers_withdrawn(self) -> bool:
        """Whether answers of hers are taken out."""
        return self.withdrawn_until is not None

    def takes_out(self, submitted_at: datetime.datetime) -> bool:
        """Whether an answer of that time is one of those she took out."""
        return self.withdrawn_until is not None and submitted_at <= self.withdrawn_until

    @property
    def user_name(self) -> str:
        """What she signs in with: Argilla shows user names to others of her language."""
        return self.pseudonym

    @property
    def role(self) -> Role:
        """The most she is asked to do in any language."""
        return Role.ADJUDICATOR if self.adjudicates else Role.ANNOTATOR


def spaces_of(person: Person) -> list[str]:
    """What somebody may answer: a space a language, and one where she settles disagreements."""
    return [*person.languages, *(f"adjudicate-{code}" for code in person.adjudicates)]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = _FORMAT
    people: tuple[Person, ...] = ()


class People:
    """The people of one workspace: `people.json` in its review folder, mode 0600.

    Args:
        folder: the review folder; it is made when somebody is first added.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def all(self) -> tuple[Person, ...]:
        """Everybody, also who left, in the order of their invitations.

        Raises:
            DataError: the file is damaged.
        """
        if not self.path.is_file():
            return ()
        try:
            return _File.model_validate_json(self.path.read_bytes()).people
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            fail(DataError, where=f"{self.path}: {place}", expected="a file of people",
                 found=first["msg"], do="correct it, or take the file from a backup")  # fmt: skip

    def named(self, name: str) -> Person:
        """The person of that name.

        Raises:
            MissingFileError: nobody was invited under that name.
        """
        known = {person.name: person for person in self.all()}
        if name not in known:
            hint = suggest(name, known) if known else "invite her: `whyguard review invite NAME`"
            fail(MissingFileError, where=str(self.path), expected=f"a person called '{name}'",
                 found="nobody of that name", do=hint)  # fmt: skip
        return known[name]

    def by_user(self) -> dict[str, Person]:
        """Argilla user -> person, on whatever server."""
        return {user: person for person in self.all() for user in person.user_ids.values()}

    def join(self, name: str, language: str, *, adjudicator: bool = False,
             items_a_day: int | None = None, table: Languages | None = None) -> Person:  # fmt: skip
        """Add somebody, or a language to somebody; who left is back.

        `table` holds the languages there are: a recipe may declare some of its own.

        Raises:
            UnknownLanguageError: no such language.
            ConfigError: the name is empty, or the cap is less than one item a day.
        """
        code = (table or known_languages()).get(language).code
        _check(name, items_a_day)
        with self._changing() as people:
            person = people.get(name) or self._newcomer(name, code, people)
            changes: dict[str, object] = {
                "languages": _with(person.languages, code),
                "adjudicates": _with(person.adjudicates, code) if adjudicator
                else person.adjudicates,
                "items_a_day": person.items_a_day if items_a_day is None else items_a_day,
                "left_at": None,  # what she took out stays out: it has a date
            }  # fmt: skip
            people[name] = _changed(person, changes)
        return people[name]

    def knows_user(self, name: str, server: str, user_id: str) -> Person:
        """Remember which user somebody is on a server.

        Raises:
            MissingFileError: nobody was invited under that name.
        """
        ids = {**self.named(name).user_ids, server: user_id}
        return self._set(name, {"user_ids": ids})

    def leave(self, name: str, *, answers: bool = False) -> Person:
        """Mark somebody as gone; with `answers`, what she answered is taken out too.

        Raises:
            MissingFileError: nobody was invited under that name.
        """
        person = self.named(name)
        withdrawn = _now() if answers else person.withdrawn_until
        return self._set(name, {"left_at": person.left_at or _now(),
                                "withdrawn_until": withdrawn})  # fmt: skip

    def caps(self) -> dict[str, int]:
        """Argilla user -> items a day, for everybody who has a cap."""
        return {user: p.items_a_day for p in self.all() if p.items_a_day is not None
                for user in p.user_ids.values()}  # fmt: skip

    def _set(self, name: str, changes: Mapping[str, object]) -> Person:
        self.named(name)
        with self._changing() as people:
            people[name] = _changed(people[name], changes)
        return people[name]

    def _newcomer(self, name: str, code: str, people: Mapping[str, Person]) -> Person:
        taken = {person.pseudonym for person in people.values()}
        return Person(name=name, languages=(code,), pseudonym=_pseudonym(code, taken),
                      invited_at=_now())  # fmt: skip

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Person]]:
        """Everybody by name, to be changed by one process at a time; written back at the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            people = {person.name: person for person in self.all()}
            yield people
            self._write(tuple(people.values()))
        finally:
            os.close(handle)

    def _write(self, people: tuple[Person, ...]) -> None:
        write_private(self.path, _File(people=people).model_dump_json(indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    with replacing(path) as draft:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)


def _check(name: str, items_a_day: int | None) -> None:
    if not name.strip():
        fail(ConfigError, where="NAME", expected="a person's name", found="nothing",
             do="name the person to invite")  # fmt: skip
    if items_a_day is not None and items_a_day < 1:
        fail(ConfigError, where="items a day", expected="1 or more", found=str(items_a_day),
             do="leave the cap out, or withdraw her access")  # fmt: skip


def _changed(person: Person, changes: Mapping[str, object]) -> Person:
    return Person.model_validate({**person.model_dump(), **changes})


def _with(codes: tuple[str, ...], code: str) -> tuple[str, ...]:
    return codes if code in codes else (*codes, code)


def _pseudonym(code: str, taken: set[str]) -> str:
    # drawn, not derived: nobody who guesses a name can check the guess
    for attempt in range(_TRIES):
        drawn = f"{code[:3]}-{secrets.token_hex(2 + attempt // 100)}"
        if drawn not in taken:
            return drawn
    raise AssertionError("longer draws cannot all be taken")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

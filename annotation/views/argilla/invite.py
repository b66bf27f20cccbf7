"""Inviting people to an Argilla server, and letting them go."""

import json
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.annotation.people import People, Person, spaces_of, write_private
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.push import ensure_workspace
from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import Languages

EXPOSURE_FILE = "exposure.json"
_PASSWORD_BYTES = 18
"""24 characters."""


class Invited(NamedTuple):
    """Who was invited; the password is here and nowhere else, None where the old one holds."""

    person: Person
    password: str | None

    def __repr__(self) -> str:
        return f"Invited({self.person.pseudonym})"


def invite(server: Argilla, people: People, name: str, language: str, *,
           adjudicator: bool = False, cap: int | None = None, reset: bool = False,
           home: Path | None = None, table: Languages | None = None) -> Invited:  # fmt: skip
    """Give somebody access to a language, and to nothing else.

    Called again it adds a language, a role or a cap; the password stays unless `reset`.

    Args:
        server: where; its key must be an owner's.
        people: where names and pseudonyms are kept.
        name: her name; the server gets a user name made of it.
        language: the language she reviews.
        adjudicator: whether she also settles what annotators of the language disagree on.
        cap: at most so many items a day.
        reset: whether to make a new password.
        home: the embedded server's folder, which holds the caps; None for another server.
        table: the languages there are: a recipe may declare some of its own.

    Raises:
        UnknownLanguageError: no such language.
        ConfigError: the server has a user of that name who is somebody else.
    """
    person = people.join(name, language, adjudicator=adjudicator, items_a_day=cap,
                         table=table)  # fmt: skip
    user, password = _user(server, people, person)
    if password is None and reset:
        password = _password()
        server.patch(f"/users/{user}", {"password": password})
    for space in spaces_of(person):
        _join(server, space, user)
    if home is not None:
        write_exposure(people, home)
    return Invited(people.named(name), password)


def withdraw(server: Argilla, people: People, name: str, *, answers: bool = False,
             home: Path | None = None) -> Person:  # fmt: skip
    """Take somebody's access away; her answers stay unless `answers` are to be taken out too.

    The user is kept: deleting it would delete its answers unseen. It belongs to no workspace any
    more, and nobody knows its new password.

    Raises:
        MissingFileError: nobody was invited under that name.
    """
    person = people.named(name)
    users = {entry["id"] for entry in server.get("/users")["items"]}
    for user in sorted(users & set(person.user_ids.values())):
        for space in server.get(f"/users/{user}/workspaces")["items"]:
            server.delete(f"/workspaces/{space['id']}/users/{user}")
        server.patch(f"/users/{user}", {"password": _password()})
    gone = people.leave(name, answers=answers)
    if home is not None:
        write_exposure(people, home)
    return gone


def write_exposure(people: People, home: Path) -> None:
    """Write the caps where the embedded server reads them: `{user id: items a day}`."""
    write_private(home / EXPOSURE_FILE, json.dumps(people.caps(), indent=2, sort_keys=True) + "\n")


def _user(server: Argilla, people: People, person: Person) -> tuple[str, str | None]:
    """Her user on this server; a password only where it was made just now."""
    users: list[dict[str, Any]] = server.get("/users")["items"]
    ours = set(person.user_ids.values())
    found = next((entry for entry in users if entry["id"] in ours), None)
    if found is not None:
        # the embedded server may have moved to another port: the same user, a new address
        people.knows_user(person.name, server.url, str(found["id"]))
        return str(found["id"]), None
    if any(entry["username"] == person.user_name for entry in users):
        fail(ConfigError, where=server.url, expected=f"no user '{person.user_name}' yet",
             found="one that `whyguard review invite` did not make",
             do="invite her under another name, or delete that user in Argilla")  # fmt: skip
    password = _password()
    made = server.post("/users", {"username": person.user_name, "first_name": person.user_name,
                                  "role": "annotator", "password": password})  # fmt: skip
    people.knows_user(person.name, server.url, str(made["id"]))
    return str(made["id"]), password


def _join(server: Argilla, space: str, user: str) -> None:
    path = f"/workspaces/{ensure_workspace(server, space)}/users"
    if user not in {entry["id"] for entry in server.get(path)["items"]}:
        server.post(path, {"user_id": user})


def _password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)

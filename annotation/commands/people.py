"""`whyguard review invite | dismiss | people`."""

import json
from typing import Annotated

import typer

from whyguard.annotation.commands.common import (
    DEFAULT_CAP,
    DEFAULT_OUT,
    JsonOption,
    OutOption,
    embedded_home,
    languages_of,
    people_of,
    server_home,
    show_table,
)
from whyguard.annotation.people import Person
from whyguard.core.languages import language_name

NameArg = Annotated[str, typer.Argument(help="Her name; it stays on this machine.")]


def add(app: typer.Typer) -> None:
    """Put the commands into the group."""
    for command in (invite, dismiss, people):
        app.command()(command)


def invite(
    name: NameArg,
    language: Annotated[str, typer.Option("--language", help="Code or name: ast, Asturian.")],
    adjudicator: Annotated[
        bool, typer.Option("--adjudicator", help="She also settles disagreements.")
    ] = False,
    cap: Annotated[
        int | None, typer.Option("--items-a-day", min=1, help="Then her queue is empty until "
                                 f"tomorrow; {DEFAULT_CAP} where nothing was said.")
    ] = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="She reviews in spreadsheets: no account is made.")
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Make a new password.")] = False,
    out: OutOption = DEFAULT_OUT,
) -> None:  # fmt: skip
    """Give somebody access to one language, and to nothing else. The password is shown once.

    Example: whyguard review invite Ana --language ast
    """
    table = languages_of(out)
    known = {person.name: person for person in people_of(out).all()}.get(name)
    cap = cap if known else (cap or DEFAULT_CAP)
    reset = reset or (known is not None and known.left_at is not None)
    code = table.find(language, "--language").code
    if files_only:
        person = people_of(out).join(name, code, adjudicator=adjudicator, items_a_day=cap,
                                     table=table)  # fmt: skip
        typer.echo(f"{name} reviews {language_name(code)} as {person.pseudonym}: her files end in "
                   f".{person.pseudonym}.xlsx")  # fmt: skip
        return
    from whyguard.annotation.server.connection import connection
    from whyguard.annotation.views.argilla.client import connect
    from whyguard.annotation.views.argilla.invite import invite as invite_to

    found = connection(server_home(out))
    done = invite_to(connect(found.api_url, found.api_key), people_of(out), name, code,
                     adjudicator=adjudicator, cap=cap, reset=reset, home=embedded_home(out),
                     table=table)  # fmt: skip
    typer.echo(f"{name} reviews {language_name(code)} as {done.person.pseudonym}, at most "
               f"{done.person.items_a_day} items a day")  # fmt: skip
    typer.echo(f"  address    {found.api_url}")
    typer.echo(f"  user name  {done.person.user_name}")
    typer.echo(f"  password   {done.password or 'as before (--reset makes a new one)'}")
    if done.password:
        typer.echo("Hand the password over by a private channel: it is stored nowhere.")


def dismiss(
    name: NameArg,
    answers: Annotated[
        bool, typer.Option("--withdraw-answers", help="Take her answers out at the next pull.")
    ] = False,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Take somebody's access away; her answers stay, unless she wants them out.

    Example: whyguard review dismiss Ana --withdraw-answers
    """
    if not people_of(out).named(name).user_ids:
        _say_gone(people_of(out).leave(name, answers=answers))
        return
    from whyguard.annotation.server.connection import connection
    from whyguard.annotation.views.argilla.client import connect
    from whyguard.annotation.views.argilla.invite import withdraw

    found = connection(server_home(out))
    gone = withdraw(connect(found.api_url, found.api_key), people_of(out), name, answers=answers,
                    home=embedded_home(out))  # fmt: skip
    _say_gone(gone)


def _say_gone(gone: Person) -> None:
    rest = "taken out at the next pull" if gone.answers_withdrawn else "kept"
    typer.echo(f"{gone.pseudonym} reviews no more; her answers are {rest}")


def people(out: OutOption = DEFAULT_OUT, as_json: JsonOption = False) -> None:
    """List who reviews, by pseudonym; names are shown to you alone, never with --json.

    Example: whyguard review people
    """
    everybody = people_of(out).all()
    if as_json:
        facts = [{"pseudonym": p.pseudonym, "languages": p.languages, "role": p.role.value,
                  "adjudicates": p.adjudicates, "items_a_day": p.items_a_day,
                  "left": p.left_at is not None} for p in everybody]  # fmt: skip
        typer.echo(json.dumps(facts, indent=2))
        return
    if not everybody:
        typer.echo("nobody yet: whyguard review invite NAME --language CODE")
    rows: list[tuple[object, ...]] = [
        (p.pseudonym, p.name, ", ".join(p.languages), p.role.value, p.items_a_day,
         "left" if p.left_at else "") for p in everybody
    ]  # fmt: skip
    show_table(("pseudonym", "name", "languages", "role", "items a day", ""), rows)

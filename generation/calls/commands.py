"""`whyguard ledger`: what was asked of models, what it cost, and whether it is all there."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from whyguard.core.errors import MissingFileError, fail
from whyguard.core.steps import Workspace
from whyguard.core.text_safety import one_line
from whyguard.generation.calls.ledger import LEDGER_FILE, Ledger, Summary

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

OutOption = Annotated[Path, typer.Option("--out", help="The workspace.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]


@app.command()
def ledger(out: OutOption = Path("workspace"), as_json: JsonOption = False) -> None:
    """Say what model calls a workspace has paid for; checks each stored answer.

    Example: whyguard ledger --out workspace
    """
    found = summarise(Workspace(out).ledger)
    if as_json:
        typer.echo(json.dumps(_facts(found), indent=2))
    else:
        _print(found)


def summarise(folder: Path) -> Summary:
    """What the ledger in `folder` holds.

    Raises:
        MissingFileError: there is none.
    """
    if not (folder / LEDGER_FILE).is_file():
        fail(MissingFileError, where=str(folder / LEDGER_FILE), expected="a call ledger",
             found="no such file", do="name the workspace with --out: the first model call of a "
             "run makes its ledger")  # fmt: skip
    with Ledger(folder) as opened:
        return opened.summary()


def _facts(found: Summary) -> dict[str, Any]:
    accounts = {name: spending._asdict() for name, spending in found.accounts.items()}
    return found._asdict() | {"accounts": accounts}


def _print(found: Summary) -> None:
    table = Table(box=None)
    table.add_column("recipe", overflow="fold")
    for heading in ("calls sent", "tokens", "money"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, spent in found.accounts.items():
        table.add_row(
            one_line(name), f"{spent.calls:,}", f"{spent.tokens:,}", f"{spent.money:,.4g}"
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    typer.echo("")
    for model, count in found.answers.items():
        typer.echo(f"{count:,} answers of {one_line(model)}")
    for cause, count in found.failures.items():
        typer.echo(f"{count:,} calls without an answer: {cause}")
    if found.replaced:
        typer.echo(f"{found.replaced:,} older answers, replaced by newer ones and kept")
    if found.set_aside:
        typer.echo(f"{found.set_aside:,} damaged answers were set aside and asked for again")
    if found.damaged:
        typer.echo(f"{found.damaged:,} answers are damaged: the next run asks for them again")
    else:
        typer.echo("every stored answer is as it was written")

"""`whyguard plan` and `whyguard run`."""

import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from whyguard.core.artefact import DROPS
from whyguard.core.engine import Engine, Finished, Planned
from whyguard.core.progress import Progress
from whyguard.core.recipe import load_recipe
from whyguard.core.steps import Workspace

run_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
plan_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

RecipeArg = Annotated[Path, typer.Argument(help="The recipe (YAML).")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for store, datasets, reports.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder that data files are relative to.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the report in a browser.")]
DEFAULT_OUT = Path("workspace")


def _engine(recipe: Path, out: Path, data: Path | None, *, quiet: bool = False) -> Engine:
    progress = Progress.silent() if quiet else Progress()
    return Engine(Workspace(out), data or recipe.parent, progress)


@run_app.command()
def run(recipe: RecipeArg, out: OutOption = DEFAULT_OUT, data: DataOption = None,
        as_json: JsonOption = False, show: OpenOption = False) -> None:  # fmt: skip
    """Run a recipe. Steps whose content key is stored are reused.

    Example: whyguard run recipes/quickstart.yaml --out workspace
    """
    finished = _engine(recipe, out, data, quiet=as_json).run(load_recipe(recipe))
    if as_json:
        typer.echo(json.dumps([_facts(step) for step in finished], indent=2))
        return
    _summarise(finished)
    if show:
        _open_reports(finished)


def _open_reports(finished: list[Finished]) -> None:
    """Open each report in a browser, where there is a screen to show it on."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY")
    for laid in (laid for step in finished for laid in step.published):
        if laid.what == "report" and (screen or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(laid.path.resolve().as_uri())


def _summarise(finished: list[Finished]) -> None:
    console = Console(highlight=False)
    reused = sum(step.reused for step in finished)
    console.print(f"\n{len(finished)} steps: {reused} reused, {len(finished) - reused} new")
    for step in finished:
        if sum(step.artefact.manifest.counts.dropped.values()):
            drops = os.path.relpath(step.artefact.folder / DROPS)
            _line(console, "dropped", f"{drops}  (rows and reasons of {step.id})")
    for laid in (laid for step in finished for laid in step.published):
        note = f"  ({laid.note})" if laid.note else ""
        _line(console, laid.what, os.path.relpath(laid.path) + note)


def _line(console: Console, what: str, text: str) -> None:
    console.print(f"{what:>10}: {text}", markup=False, emoji=False, soft_wrap=True)


def _facts(step: Finished) -> dict[str, Any]:
    manifest = step.artefact.manifest
    return {
        "id": step.id,
        "step": manifest.step,
        "reused": step.reused,
        "key": manifest.key,
        "rows_sha256": manifest.rows_sha256,
        "counts": manifest.counts.model_dump(),
        "seconds": manifest.seconds,
        "folder": str(step.artefact.folder),
        "published": [{"what": p.what, "path": str(p.path)} for p in step.published],
    }


@plan_app.command()
def plan(recipe: RecipeArg, out: OutOption = DEFAULT_OUT, data: DataOption = None,
         as_json: JsonOption = False) -> None:  # fmt: skip
    """Say which steps are stored, which are new, and the model calls they would make.

    Example: whyguard plan recipes/quickstart.yaml
    """
    planned = _engine(recipe, out, data, quiet=True).plan(load_recipe(recipe))
    if as_json:
        typer.echo(json.dumps([_plan_facts(p) for p in planned], indent=2))
        return
    table = Table(box=None)
    for heading in ("id", "step", "state", "calls", "tokens"):
        table.add_column(heading, no_wrap=True, overflow="fold")
    state = {True: "stored", False: "new", None: "waits"}
    for item in planned:
        cost = item.estimate
        table.add_row(item.id, item.step, state[item.cached], str(cost.calls) if cost else "-",
                      str(cost.tokens) if cost else "-")  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    console.print("\nstored: reused; new: would run; waits: would run, its inputs are not built "
                  "yet.\nCalls and generated tokens of models are upper bounds.")  # fmt: skip


def _plan_facts(item: Planned) -> dict[str, Any]:
    cost = item.estimate._asdict() if item.estimate else None
    return {"id": item.id, "step": item.step, "cached": item.cached, "estimate": cost}

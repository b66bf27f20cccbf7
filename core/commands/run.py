"""`whyguard plan` and `whyguard run`."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

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
DEFAULT_OUT = Path("workspace")


def _engine(recipe: Path, out: Path, data: Path | None, *, quiet: bool = False) -> Engine:
    progress = Progress.silent() if quiet else Progress()
    return Engine(Workspace(out), data or recipe.parent, progress)


@run_app.command()
def run(recipe: RecipeArg, out: OutOption = DEFAULT_OUT, data: DataOption = None,
        as_json: JsonOption = False) -> None:  # fmt: skip
    """Run a recipe. Steps whose content key is stored are reused.

    Example: whyguard run recipes/quickstart.yaml --out workspace
    """
    finished = _engine(recipe, out, data, quiet=as_json).run(load_recipe(recipe))
    if as_json:
        typer.echo(json.dumps([_facts(step) for step in finished], indent=2))
        return
    _summarise(finished)


def _summarise(finished: list[Finished]) -> None:
    console = Console(highlight=False)
    reused = sum(step.reused for step in finished)
    console.print(f"\n{len(finished)} steps: {reused} reused, {len(finished) - reused} new")
    for step in finished:
        for laid in step.published:
            shown = os.path.relpath(laid.path)
            note = f"  ({laid.note})" if laid.note else ""
            console.print(f"{laid.what:>10}: {shown}{note}", markup=False, soft_wrap=True)


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
    table = Table("step", "what", "state", "calls (at most)", "tokens (at most)", box=None)
    state = {True: "stored", False: "new", None: "new (inputs not built yet)"}
    for item in planned:
        cost = item.estimate
        table.add_row(item.id, item.step, state[item.cached], str(cost.calls) if cost else "-",
                      str(cost.tokens) if cost else "-")  # fmt: skip
    Console(highlight=False).print(table)


def _plan_facts(item: Planned) -> dict[str, Any]:
    cost = item.estimate._asdict() if item.estimate else None
    return {"id": item.id, "step": item.step, "cached": item.cached, "estimate": cost}

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
from whyguard.core.registry import SPENT, load_object
from whyguard.core.steps import Budget, Estimate, Workspace, total
from whyguard.core.variables import parse_settings

run_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
plan_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

RecipeArg = Annotated[Path, typer.Argument(help="The recipe (YAML).")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for store, datasets, reports.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder that data files are relative to.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A variable of the recipe: NAME=VALUE.")
]
BuildOption = Annotated[
    bool, typer.Option("--build/--no-build",
                       help="Run steps that ask no model and train none, to count what follows."),
]  # fmt: skip
UntilOption = Annotated[
    list[str] | None, typer.Option("--until", help="Run this step and what it needs, no more.")
]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the report in a browser.")]
DEFAULT_OUT = Path("workspace")


def _engine(recipe: Path, out: Path, data: Path | None, *, quiet: bool = False) -> Engine:
    progress = Progress.silent() if quiet else Progress()
    return Engine(Workspace(out), data or recipe.parent, progress)


@run_app.command()
def run(recipe: RecipeArg, out: OutOption = DEFAULT_OUT, data: DataOption = None,
        settings: SetOption = None, until: UntilOption = None, as_json: JsonOption = False,
        show: OpenOption = False) -> None:  # fmt: skip
    """Run a recipe. Steps whose content key is stored are reused.

    Example: whyguard run recipes/quickstart.yaml --out workspace
    """
    checked = load_recipe(recipe, parse_settings(settings or ()))
    checked = checked.until(until) if until else checked
    finished = _engine(recipe, out, data, quiet=as_json).run(checked)
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
         settings: SetOption = None, build: BuildOption = True,
         as_json: JsonOption = False) -> None:  # fmt: skip
    """Say which steps are stored, which are new, and what their model calls would cost.

    Example: whyguard plan recipes/quickstart.yaml
    """
    checked = load_recipe(recipe, parse_settings(settings or ()))
    planned = _engine(recipe, out, data, quiet=as_json).plan(checked, build=build)
    if as_json:
        typer.echo(json.dumps([_plan_facts(p) for p in planned], indent=2))
        return
    console = Console(highlight=False)
    console.print(_plan_table(planned))
    typer.echo(_LEGEND)
    spent = load_object(SPENT)(Workspace(out).ledger, checked.name)
    for line in _warnings(planned, checked.budget, spent):
        typer.echo(line)


_LEGEND = """
stored: reused; built: run for this plan; new: would run; waits: would run, inputs are not there yet
calls and generated tokens: at most; tokens sent: about; cached: answers that the ledger has
"""


def _plan_table(planned: list[Planned]) -> Table:
    table = Table(box=None)
    for heading in ("step", "state"):
        table.add_column(heading, no_wrap=True, overflow="fold")
    for heading in ("calls", "cached", "tokens sent", "generated", "money"):
        table.add_column(heading, no_wrap=True, justify="right")
    for item in planned:
        table.add_row(item.id, item.state, *_cells(item.estimate))
    table.add_section()
    table.add_row("in all", "", *_cells(total([p.estimate for p in planned])))
    return table


def _cells(cost: Estimate | None) -> list[str]:
    if cost is None:
        return ["-"] * 5
    numbers = (cost.calls, cost.cached, cost.prompt_tokens, cost.completion_tokens)
    money = "-" if cost.money is None else f"{cost.money:,.4g} {cost.currency}".strip()
    return [*(f"{number:,}" for number in numbers), money]


def _warnings(planned: list[Planned], budget: Budget, spent: Any) -> list[str]:
    """Where the run may take more than the budget has left; `spent` holds calls, tokens, money."""
    cost = total([item.estimate for item in planned])
    tokens = cost.prompt_tokens + cost.completion_tokens
    bounds = {"calls": cost.calls, "tokens": tokens, "money": cost.money}
    lines = []
    for name, limit in budget.model_dump(exclude_none=True).items():
        left, bound = limit - getattr(spent, name), bounds[name]
        if bound is not None and bound > left:
            lines.append(f"budget.{name} has {left:,.6g} of {limit:,.6g} left, less than the "
                         f"{bound:,.6g} that the run may take: it would stop there, in a state "
                         "that a later run goes on from (exit code 3)")  # fmt: skip
    return lines


def _plan_facts(item: Planned) -> dict[str, Any]:
    cost = item.estimate._asdict() if item.estimate else None
    return {"id": item.id, "step": item.step, "state": item.state.value, "estimate": cost}

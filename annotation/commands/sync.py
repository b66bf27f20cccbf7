"""`whyguard review push | pull`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from whyguard.annotation.campaign import Campaign, Head, find_campaign, remembered
from whyguard.annotation.commands.common import (
    DEFAULT_OUT,
    CampaignArg,
    FilesOption,
    OutOption,
    campaign_of,
    guide_of,
    open_view,
    say_refused,
)
from whyguard.annotation.sync import Brought
from whyguard.annotation.sync import pull as pull_answers
from whyguard.annotation.sync import push as push_items
from whyguard.core.engine import Engine, Finished
from whyguard.core.errors import ConfigError, fail
from whyguard.core.progress import Progress
from whyguard.core.recipe import Recipe, load_recipe
from whyguard.core.steps import Workspace
from whyguard.core.variables import parse_settings

_ROUTE, _REVISE, _VERSION = "annotation.route", "annotation.revise", "cards.version"


def add(app: typer.Typer) -> None:
    """Put the commands into the group."""
    for command in (push, pull):
        app.command()(command)


def push(
    recipe: Annotated[Path, typer.Argument(help="The recipe that was run.")],
    files: FilesOption = None,
    data: Annotated[Path | None, typer.Option("--data", help="As for `whyguard run`.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="As for `whyguard run`.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option("--contact", help="Whom reviewers may write to.")
    ] = None,
    cap: Annotated[
        int, typer.Option("--items-a-day", min=1, help="The cap that guidelines speak of.")
    ] = 60,
    guidelines: Annotated[
        Path | None, typer.Option("--guidelines", help="Folder of guidelines of your own.")
    ] = None,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Send the items that a recipe chose to Argilla, or to files; a second push writes nothing.

    Example: whyguard review push recipes/quickstart.yaml
    """
    checked = load_recipe(recipe, parse_settings(settings or ()))
    campaign = find_campaign(Workspace(out), _campaign_name(checked))
    head = remembered(recipe, data, parse_settings(settings or ()))
    campaign.put_head(head.model_copy(update={
        "contact": contact, "items_a_day": cap,
        "guidelines": str(guidelines.resolve()) if guidelines else None}))  # fmt: skip
    opened = open_view(out, files)
    done = push_items(campaign, opened.view, opened.name, guide_of(campaign), Progress())
    typer.echo(f"{campaign.name}: {done.written} items sent, {done.present} were there")


def _campaign_name(recipe: Recipe) -> str:
    names = sorted({step.config.campaign for step in recipe.steps  # type: ignore[attr-defined]
                    if step.step.name == _ROUTE})  # fmt: skip
    if len(names) != 1:
        fail(ConfigError, where=f"{recipe.path}: steps", expected=f"one campaign ({_ROUTE})",
             found=", ".join(names) or "none", do="see docs/data-engineers.md")  # fmt: skip
    return str(names[0])


def pull(
    campaign: CampaignArg = None,
    files: FilesOption = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Make the next dataset version of the answers.")
    ] = True,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Take over what people answered, and make the next dataset version of it.

    Example: whyguard review pull
    """
    chosen = campaign_of(out, campaign)
    opened = open_view(out, files)
    brought = pull_answers(chosen, opened.view, opened.name, guide_of(chosen), Progress())
    _say(chosen, brought)
    head = chosen.head()
    if run and head is not None:
        _summarise(_next_version(head, out))


def _say(campaign: Campaign, brought: Brought) -> None:
    new = brought.changes
    typer.echo(f"{campaign.name}: {new.given} new answers, {new.changed} changed, {new.withdrawn} "
               f"withdrawn; {brought.standing} stand, {brought.drafts} drafts are not "
               "submitted")  # fmt: skip
    say_refused(brought.refused)


def _next_version(head: Head, out: Path) -> Sequence[Finished]:
    """Run the recipe up to its dataset versions; what does not depend on answers is reused."""
    path = Path(head.recipe)
    recipe = load_recipe(path, head.settings)
    ends = [s.id for s in recipe.steps if s.step.name == _VERSION] or [
        s.id for s in recipe.steps if s.step.name == _REVISE]  # fmt: skip
    data = Path(head.data) if head.data else path.parent
    return Engine(Workspace(out), data, Progress()).run(recipe.until(ends))


def _summarise(finished: Sequence[Finished]) -> None:
    for step in finished:
        notes = step.artefact.manifest.notes
        if step.artefact.manifest.step == _REVISE:
            changes = ", ".join(f"{field} {n}" for field, n in notes["changed"].items())
            typer.echo(f"rows changed by people: {changes or 'none'}; reviewed rows: "
                       f"{notes['reviewed']}")  # fmt: skip
        for said in notes.get("audit", ()):
            typer.echo(f"audit, {said['language']}, {said['question']}: {said['sentence']}")
        for laid in step.published:
            if laid.what == "dataset":
                typer.echo(f"{laid.note} version: {laid.path.name}  ({laid.path})")

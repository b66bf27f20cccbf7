"""`whyguard review push | pull`."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from whyguard.annotation.campaign import (
    SNAPSHOT,
    Campaign,
    Head,
    find_campaign,
    items_name,
    remembered,
)
from whyguard.annotation.commands.common import (
    DEFAULT_CAP,
    DEFAULT_OUT,
    CampaignArg,
    FilesOption,
    OutOption,
    campaign_of,
    guide_of,
    open_view,
    say_refused,
)
from whyguard.annotation.snapshot import current_reviews, not_blind, write_snapshot
from whyguard.annotation.sync import Brought
from whyguard.annotation.sync import pull as pull_answers
from whyguard.annotation.sync import push as push_items
from whyguard.core.engine import Engine, Finished
from whyguard.core.errors import ConfigError, fail
from whyguard.core.hashing import sha256_file
from whyguard.core.progress import Progress
from whyguard.core.recipe import Recipe, load_recipe
from whyguard.core.steps import Workspace
from whyguard.core.variables import parse_settings

_ROUTE, _AUDIT, _REVISE = "annotation.route", "annotation.audit", "annotation.revise"
_VERSION = "cards.version"


def add(app: typer.Typer) -> None:
    """Put the commands into the group."""
    for command in (push, pull, freeze):
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
        int | None, typer.Option("--items-a-day", min=1, help="The cap that guidelines speak of.")
    ] = None,
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
    head = _head(campaign, remembered(recipe, data, parse_settings(settings or ())),
                 contact=contact, items_a_day=cap,
                 guidelines=str(guidelines.resolve()) if guidelines else None)  # fmt: skip
    for gone in campaign.keep_only(_items_of(checked)):
        typer.echo(f"no step asks for {gone} any more: its items are no longer sent")
    opened = open_view(out, files)
    done = push_items(campaign, opened.view, opened.name, guide_of(campaign, head), Progress())
    campaign.put_head(head)
    typer.echo(f"{campaign.name}: {done.written} items sent, {done.present} were there")


def _head(campaign: Campaign, new: Head, **given: str | int | None) -> Head:
    """What is remembered: options that are not given stay as they were."""
    old = campaign.head()
    kept = {name: getattr(old, name) for name in given} if old else {"items_a_day": DEFAULT_CAP}
    named = {name: value for name, value in given.items() if value is not None}
    return new.model_copy(update=kept | named)


def _items_of(recipe: Recipe) -> set[str]:
    """What the items of the recipe's steps are called."""
    return {items_name(step.step.name, step.config) for step in recipe.steps  # type: ignore[arg-type]
            if step.step.name in (_ROUTE, _AUDIT)}  # fmt: skip


def _campaign_name(recipe: Recipe) -> str:
    names = sorted({step.config.campaign for step in recipe.steps  # type: ignore[attr-defined]
                    if step.step.name == _ROUTE})  # fmt: skip
    if len(names) != 1:
        fail(ConfigError, where=f"{recipe.path}: steps", expected=f"one campaign ({_ROUTE})",
             found=", ".join(names) or "none", do="see docs/review.md")  # fmt: skip
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
        _say_if_changed(head)
        finished = _next_version(head, out)
        before = _snapshot(chosen)
        write_snapshot(chosen)
        if _snapshot(chosen) != before:  # the recipe asks for other items than before
            finished = _next_version(head, out)
        _summarise(finished)


def _snapshot(campaign: Campaign) -> bytes:
    path = campaign.folder / SNAPSHOT
    return path.read_bytes() if path.is_file() else b""


def _say_if_changed(head: Head) -> None:
    path = Path(head.recipe)
    if path.is_file() and head.recipe_sha256 not in ("", sha256_file(path)):
        typer.echo(f"{path.name} changed since it was pushed: if it chooses other items, push it "
                   "again")  # fmt: skip


def freeze(
    number: Annotated[int, typer.Argument(min=1, help="The round that ends.")],
    campaign: CampaignArg = None,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Keep the answers that stand now as those of a round: what a later round is fitted on.

    Example: whyguard review freeze 1
    """
    chosen = campaign_of(out, campaign)
    source, target = chosen.folder / SNAPSHOT, chosen.folder / f"round-{number}.parquet"
    if not source.is_file() or target.exists():
        fail(ConfigError, where=str(target), expected="answers that were pulled, not frozen yet",
             found="frozen already" if target.exists() else "nothing was pulled",
             do="count the round up" if target.exists() else "whyguard review pull")  # fmt: skip
    shutil.copy(source, target)
    typer.echo(f"{target}: name it in the earlier round's annotation.answers, "
               f"answers: review/{chosen.name}/{target.name}")  # fmt: skip


def _say(campaign: Campaign, brought: Brought) -> None:
    new = brought.changes
    typer.echo(f"{campaign.name}: {new.given} new answers, {new.changed} changed, {new.withdrawn} "
               f"withdrawn; {brought.standing} stand, {brought.drafts} drafts are not "
               "submitted")  # fmt: skip
    say_refused(brought.refused)
    lost = not_blind(current_reviews(campaign))
    if lost:
        typer.echo(f"  {lost} verdicts do not count: given after the same person had seen the "
                   "row's rationale, or others' answers")  # fmt: skip


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
            typer.echo(f"audit, round {said['round']}, {said['language']}, {said['question']}: "
                       f"{said['sentence']}")  # fmt: skip
        for laid in step.published:
            if laid.what == "dataset":
                typer.echo(f"{laid.note} version: {laid.path.name}  ({laid.path})")

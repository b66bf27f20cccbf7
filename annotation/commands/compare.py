"""`whyguard review compare push | pull`: two arms' rationales, side by side."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from whyguard.annotation.campaign import NAME_PATTERN
from whyguard.annotation.commands.common import (
    DEFAULT_OUT,
    FilesOption,
    JsonOption,
    OutOption,
    open_view,
    say_refused,
    show_table,
)
from whyguard.core.artefact import ROWS, load_artefact
from whyguard.core.errors import ConfigError, fail
from whyguard.core.progress import Progress
from whyguard.core.steps import Workspace

group = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                    rich_markup_mode=None,
                    help="Ask which of two arms' rationales is better.")  # fmt: skip
StudyArg = Annotated[str, typer.Argument(help="Name of the study: no campaign's.")]


def add(app: typer.Typer) -> None:
    """Put the commands into the group."""
    group.command("push")(push)
    group.command("pull")(pull)
    app.add_typer(group, name="compare")


def push(
    study: StudyArg,
    scores: Annotated[Path, typer.Option("--scores", help="The folder of a train.evaluate "
                                         "artefact.")],
    examples: Annotated[Path, typer.Option("--examples", help="The folder of the artefact with its "
                                           "examples.")],
    arms: Annotated[str, typer.Option("--arms", help="Two arms: explained,refusal_only.")],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Pairs a language.")
    ] = None,
    wanted: Annotated[int, typer.Option("--answers", min=1, help="Answers a pair.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of the sides.")] = 0,
    files: FilesOption = None,
    out: OutOption = DEFAULT_OUT,
) -> None:  # fmt: skip
    """Put two arms' rationales for the same prompt side by side, in random order, arms hidden.

    Example: whyguard review compare push pilot --scores STORE/train.evaluate/KEY
    --examples STORE/cards.version/KEY --arms explained,refusal_only
    """
    from whyguard.annotation.compare.study import Study, read_scores

    pair = tuple(name.strip() for name in arms.split(","))
    if len(pair) != 2:
        fail(ConfigError, where="--arms", expected="two names with a comma", found=f"'{arms}'",
             do="write --arms explained,refusal_only")  # fmt: skip
    made = Study(_folder(out, study)).make(
        read_scores(scores / ROWS), load_artefact(examples).rows(), (pair[0], pair[1]),
        seed=seed, limit=limit)  # fmt: skip
    typer.echo(f"{made.pairs.height} pairs; left out: {made.drops.height}")
    opened = open_view(out, files)
    done = Study(_folder(out, study)).push(opened.view, wanted, Progress())
    typer.echo(f"{done.written} pairs sent, {done.present} were there")


def _folder(out: Path, study: str) -> Path:
    folder = Workspace(out).review / study
    if not re.fullmatch(NAME_PATTERN, study) or (folder / "items").is_dir():
        fail(ConfigError, where="STUDY", expected="small letters, digits, - and _; no campaign's "
             "name", found=f"'{study}'", do="choose another name")  # fmt: skip
    return folder


def pull(study: StudyArg, files: FilesOption = None, out: OutOption = DEFAULT_OUT,
         as_json: JsonOption = False) -> None:  # fmt: skip
    """Bring preferences back as a table, with win rates, sign test and a check for side bias.

    Example: whyguard review compare pull pilot
    """
    from whyguard.annotation.compare.preferences import export_csv, left_bias, win_rates
    from whyguard.annotation.compare.study import Study

    found = Study(_folder(out, study))
    opened = open_view(out, files)
    changes, pulled, brought = found.pull(opened.view, Progress())
    arms = sorted({*found.pairs()["left_arm"], *found.pairs()["right_arm"]})
    export_csv(brought.rows, found.folder / "preferences.csv")
    rates = win_rates(brought.rows, arms[0], arms[1]) if brought.rows.height else brought.rows
    sides = left_bias(brought.rows)
    if as_json:
        typer.echo(json.dumps({"win_rates": rates.to_dicts() if brought.rows.height else [],
                               "sides": sides.to_dicts()}, indent=2))  # fmt: skip
        return
    typer.echo(f"{changes.given} new answers, {changes.changed} changed, {changes.withdrawn} "
               f"withdrawn; {found.folder / 'preferences.csv'}")  # fmt: skip
    say_refused(pulled.refused)
    if brought.rows.height:
        show_table(tuple(rates.columns), rates.rows())
        show_table(tuple(sides.columns), sides.rows())

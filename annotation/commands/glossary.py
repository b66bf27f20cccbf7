"""`whyguard review glossary`: proposals of annotators, and accepting them into a pack."""

import datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from whyguard.annotation.commands.common import (
    DEFAULT_OUT,
    CampaignArg,
    OutOption,
    campaign_of,
    show_table,
)
from whyguard.annotation.glossary import Proposal, accept, find_proposals, proposal_of
from whyguard.annotation.views.base import Given
from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import known_languages
from whyguard.core.nearest import suggest


def add(app: typer.Typer) -> None:
    """Put the command into the group."""
    app.command()(glossary)


def glossary(
    campaign: CampaignArg = None,
    accept_term: Annotated[
        str | None, typer.Option("--accept", help="The term (as in the source) to accept.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language of the accepted term.")
    ] = None,
    better: Annotated[
        str | None, typer.Option("--better", help="Which word, where there are rivals.")
    ] = None,
    packs: Annotated[
        Path, typer.Option("--packs", help="Your folder of packs, which is written to.")
    ] = Path("packs"),
    by: Annotated[str, typer.Option("--by", help="Who accepts it: stands in the term's "
                                    "note.")] = "editor",
    replace: Annotated[
        bool, typer.Option("--replace", help="The term may take another word's place.")
    ] = False,
    out: OutOption = DEFAULT_OUT,
) -> None:  # fmt: skip
    """List the terms that annotators would call otherwise; write an accepted one into a pack.

    Example: whyguard review glossary --accept guard --language ast --packs packs
    """
    chosen = campaign_of(out, campaign)
    answers = [Given(a.item_id, a.question, a.annotator, a.value, a.submitted_at)
               for a in chosen.store.standing()]  # fmt: skip
    found = find_proposals(answers, chosen.items())
    if accept_term is None:
        _show(found.rows)
        for dropped in found.drops.to_dicts():
            typer.echo(f"no proposal: {dropped['row_id']}: {dropped['reason']}")
        return
    proposal = _chosen(found.rows, accept_term, language, better)
    done = accept(packs, proposal, by=by, when=datetime.datetime.now(datetime.UTC).date(),
                  replace=replace)  # fmt: skip
    what = "stands there already" if not done.changed else (
        f"in place of '{done.before}'" if done.before else "new")  # fmt: skip
    typer.echo(f"{done.path}: '{done.term.source}' -> '{done.term.target}' ({what}); use it with "
               f"packs: {packs} in the recipe")  # fmt: skip


def _show(rows: pl.DataFrame) -> None:
    if not rows.height:
        typer.echo("no proposals yet")
    show_table(("language", "term", "better", "times", "by", "rivals"),
               [(r["language"], r["term"], r["better"], r["times"], ", ".join(r["annotators"]),
                 ", ".join(r["rivals"])) for r in rows.to_dicts()])  # fmt: skip


def _chosen(rows: pl.DataFrame, term: str, language: str | None, better: str | None) -> Proposal:
    wanted = rows.filter(pl.col("term").str.to_lowercase() == term.lower())
    if language:
        code = known_languages().find(language, "--language").code
        wanted = wanted.filter(pl.col("language") == code)
    if better:
        wanted = wanted.filter(pl.col("better") == better)
    if wanted.height != 1:
        listed = "; ".join(f"{r['language']} {r['term']} -> {r['better']}"
                           for r in wanted.to_dicts())  # fmt: skip
        hint = "say which: --language, --better"
        if not listed:
            hint = suggest(term, rows["term"]) if rows.height else "nobody proposed any term yet"
        fail(ConfigError, where=f"--accept {term}", expected="one proposal",
             found=listed or "none", do=hint)  # fmt: skip
    return proposal_of(wanted.row(0, named=True))

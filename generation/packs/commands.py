"""`whyguard locale list|check|new`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from whyguard.core.languages import language_name
from whyguard.core.text_safety import one_line
from whyguard.generation.packs.check import Checked, Finding, Section, check_pack, table_entry
from whyguard.generation.packs.load import Pack, known_packs, load_pack
from whyguard.generation.packs.skeleton import write_skeleton

app = typer.Typer(help="List, check and begin localisation packs.", no_args_is_help=True,
                  add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None)  # fmt: skip

LangArg = Annotated[str, typer.Argument(metavar="LANG", help="Code such as ast_Latn.")]
PacksOption = Annotated[
    Path | None, typer.Option("--packs", help="Folder of your own packs; they come first.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


@app.command("list")
def list_packs(packs: PacksOption = None, as_json: JsonOption = False) -> None:
    """List the languages that have a pack.

    Example: whyguard locale list
    """
    found = [pack for code in known_packs(packs) if (pack := load_pack(code, packs))]
    if as_json:
        typer.echo(json.dumps([_facts(pack) for pack in found], indent=2, ensure_ascii=False))
        return
    table = Table(box=None)
    for heading in ("code", "language", "autonym"):
        table.add_column(heading, no_wrap=True)
    for heading in ("names", "refusals", "terms", "locked", "culture"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("reviewed", no_wrap=True)
    for pack in found:
        facts = _facts(pack)
        counts = [str(value) for value in facts["counts"].values()]
        table.add_row(pack.code, language_name(pack.code), one_line(pack.autonym), *counts,
                      _reviewed(pack))  # fmt: skip
    Console(highlight=False, markup=False).print(table)


@app.command()
def check(lang: LangArg, packs: PacksOption = None, as_json: JsonOption = False) -> None:
    """Check a pack and say what is missing. Exit code 2 if something in it cannot be right.

    Example: whyguard locale check ast_Latn
    """
    checked = check_pack(lang, packs)
    if as_json:
        typer.echo(json.dumps(_check_facts(checked), indent=2, ensure_ascii=False))
    else:
        _print(checked)
    if checked.errors:
        raise typer.Exit(2)


@app.command()
def new(
    lang: LangArg,
    packs: Annotated[Path, typer.Option("--packs", help="Folder of your own packs.")] = Path(
        "packs"
    ),
) -> None:
    """Begin a pack: a form with what the tables know, or a copy of the shipped pack to edit.

    Example: whyguard locale new cat_Latn --packs my-packs
    """
    for path in write_skeleton(lang, packs):
        typer.echo(f"wrote {path}")
    if table_entry(lang) is None:
        typer.echo(f"{lang} is not in the table of languages: declare it in each recipe under "
                   "'languages:' (code, name, autonym, bcp47)")  # fmt: skip
    typer.echo(f"next: edit them, then whyguard locale check {lang} --packs {packs}")


def _reviewed(pack: Pack) -> str:
    return f"{pack.reviewed.when} by {one_line(pack.reviewed.by)}" if pack.reviewed else "no"


def _facts(pack: Pack) -> dict[str, Any]:
    words = pack.wording
    counts = {"categories": len(words.categories),
              "refusals": len(words.refusals) + len(words.refusals_with_reason),
              "terms": len(pack.glossary), "locked": sum(term.lock for term in pack.glossary),
              "substitutions": len(pack.culture)}  # fmt: skip
    reviewed = pack.reviewed.model_dump(mode="json") if pack.reviewed else False
    return {"code": pack.code, "autonym": pack.autonym, "direction": pack.direction,
            "drafted_by": pack.drafted_by, "reviewed": reviewed, "counts": counts}  # fmt: skip


def _check_facts(checked: Checked) -> dict[str, Any]:
    sections = [_section_facts(section) for section in checked.sections]
    findings = [finding._asdict() for finding in checked.findings]
    return {"code": checked.code, "errors": checked.errors, "sections": sections,
            "findings": findings}  # fmt: skip


def _section_facts(section: Section) -> dict[str, Any]:
    return section._asdict() | {"state": section.state}


def _print(checked: Checked) -> None:
    table = Table("part", "state", box=None)
    table.add_column("entries", justify="right")
    table.add_column("reviewed", justify="right")
    table.add_column("missing")
    for section in checked.sections:
        table.add_row(section.name, section.state, str(section.entries), str(section.reviewed),
                      ", ".join(section.missing))  # fmt: skip
    Console(highlight=False, markup=False).print(table)
    for finding in checked.findings:
        typer.echo(_line(finding))
    warnings = len(checked.findings) - checked.errors
    typer.echo(f"{checked.code}: {checked.errors} errors, {warnings} warnings")


def _line(finding: Finding) -> str:
    return one_line(f"{finding.level}: {finding.where}: {finding.text}")

"""`whyguard dataset list|show|check`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from whyguard.cards.check import check_version, require_proved
from whyguard.cards.layout import (
    CARD,
    DROPS,
    MANIFEST,
    VersionManifest,
    find_version,
    find_versions,
    read_manifest,
)
from whyguard.core.steps import Workspace
from whyguard.core.text_safety import one_line

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,
                  help="List, show and check dataset versions.")  # fmt: skip

OutOption = Annotated[Path, typer.Option("--out", help="The workspace: its datasets/ is read.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]
DEFAULT_OUT = Path("workspace")


@app.command("list")
def list_versions(out: OutOption = DEFAULT_OUT, as_json: JsonOption = False) -> None:
    """List the dataset versions of a workspace.

    Example: whyguard dataset list --out workspace
    """
    datasets = Workspace(out).datasets
    found = [(datasets / str(v), read_manifest(datasets / str(v))) for v in find_versions(datasets)]
    if as_json:
        typer.echo(json.dumps([_facts(folder, manifest) for folder, manifest in found], indent=2))
        return
    if not found:
        typer.echo(f"no dataset versions in {datasets}: run a recipe with a cards.version step")
        return
    width = max(len(folder.name) for folder, _ in found)
    for folder, manifest in found:
        splits = ", ".join(f"{name} {facts.rows}" for name, facts in manifest.splits.items())
        typer.echo(f"{folder.name:<{width}}  {manifest.rows:>7} rows ({splits}), "
                   f"{len(manifest.languages)} languages, {one_line(manifest.licence)}, "
                   f"made {manifest.created_at[:10]}")  # fmt: skip


@app.command()
def show(name: Annotated[str, typer.Argument(help="NAME (its latest version) or NAME@VERSION.")],
         out: OutOption = DEFAULT_OUT, as_json: JsonOption = False) -> None:  # fmt: skip
    """Show what a version holds and where it came from.

    Example: whyguard dataset show starter-ast
    """
    folder = find_version(Workspace(out).datasets, name)
    manifest = read_manifest(folder)
    if as_json:
        typer.echo(json.dumps(_facts(folder, manifest), indent=2))
        return
    for line in _lines(folder, manifest):
        typer.echo(line)


@app.command()
def check(what: Annotated[str, typer.Argument(help="A folder, NAME or NAME@VERSION.")],
          out: OutOption = DEFAULT_OUT, as_json: JsonOption = False) -> None:  # fmt: skip
    """Prove every hash, count and split of a version again; exit code 2 where one fails.

    Example: whyguard dataset check starter-ast
    """
    folder = Path(what)
    if not folder.is_dir():
        folder = find_version(Workspace(out).datasets, what)
    proofs = check_version(folder)
    if as_json:
        ok = all(proof.ok for proof in proofs)
        facts = {"path": str(folder), "ok": ok, "proofs": [proof._asdict() for proof in proofs]}
        typer.echo(json.dumps(facts, indent=2))
    else:
        for proof in proofs:
            shown = proof.found if proof.ok else f"{proof.found}, expected {proof.expected}"
            mark = "ok    " if proof.ok else "FAILED"
            typer.echo(f"{mark}  {proof.where}: {proof.what}: {shown}")
        typer.echo(f"{sum(p.ok for p in proofs)} of {len(proofs)} proofs hold: {folder}")
    require_proved(folder, proofs)


def _facts(folder: Path, manifest: VersionManifest) -> dict[str, Any]:
    return {
        "version": f"{manifest.name}@{manifest.version}",
        "path": str(folder),
        "title": manifest.title,
        "licence": manifest.licence,
        "created_at": manifest.created_at,
        "rows": manifest.rows,
        "rows_sha256": manifest.rows_sha256,
        "key": manifest.key,
        "languages": list(manifest.languages),
        "splits": {name: facts.model_dump() for name, facts in manifest.splits.items()},
        "dropped": manifest.dropped,
        "lineage": [item.model_dump(mode="json") for item in manifest.lineage],
    }


def _lines(folder: Path, manifest: VersionManifest) -> list[str]:
    lines = [f"{manifest.name}@{manifest.version}: {one_line(manifest.title)}",
             f"  folder     {folder}", f"  card       {folder / CARD}",
             f"  licence    {one_line(manifest.licence)}", f"  made       {manifest.created_at}",
             f"  languages  {', '.join(manifest.languages)}",
             f"  rows       {manifest.rows}, sha256 {manifest.rows_sha256}"]  # fmt: skip
    for name, facts in manifest.splits.items():
        groups = f"{facts.rows} rows in {facts.groups} groups"
        lines.append(f"    {name:<8} {groups}, sha256 {facts.rows_sha256}")
    total = sum(n for rules in manifest.dropped.values() for n in rules.values())
    lines.append(f"  dropped    {total} ({DROPS})")
    for step, rules in manifest.dropped.items():
        lines.append(f"    {step}: {', '.join(f'{rule} {n}' for rule, n in rules.items())}")
    lines.append(f"  made by (settings in {MANIFEST})")
    for item in reversed(manifest.lineage):
        kept = f"{item.counts.kept} rows" if item.counts else "no longer in the store"
        lines.append(f"    {item.step} {item.step_version}  key {item.key[:12]}  {kept}")
    return lines

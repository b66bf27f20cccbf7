"""Print what the steps of a workspace let through: by filter and language, by label, by reason.

Usage: python tools/yield_table.py WORKSPACE [--reasons]

Markdown on stdout, one line a result, filter and language. A result is named by its step and its
key's first characters, as in its folder's name; every result in the workspace that has yields is
listed, in the order of the flow and then of time, those of older runs too. No text of a row is
printed.
"""

import argparse
import sys
from pathlib import Path

from whyguard.core.artefact import MANIFEST, Artefact, load_artefact
from whyguard.generation.writing.yields import (
    REASONS_HEAD,
    StepYield,
    prompts_table,
    reasons_table,
    yield_table,
)

ORDER = ("generation.trace", "generation.filter_traces", "generation.explain",
         "generation.filter_explanations", "generation.reply",
         "generation.filter_replies")  # fmt: skip


KEY_SHOWN = 8
INPUTS_HEAD = "| result | made from |\n|---|---|"


def results(workspace: Path) -> list[Artefact]:
    """Every artefact with yields, in the order of the flow, then the oldest first."""
    manifests = sorted((workspace / "store").rglob(MANIFEST),
                       key=lambda path: path.stat().st_mtime)  # fmt: skip
    found = [load_artefact(path.parent) for path in manifests]
    kept = [item for item in found if item.manifest.step in ORDER]
    return sorted(kept, key=lambda item: ORDER.index(item.manifest.step))


def main() -> int:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--reasons", action="store_true", help="also say why rows left")
    arguments = parser.parse_args()
    artefacts = results(arguments.workspace)
    if not artefacts:
        print(f"{arguments.workspace}: no results of steps with yields", file=sys.stderr)
        return 2
    steps = [StepYield(_name(item), item.manifest.notes) for item in artefacts]
    tables = [_inputs_table(artefacts), yield_table(steps), prompts_table(steps)]
    if arguments.reasons:
        lines = [reasons_table(_name(item), [(row["rule"], row["reason"])
                                              for row in item.drops().iter_rows(named=True)])
                 for item in artefacts]  # fmt: skip
        tables.append("\n".join([REASONS_HEAD, *filter(None, lines)]))
    print("\n\n".join(filter(None, tables)))
    return 0


def _inputs_table(artefacts: list[Artefact]) -> str:
    """A line for each result: which results it was made from, by input."""
    lines = []
    for item in artefacts:
        uses = [f"{name}: {_named(use.step, use.key)}"
                for name, found in item.manifest.inputs.items() for use in found]  # fmt: skip
        lines.append(f"| {_name(item)} | {'; '.join(uses) or '-'} |")
    return "\n".join([INPUTS_HEAD, *lines])


def _name(artefact: Artefact) -> str:
    return _named(artefact.manifest.step, artefact.manifest.key)


def _named(step: str, key: str) -> str:
    return f"{step.partition('.')[2]} {key[:KEY_SHOWN]}"


if __name__ == "__main__":
    sys.exit(main())

"""Print what the steps of a workspace let through: by filter and language, by label, by reason.

Usage: python tools/yield_table.py WORKSPACE [--reasons]

Markdown on stdout, one line a step, filter and language; of several results of one step in a
workspace, the newest. No text of a row is printed.
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


def newest(workspace: Path) -> list[Artefact]:
    """The newest artefact of each step that has yields, in the order of the flow."""
    found: dict[str, Artefact] = {}
    manifests = (workspace / "store").rglob(MANIFEST)
    for path in sorted(manifests, key=lambda path: path.stat().st_mtime):
        artefact = load_artefact(path.parent)
        found[artefact.manifest.step] = artefact
    return [found[step] for step in ORDER if step in found]


def main() -> int:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--reasons", action="store_true", help="also say why rows left")
    arguments = parser.parse_args()
    artefacts = newest(arguments.workspace)
    if not artefacts:
        print(f"{arguments.workspace}: no results of steps with yields", file=sys.stderr)
        return 2
    steps = [StepYield(_short(item), item.manifest.notes) for item in artefacts]
    tables = [yield_table(steps), prompts_table(steps)]
    if arguments.reasons:
        lines = [reasons_table(_short(item), [(row["rule"], row["reason"])
                                              for row in item.drops().iter_rows(named=True)])
                 for item in artefacts]  # fmt: skip
        tables.append("\n".join([REASONS_HEAD, *filter(None, lines)]))
    print("\n\n".join(filter(None, tables)))
    return 0


def _short(artefact: Artefact) -> str:
    return artefact.manifest.step.partition(".")[2]


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: prints a table; name measurements to run only some."""

import importlib
import sys

from bench.harness import Figure

MEASUREMENTS = ("reuse", "duplicates", "translation", "trainer", "decoding", "calls", "review")


def main(names: list[str]) -> None:
    """Run the named measurements (all by default)."""
    figures: list[Figure] = []
    for name in names or MEASUREMENTS:
        print(f"measuring {name} ...", flush=True)
        figures.extend(importlib.import_module(f"bench.{name}").run())
    print(f"\n{'what':<52} {'baseline':<24} {'baseline s':>10} {'ours s':>8} {'ratio':>7}")
    for f in figures:
        print(f"{f.name:<52} {f.baseline:<24} {f.baseline_seconds:>10.2f} "
              f"{f.ours_seconds:>8.2f} {f.ratio:>6.1f}x  {f.note}")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])

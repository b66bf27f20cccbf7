"""Record the source of each step beside its version: a changed source needs a new version.

Usage: python tools/fingerprints.py [--same-results]

Refuses to record a changed source under an unchanged version, unless --same-results says that the
change (a rename, a faster loop) cannot change any result.
"""

import argparse
import ast
import hashlib
import json
import sys
from pathlib import Path

from whyguard.core.registry import STEPS, load_step

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "steps.json"
DATA = {
    "whyguard.curation.taxonomy": ("curation/data/taxonomy.yaml",),
    "whyguard.curation.langid_builtin": ("curation/data/langid/*",),
    "whyguard.generation.teachers.templates": ("generation/data/templates/*",),
    "whyguard.generation.writing.patterns": ("generation/data/writing/*",),
    "whyguard.generation.packs.load": ("generation/data/packs/*/*",),
}
"""Module that reads package data shaping results -> patterns of the files."""
Facts = dict[str, dict[str, str]]


def module_path(module: str, root: Path = ROOT) -> Path | None:
    """Source file of `whyguard.PART.NAME` below `root`, or None."""
    path = root.joinpath(*module.split(".")[1:])
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


def stripped(source: str) -> str:
    """The syntax tree of a source without docstrings (comments and layout are not in it)."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        kept = [item for item in body if not _is_text(item)]
        node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(item: ast.stmt) -> bool:
    return (
        isinstance(item, ast.Expr)
        and isinstance(item.value, ast.Constant)
        and isinstance(item.value.value, str)
    )


def imported(source: str) -> set[str]:
    """Modules of every part but core that a source imports, at any depth in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("whyguard.") and _part(name) != "core"}


def _part(module: str) -> str:
    return module.split(".")[1]


def data_files(module: str, root: Path = ROOT) -> dict[str, str]:
    """Hash of each file of package data that a module reads and that shapes its results."""
    paths = {path for pattern in DATA.get(module, ()) for path in root.glob(pattern)
             if path.is_file()}  # fmt: skip
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths}  # fmt: skip


def fingerprint(module: str, root: Path = ROOT) -> str:
    """Hash of a module's source, of all modules outside core that it reaches, and of their data."""
    todo, sources = [module], dict[str, str]()
    while todo:
        name = todo.pop()
        path = module_path(name, root)
        if name in sources or path is None:
            continue
        text = path.read_text("utf-8")
        sources[name] = stripped(text)
        sources |= data_files(name, root)
        todo += imported(text)
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()[:32]


def current() -> Facts:
    """Version and source fingerprint of every step there is."""
    facts = {}
    for name in STEPS:
        step = load_step(name)
        module = STEPS[name].partition(":")[0]
        runs_in = step.run.__module__
        sources = sorted({fingerprint(module), fingerprint(runs_in)})
        facts[name] = {"version": step.version, "source": "+".join(sources)}
    return facts


def complaints(recorded: Facts, now: Facts) -> list[str]:
    """A line for each step whose record is not what it is now."""
    lines = []
    for name in sorted(recorded.keys() | now.keys()):
        old, new = recorded.get(name), now.get(name)
        if old is None or new is None:
            lines.append(f"step {name} is {'new' if old is None else 'gone'}: "
                         "run `python tools/fingerprints.py`")  # fmt: skip
        elif old["version"] != new["version"]:
            lines.append(f"step {name} has a new version: run `python tools/fingerprints.py`")
        elif old["source"] != new["source"]:
            lines.append(f"step {name} changed, its version did not: raise the version and run "
                         "`python tools/fingerprints.py`")  # fmt: skip
    return lines


def refused(recorded: Facts, now: Facts) -> list[str]:
    """Steps whose source changed under an unchanged version."""
    both = recorded.keys() & now.keys()
    return sorted(n for n in both if recorded[n]["version"] == now[n]["version"]
                  and recorded[n]["source"] != now[n]["source"])  # fmt: skip


def record(golden: Path, now: Facts, *, same_results: bool) -> int:
    """Rewrite `golden`; returns the exit code."""
    recorded: Facts = json.loads(golden.read_text("utf-8")) if golden.is_file() else {}
    changed = refused(recorded, now)
    if changed and not same_results:
        print(f"refused: {', '.join(changed)} changed, the version did not. Raise the version, or "
              "pass --same-results if no result can change.", file=sys.stderr)  # fmt: skip
        return 2
    golden.write_text(json.dumps(now, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"recorded {len(now)} steps")
    return 0


def main() -> int:
    """Parse the command line and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same-results", action="store_true", help="the change changes no result")
    return record(GOLDEN, current(), same_results=parser.parse_args().same_results)


if __name__ == "__main__":
    sys.exit(main())

"""Imports go leftwards only, and always through `whyguard.`: a test over every import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("core", "curation", "generation", "annotation", "train", "cards")


def imports(tree: ast.AST) -> Iterator[tuple[int, int, str]]:
    """Line, level and full dotted name of everything a module imports, at any depth in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, 0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                yield node.lineno, node.level, f"{base}.{alias.name}".strip(".")
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            target = node.args[0]
            if name in ("import_module", "__import__") and isinstance(target, ast.Constant):
                yield node.lineno, 0, str(target.value)


def violations(root: Path) -> list[str]:
    """What breaks the rule below `root`, as `file:line: why`."""
    found = []
    for rank, layer in enumerate(LAYERS):
        for path in sorted((root / layer).rglob("*.py")):
            for line, level, name in imports(ast.parse(path.read_text("utf-8"))):
                why = _why(name.split("."), level, rank)
                if why:
                    found.append(f"{path.relative_to(root)}:{line}: {why}")
    return found


def _why(parts: list[str], level: int, rank: int) -> str | None:
    if level:
        return "relative import"
    if parts[0] in (*LAYERS, "tests", "tools", "bench"):
        return f"bare import of {parts[0]}"
    if parts[0] != "whyguard":
        return None
    if len(parts) == 1:
        return "import of the bare namespace"
    if parts[1] not in LAYERS:
        return f"no such part: {parts[1]}"
    if LAYERS.index(parts[1]) > rank:
        return f"{LAYERS[rank]} imports {parts[1]}, which is to its right"
    return None


def test_every_import_is_absolute_and_leftward() -> None:
    assert violations(ROOT) == []


def test_the_walk_sees_every_part() -> None:
    seen = {layer for layer in LAYERS if list((ROOT / layer).rglob("*.py"))}
    assert seen == set(LAYERS)
    text = (ROOT / "core" / "cli.py").read_text("utf-8")
    assert any(name.startswith("whyguard.core") for _, _, name in imports(ast.parse(text)))


PLANTED = {
    "from . import x": "relative import",
    "from ..core import errors": "relative import",
    "import core": "bare import of core",
    "from core.errors import fail": "bare import of core",
    "import tests.support": "bare import of tests",
    "import whyguard": "bare namespace",
    "import whyguard.train.sft": "curation imports train",
    "from whyguard.cards import version": "curation imports cards",
    "from whyguard import generation": "curation imports generation",
    "from whyguard.nothing import x": "no such part",
    "def f() -> None:\n    from whyguard.train import sft": "curation imports train",
    "import importlib\nimportlib.import_module('whyguard.train')": "curation imports train",
    "if False:\n    import os, whyguard.annotation": "curation imports annotation",
}


@pytest.mark.parametrize(("text", "why"), PLANTED.items())
def test_a_planted_bad_import_is_found(tmp_path: Path, text: str, why: str) -> None:
    folder = tmp_path / "curation" / "deep"
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith("curation/deep/bad.py:")
    assert why in found[0]


def test_good_imports_and_strings_pass(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "train").mkdir()
    (tmp_path / "core" / "registry.py").write_text("X = {'a': 'whyguard.train.sft:SFT'}\n")
    (tmp_path / "train" / "a.py").write_text("import os\nfrom whyguard.core.errors import fail\n")
    assert violations(tmp_path) == []


def test_only_two_files_of_core_name_other_parts_in_strings() -> None:
    naming, others = set(), tuple(f"whyguard.{layer}." for layer in LAYERS[1:])
    for path in sorted((ROOT / "core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.startswith(others):
                naming.add(path.name)
    assert naming <= {"registry.py", "cli.py"}

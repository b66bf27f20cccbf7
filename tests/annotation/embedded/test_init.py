"""The embedded modules run where nothing else of ours is installed."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import whyguard.annotation.embedded as package

_FOLDER = Path(package.__file__ or "").parent
_SERVERS_OWN = {"alembic", "argilla_server", "fastapi", "numpy", "rq", "sqlalchemy", "starlette",
                "uvicorn"}  # fmt: skip


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield str(node.module)


def test_embedded_modules_import_each_other_the_library_and_the_servers_packages() -> None:
    ours = f"{package.__name__}."
    paths = sorted(_FOLDER.glob("*.py"))
    assert len(paths) > 10
    for path in paths:
        for name in _imported(path):
            if (name + ".").startswith(ours):
                continue
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names | _SERVERS_OWN, f"{path.name} imports {name}"


def test_what_is_imported_on_the_way_is_a_docstring_only() -> None:
    for path in (_FOLDER.parent / "__init__.py", _FOLDER / "__init__.py"):
        body = ast.parse(path.read_text("utf-8")).body
        assert [type(node) for node in body] == [ast.Expr], path

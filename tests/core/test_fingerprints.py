"""A step whose source changes gets a new version."""

import json
from pathlib import Path

import pytest
from tools.fingerprints import (
    GOLDEN,
    complaints,
    current,
    fingerprint,
    record,
    stripped,
)

OLD = {"a.b": {"version": "1", "source": "x"}, "a.c": {"version": "1", "source": "y"}}


def test_recorded_steps_are_what_they_are_now() -> None:
    assert complaints(json.loads(GOLDEN.read_text("utf-8")), current()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a.b": {"version": "1", "source": "z"}}, "step a.b changed, its version did not: raise"),
        ({"a.b": {"version": "2", "source": "z"}}, "step a.b has a new version: run"),
        ({"a.d": {"version": "1", "source": "z"}}, "step a.d is new: run"),
    ],
)
def test_complaints(change: dict[str, dict[str, str]], message: str) -> None:
    found = complaints(OLD, OLD | change)
    assert len(found) == 1
    assert found[0].startswith(message)
    assert complaints(OLD, OLD) == []
    assert complaints(OLD, {"a.b": OLD["a.b"]}) == [
        "step a.c is gone: run `python tools/fingerprints.py`"
    ]


def test_a_changed_source_is_not_recorded_under_its_old_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = tmp_path / "steps.json"
    assert record(golden, OLD, same_results=False) == 0
    new = OLD | {"a.b": {"version": "1", "source": "z"}}
    assert record(golden, new, same_results=False) == 2
    assert json.loads(golden.read_text()) == OLD
    assert "refused: a.b changed" in capsys.readouterr().err
    assert record(golden, new, same_results=True) == 0
    raised = OLD | {"a.b": {"version": "2", "source": "q"}}
    assert record(golden, raised, same_results=False) == 0
    assert json.loads(golden.read_text()) == raised


def part(root: Path, folder: str = "made", **sources: str) -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in sources.items():
        (root / folder / f"{name}.py").write_text(text)
    return root


def test_what_a_fingerprint_sees(tmp_path: Path) -> None:
    source = '"""Doc."""\nfrom whyguard.made.b import g\n\n\ndef f():\n    return g()\n'
    root = part(tmp_path, a=source, c="def h():\n    return 1\n", d="X = 1\n",
                b="def g():\n    from whyguard.made import c\n    return c.h()\n")  # fmt: skip
    before = fingerprint("whyguard.made.a", root)
    part(root, a=source.replace("Doc", "Other").replace("f():", "f():  # note\n    'doc'"))
    part(root, d="X = 2\n")
    assert fingerprint("whyguard.made.a", root) == before, "docstrings, comments, layout, others"
    part(root, c="def h():\n    return 2\n")
    assert fingerprint("whyguard.made.a", root) != before, "two imports away"


def test_other_parts_are_followed_core_is_not(tmp_path: Path) -> None:
    source = "from whyguard.core import x\nfrom whyguard.other.b import y\n"
    root = part(tmp_path, a=source)
    part(root, "other", b="y = 1\n")
    part(root, "core", x="x = 1\n")
    before = fingerprint("whyguard.made.a", root)
    part(root, "core", x="x = 2\n")
    assert fingerprint("whyguard.made.a", root) == before
    part(root, "other", b="y = 2\n")
    assert fingerprint("whyguard.made.a", root) != before


@pytest.mark.parametrize(
    ("module", "file", "counts"),
    [
        ("curation.taxonomy", "curation/data/taxonomy.yaml", True),
        ("curation.langid_builtin", "curation/data/langid/measured.json", True),
        ("generation.teachers.templates", "generation/data/templates/t.txt", True),
        ("generation.packs.load", "generation/data/packs/ast_Latn/pack.yaml", True),
        ("generation.packs.load", "generation/data/templates/t.txt", False),
        ("curation.taxonomy", "curation/data/starter/groups.jsonl", False),
    ],
)
def test_data_counts_where_the_module_that_reads_it_is_reached(
    tmp_path: Path, module: str, file: str, counts: bool
) -> None:
    root = part(tmp_path, a=f"import whyguard.{module}\n", c="")
    source = root.joinpath(*module.split(".")).with_suffix(".py")
    source.parent.mkdir(parents=True)
    source.write_text("")
    reached, other = (fingerprint(f"whyguard.made.{name}", root) for name in "ac")
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("placeholder")
    assert (fingerprint("whyguard.made.a", root) != reached) is counts
    assert fingerprint("whyguard.made.c", root) == other


def test_stripped_keeps_strings_that_count() -> None:
    assert stripped("X = 'a'") != stripped("X = 'b'")
    assert stripped("def f():\n    'a'") == stripped("def f():\n    'b'")

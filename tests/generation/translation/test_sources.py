"""translation/sources.py: rows to translate, and what is refused before anything is asked."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import prompt
from tests.support import needs

from whyguard.core.errors import ConfigError
from whyguard.core.steps import Room
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig, open_backends
from whyguard.generation.translation.sources import check_source, check_ways, wanted


def names(rows: list[dict[str, object]]) -> list[object]:
    return [row["prompt_id"] for row in rows]


def test_rows_that_are_there_and_second_rows() -> None:
    rows = [prompt(0), prompt(1), prompt(1, language="ast_Latn"), prompt(2),
            prompt(2, prompt_id="twin"), prompt(1, prompt_id="also")]  # fmt: skip
    found = wanted(rows, "eng_Latn", "ast_Latn", "family_id")
    assert names(found.rows) == ["made:000-h:eng_Latn", "made:002-h:eng_Latn"]
    (dropped,) = found.drops
    assert (dropped["row_id"], dropped["rule"]) == ("twin>ast_Latn", "second_source_row")
    assert dropped["reason"] == ("family_id made:002-h has two rows in eng_Latn: "
                                 "made:002-h:eng_Latn is translated, twin is not")  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["eng_Latn", "ast_Latn"]))))
def test_each_family_is_translated_once(kinds: list[tuple[int, str]]) -> None:
    rows = [prompt(n, language=code, prompt_id=f"row-{i}") for i, (n, code) in enumerate(kinds)]
    found = wanted(rows, "eng_Latn", "ast_Latn", "family_id")
    families = [row["family_id"] for row in found.rows]
    assert len(set(families)) == len(families)
    there = {row["family_id"] for row in rows if row["language"] == "ast_Latn"}
    sources = [row for row in rows if row["language"] == "eng_Latn"]
    assert set(families) == {row["family_id"] for row in sources} - there
    assert len(found.drops) == sum(row["family_id"] not in there for row in sources) - len(families)


def test_a_source_that_no_row_has() -> None:
    rows = [prompt(0), prompt(1), prompt(2, language="ast_Latn")]
    with pytest.raises(ConfigError, match=r"rows in spa_Latn\n.*ast_Latn \(1\), eng_Latn \(2\)\n"):
        check_source(rows, "spa_Latn")
    check_source([], "spa_Latn")
    check_source(rows, "eng_Latn")


def test_ways(tmp_path: Path, room: Room) -> None:
    needs("apertium")
    path = tmp_path / "m.jsonl"
    unit = {"source_language": "eng_Latn", "language": "ast_Latn", "source": "a", "text": "b"}
    path.write_text(json.dumps(unit), "utf-8")
    entries = [BackendConfig(kind="memory", file=str(path)), BackendConfig(kind="apertium")]
    backends = open_backends(entries, room, TeacherRuntime())
    check_ways(entries, backends, "eng_Latn", {"spa_Latn": ["x"], "ast_Latn": ["a"]})
    with pytest.raises(ConfigError, match=r"backends\.1 [\s\S]*eng_Latn -> ast_Latn"):
        check_ways(entries, backends, "eng_Latn", {"spa_Latn": ["x"], "ast_Latn": ["a", "x"]})
    entries[1] = BackendConfig(kind="apertium", pivot="spa_Latn")
    check_ways(entries, backends, "eng_Latn", {"ast_Latn": ["a", "x"]})
    entries[1] = BackendConfig(kind="apertium", languages=("spa_Latn",))
    check_ways(entries, backends, "eng_Latn", {"ast_Latn": ["a", "x"]})

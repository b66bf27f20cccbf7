"""The authored and the template teacher, on the real starter pack and on broken files."""

import json
from pathlib import Path
from typing import Any

import pytest

from whyguard.core.errors import DataError, MissingFileError
from whyguard.core.values import Label
from whyguard.generation.grammar import parse_guard
from whyguard.generation.teachers.authored import AuthoredTeacher, TemplateTeacher
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig

GROUPS = Path(__file__).parents[3] / "curation" / "data" / "starter" / "groups.jsonl"
LANGUAGES = ("eng_Latn", "spa_Latn", "ast_Latn", "arg_Latn", "glg_Latn", "oci_Latn", "cat_Latn")


def authored(path: Path = GROUPS, source: str = "starter") -> AuthoredTeacher:
    return AuthoredTeacher(TeacherConfig(kind="authored", file=str(path), source=source))


def wanted(family: str, kind: str = "trace", language: str = "eng_Latn",
           codes: tuple[str, ...] = ("S1",), label: str = "harmful") -> Task:  # fmt: skip
    name = "explanation" if kind == "explanation" else "trace"
    return Task(name, f"{family}:{language}", family, label, codes, language, 0, ())  # type: ignore[arg-type]


def only(teacher: AuthoredTeacher | TemplateTeacher, task: Task) -> Answer:
    ((done, answer),) = teacher.answer([task])
    assert done == task
    return answer


def groups() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GROUPS.read_text("utf-8").split("\n") if line]


def test_every_family_has_a_trace_of_its_verdict() -> None:
    teacher = authored()
    for group in groups():
        for mark, label in (("h", Label.HARMFUL), ("b", Label.UNHARMFUL)):
            done = parse_guard(only(teacher, wanted(f"starter:{group['group']}-{mark}")).text or "")
            assert done.verdict == label
            assert bool(done.violations) == (label == Label.HARMFUL)
            assert done.explanation is None


def test_every_harmful_family_has_rationales_in_english_and_spanish() -> None:
    teacher = authored()
    for group in groups():
        for short, language in (("en", "eng_Latn"), ("es", "spa_Latn")):
            task = wanted(f"starter:{group['group']}-h", "explanation", language)
            assert only(teacher, task).text == group["harmful"][f"rationale_{short}"]


def test_what_is_not_there_has_a_reason() -> None:
    teacher = authored()
    assert only(teacher, wanted("starter:none-h")).reason == "no authored text for this family"
    local = only(teacher, wanted("starter:s1-01-h", "explanation", "ast_Latn"))
    assert local == Answer(None, "no authored rationale_ast")
    unknown = only(teacher, wanted("starter:s1-01-h", "explanation", "qqq_Latn"))
    assert unknown == Answer(None, "no authored rationale_qqq_Latn")
    benign = only(teacher, wanted("starter:s1-01-b", "explanation"))
    assert benign.text is None


def test_the_source_is_part_of_the_family() -> None:
    assert only(authored(source="mine"), wanted("mine:s1-01-h")).text
    assert only(authored(source="mine"), wanted("starter:s1-01-h")).text is None
    assert authored(source="mine").generator == "authored:mine"


def written(folder: Path, *rows: object, tail: str = "") -> Path:
    path = folder / "groups.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, "utf-8")
    return path


@pytest.mark.parametrize(("side", "match"), [
    ({"trace_en": "fine</think><judge>unharmful</judge>", "violations": ["S1"]}, "grammar's tags"),
    ({"trace_en": "  ", "violations": ["S1"]}, "no authored trace_en"),
    ({"trace_en": 3, "violations": ["S1"]}, "no authored trace_en"),
    ({"violations": ["S1"]}, "no authored trace_en"),
    ({"trace_en": "a", "violations": ["S99"]}, "distinct codes"),
    ({"trace_en": "a", "violations": ["S1", "S1"]}, "distinct codes"),
    ("a text", "no authored text for this family"),
    (None, "no authored text for this family"),
])  # fmt: skip
def test_a_bad_side_is_a_reason_and_its_twin_stands(
    tmp_path: Path, side: object, match: str
) -> None:
    good = {"trace_en": "a"}
    path = written(tmp_path, {"group": "g-1", "harmful": side, "benign": good})
    teacher = authored(path)
    answer = only(teacher, wanted("starter:g-1-h"))
    assert answer.text is None and match in answer.reason
    assert only(teacher, wanted("starter:g-1-b")).text


def test_a_broken_line_among_good_ones_is_named_where_it_is_missed(tmp_path: Path) -> None:
    sides = {"harmful": {"trace_en": "a", "violations": ["S1"]}, "benign": {"trace_en": "b"}}
    rows = [{"group": f"g-{n}", **sides} for n in range(3)]
    teacher = authored(written(tmp_path, *rows, tail='{"group": "g-3", \n'))
    assert only(teacher, wanted("starter:g-2-h")).text
    assert "line 4: broken_json" in only(teacher, wanted("starter:g-3-h")).reason


@pytest.mark.parametrize(("content", "match"), [
    (b"", "an empty file"), (b"{\n", "one JSON object"), (b"\xff\xfe", "UTF-8"),
    (b'{"group": "g"}\n', "a column 'harmful'"),
])  # fmt: skip
def test_bad_files(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=match):
        authored(path)
    with pytest.raises(MissingFileError, match="no such file"):
        authored(tmp_path / "none.jsonl")


def test_category_wording_in_every_starter_language() -> None:
    teacher = TemplateTeacher()
    for language in LANGUAGES:
        texts = {only(teacher, wanted("x", "explanation", language, (f"S{n}",))).text
                 for n in range(1, 15) if n != 4}  # fmt: skip
        assert None not in texts
        assert len(texts) == 13


def test_category_wording_is_the_same_for_every_prompt_of_a_category() -> None:
    teacher = TemplateTeacher()
    one = only(teacher, wanted("starter:s1-01-h", "explanation", "spa_Latn"))
    other = only(teacher, wanted("starter:s1-02-h", "explanation", "spa_Latn"))
    assert one == other


def test_category_wording_is_no_trace() -> None:
    answer = only(TemplateTeacher(), wanted("x", codes=("S2", "S9")))
    assert answer == Answer(None, "category wording is no reasoning: it knows the label")


@pytest.mark.parametrize(("codes", "language", "match"), [
    ((), "eng_Latn", "no category"), (("S4",), "eng_Latn", "no category wording"),
    (("S1",), "npi_Deva", "no category wording in npi_Deva"),
])  # fmt: skip
def test_no_wording_has_a_reason(codes: tuple[str, ...], language: str, match: str) -> None:
    answer = only(TemplateTeacher(), wanted("x", "explanation", language, codes))
    assert answer.text is None and match in answer.reason

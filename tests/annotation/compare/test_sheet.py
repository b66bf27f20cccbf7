"""compare/sheet.py: two texts without names, also in a file."""

import zipfile
from pathlib import Path

from tests.annotation.compare.making import ARMS, SALT, examples, score, scores, table

from whyguard.annotation.compare.pairs import make_pairs
from whyguard.annotation.compare.sheet import GUIDELINES, compare_sheets
from whyguard.annotation.questions import stored
from whyguard.annotation.views.files.view import FilesView
from whyguard.core.progress import Progress


def test_fields_and_questions() -> None:
    made = make_pairs(*table(5), ARMS, seed=1, salt=SALT).rows
    (sheet,) = compare_sheets("pilot", made, wanted=2)
    assert (sheet.name, sheet.space, sheet.wanted) == ("pilot-ast_Latn-compare", "ast_Latn", 2)
    assert sheet.guidelines == GUIDELINES
    assert [field.name for field in sheet.fields] == ["prompt", "rationale_a", "rationale_b"]
    by_id = {row["item_id"]: row for row in made.to_dicts()}
    assert [item.item_id for item in sheet.items] == sorted(by_id)
    for item in sheet.items:
        row = by_id[item.item_id]
        assert item.fields == {"prompt": row["prompt"], "rationale_a": row["left"],
                               "rationale_b": row["right"]}  # fmt: skip
        assert not item.metadata and not item.suggestions
    preference, why = sheet.questions
    assert stored(preference, "both_good", "x") == "both_good" and preference.required
    assert stored(why, " because ", "x") == "because" and not why.required


def test_one_sheet_a_language_with_its_own_guidelines_and_direction() -> None:
    rows = [score(arm, f"e0{n}", f"{arm[-3:]} {n}", language=language)
            for arm in ARMS for n, language in enumerate(("ast_Latn", "urd_Arab"))]  # fmt: skip
    made = make_pairs(scores(rows), examples(["e00", "e01"]), ARMS, seed=1, salt=SALT).rows
    one, other = compare_sheets("pilot", made, guidelines={"urd_Arab": "own"})
    assert (one.language, other.language, other.guidelines) == ("ast_Latn", "urd_Arab", "own")
    assert one.guideline_version != other.guideline_version
    assert [field.right_to_left for field in (*one.fields, *other.fields)] == [False] * 3 + [
        True
    ] * 3


def test_no_arm_in_a_written_file(tmp_path: Path) -> None:
    made = make_pairs(*table(4), ARMS, seed=1, salt=SALT).rows
    view = FilesView(tmp_path, lambda name, space: name)
    view.push(compare_sheets("pilot", made), Progress.silent())
    (path,) = view.outbox.iterdir()
    with zipfile.ZipFile(path) as archive:
        text = "".join(archive.read(name).decode() for name in archive.namelist())
    assert "one on e00, 0" in text
    assert not [arm for arm in (*ARMS, "sft-") if arm in text]

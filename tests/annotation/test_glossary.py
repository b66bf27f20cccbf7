"""glossary.py: proposals from answers, and terms in a user's pack."""

import datetime
from pathlib import Path

import polars as pl
import pytest

from whyguard.annotation.glossary import Accepted, Proposal, accept, find_proposals, proposal_of
from whyguard.annotation.questions import Q
from whyguard.annotation.views.base import Given
from whyguard.core.errors import ConfigError, DataError, MissingFileError
from whyguard.core.schemas import ReviewItem
from whyguard.core.tables import frame
from whyguard.generation.packs.check import check_pack
from whyguard.generation.packs.load import Term, load_pack, shipped_packs

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.date(2026, 1, 31)


def items(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    return frame(ReviewItem, [
        {"item_id": name, "example_id": name, "family_id": name, "group_id": name,
         "split": "train", "language": language, "kind": "rationale", "purpose": "work",
         "wanted": 1, "text": "t", "label": "harmful", "categories": [], "suggest": True,
         "reason": "", "round": 1, "source_language": source}
        for name, language, source in rows
    ])  # fmt: skip


def said(item: str, who: str, term: str | None, better: str | None) -> list[Given]:
    texts = {Q.GLOSSARY_TERM: term, Q.GLOSSARY_BETTER: better}
    return [Given(item, name, who, text, AT) for name, text in texts.items() if text is not None]


def proposal(term: str = "harassment", better: str = "acosu", language: str = "ast_Latn",
             source: str = "eng_Latn") -> Proposal:  # fmt: skip
    return Proposal(language, source, term, better, 2, ("p-01", "p-02"), ("i1", "i2"))


def give(packs: Path, one: Proposal, *, replace: bool = False) -> Accepted:
    return accept(packs, one, by="Ana", when=DAY, replace=replace)


def terms(packs: Path) -> dict[tuple[str, str], Term]:
    pack = load_pack("ast_Latn", packs)
    assert pack is not None and check_pack("ast_Latn", packs).errors == 0
    return {(term.language, term.source): term for term in pack.glossary}


def own(packs: Path, text: str) -> Path:
    (packs / "ast_Latn").mkdir(parents=True)
    path = packs / "ast_Latn" / "glossary.yaml"
    path.write_bytes(text.encode())
    return path


def test_proposals_are_grouped_and_conflicts_are_shown() -> None:
    table = items(("i1", "ast_Latn", None), ("i2", "ast_Latn", "eng_Latn"),
                  ("i3", "ast_Latn", "spa_Latn"), ("i4", "ben_Beng", None),
                  ("i5", "eng_Latn", "eng_Latn"))  # fmt: skip
    answers = [*said("i1", "p-01", "Threat", "amenaza"), *said("i2", "p-02", " threat ", "amenaza"),
               *said("i2", "p-03", "threat", "amenaces"), *said("i3", "p-01", "threat", "otru"),
               *said("i4", "p-04", "threat", "হুমকি"), *said("i5", "p-01", "a", "b"),
               *said("i1", "p-02", "lonely", None), *said("i9", "p-01", "a", "b"),
               Given("i1", Q.NOTE, "p-01", "x", AT)]  # fmt: skip
    found = find_proposals(answers, table)
    rows = [proposal_of(row) for row in found.rows.to_dicts()]
    assert rows[0] == Proposal("ast_Latn", "eng_Latn", "threat", "amenaza", 2, ("p-01", "p-02"),
                               ("i1", "i2"), ("amenaces",))  # fmt: skip
    assert [(row.language, row.source_language, row.better, row.rivals) for row in rows[1:]] == [
        ("ast_Latn", "eng_Latn", "amenaces", ("amenaza",)), ("ast_Latn", "spa_Latn", "otru", ()),
        ("ben_Beng", "eng_Latn", "হুমকি", ())]  # fmt: skip
    assert dict(found.drops.select("row_id", "rule").rows()) == {
        "i1 p-02": "half", "i9 p-01": "no_item", "i5 p-01": "not_translated"}  # fmt: skip


def test_a_new_term_goes_to_the_end_of_a_copy_of_the_shipped_glossary(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    done = give(packs, proposal())
    shipped = (shipped_packs() / "ast_Latn" / "glossary.yaml").read_text("utf-8")
    text = (packs / "ast_Latn" / "glossary.yaml").read_text("utf-8")
    assert text == shipped + (
        '  - {source: "harassment", target: "acosu", reviewed: true, '
        'note: "proposed by p-01, p-02, accepted by Ana, 2026-01-31"}\n'
    )
    assert (done.before, done.changed) == (None, True)
    assert terms(packs)["eng_Latn", "harassment"] == done.term
    assert [path.name for path in (packs / "ast_Latn").iterdir()] == ["glossary.yaml"]


def test_a_term_of_another_source_language(tmp_path: Path) -> None:
    give(tmp_path, proposal("acoso", source="spa_Latn"))
    assert terms(tmp_path)["spa_Latn", "acoso"].target == "acosu"


def test_another_word_is_replaced_only_if_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'amenaza'"):
        give(tmp_path, proposal("Threat", "menaza"))
    assert not (tmp_path / "ast_Latn").exists()
    done = give(tmp_path, proposal("Threat", "menaza"), replace=True)
    term = terms(tmp_path)["eng_Latn", "threat"]
    assert (done.before, term.target, term.reviewed) == ("amenaza", "menaza", True)
    assert term.note.endswith("2026-01-31; before: amenaza")
    shipped = (shipped_packs() / "ast_Latn" / "glossary.yaml").read_text("utf-8").split("\n")
    text = (tmp_path / "ast_Latn" / "glossary.yaml").read_text("utf-8").split("\n")
    assert [line for line, was in zip(text, shipped, strict=True) if line != was] == [
        f'  - {{source: "threat", target: "menaza", reviewed: true, note: "{term.note}"}}'
    ]


def test_the_same_word_is_confirmed_once(tmp_path: Path) -> None:
    done = give(tmp_path, proposal("threat", "amenaza"))
    assert done.changed and terms(tmp_path)["eng_Latn", "threat"].reviewed
    before = (tmp_path / "ast_Latn" / "glossary.yaml").stat().st_mtime_ns
    assert not give(tmp_path, proposal("threat", "amenaza")).changed
    assert (tmp_path / "ast_Latn" / "glossary.yaml").stat().st_mtime_ns == before


def test_comments_line_ends_and_locks_of_a_users_file_stay(tmp_path: Path) -> None:
    path = own(tmp_path, "# mine\r\nterms:\r\n- source: threat  # one\r\n  target: amenaza # two"
                         "\r\n  lock: true\r\n  # three\r\n\r\n- {source: fraud, target: fraude}"
                         "\r\n# last\r\n")  # fmt: skip
    give(tmp_path, proposal("threat", "menaza"), replace=True)
    give(tmp_path, proposal())
    text = path.read_bytes().decode()
    assert text.startswith('# mine\r\nterms:\r\n- source: threat  # one\r\n  target: "menaza" # two'
                           "\r\n  lock: true\r\n  reviewed: true\r\n  note: ")  # fmt: skip
    assert "  # three\r\n\r\n- {source: fraud, target: fraude}\r\n- {source" in text
    assert text.endswith("# last\r\n") and text.count("\n") == text.count("\r\n")
    assert terms(tmp_path)["eng_Latn", "threat"].lock


@pytest.mark.parametrize("text", [
    "", "# nothing yet\n", "terms: []\n# a form\n",
    "terms: [{source: fraud, target: fraude}]\n", "terms: [\n  {source: a, target: b},\n]\n",
    "terms:\n- source: fraud\n  target: >-\n    fraude\n\n# end\n", "terms: []",
    "terms:\n    - {source: fraud, target: fraude}",
])  # fmt: skip
def test_every_form_of_file_takes_a_term(tmp_path: Path, text: str) -> None:
    path = own(tmp_path, text)
    give(tmp_path, proposal())
    assert terms(tmp_path)["eng_Latn", "harassment"].target == "acosu"
    written = path.read_text("utf-8")
    assert all(line in written for line in text.split("\n") if line.startswith("#"))


def test_hostile_words_are_quoted(tmp_path: Path) -> None:
    word = 'a"b: #c {d} \\n ’'
    give(tmp_path, proposal("x: [y]", word))
    assert terms(tmp_path)["eng_Latn", "x: [y]"].target == word


def test_what_would_not_pass_the_check_is_not_written(tmp_path: Path) -> None:
    path = own(tmp_path, "terms: []\n")
    with pytest.raises(DataError, match="has no letter of Latn"):
        give(tmp_path, proposal(better="угроза"))
    assert path.read_text() == "terms: []\n"


def test_what_cannot_be_edited_in_place_is_said(tmp_path: Path) -> None:
    path = own(tmp_path, "terms:\n- {source: &x threat, target: amenaza}\n"
                         "- {source: fraud, target: *x}\n")  # fmt: skip
    before = path.read_text()
    with pytest.raises(DataError, match="cannot be edited in place"):
        give(tmp_path, proposal("fraud", "fraude"), replace=True)
    assert path.read_text() == before


def test_a_language_without_a_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="whyguard locale new kor_Kore"):
        give(tmp_path, proposal(language="kor_Kore"))

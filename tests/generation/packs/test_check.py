"""packs/check.py: each planted fault is found, shipped packs have none."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from whyguard.core.errors import MissingFileError, UnknownLanguageError
from whyguard.generation.packs.check import (
    CORE_TERMS,
    LID176,
    Checked,
    Level,
    check_pack,
    direction_of,
)
from whyguard.generation.packs.load import known_packs, load_pack

HEAD: dict[str, Any] = {
    "code": "hin_Deva", "autonym": "हिन्दी", "script": "Deva", "direction": "ltr", "reviewed": False,
    "drafted_by": "a test", "langid": {"lid176": "hi", "bcp47": "hi", "flores": "hin_Deva"},
    "related": ["urd_Arab"],
}  # fmt: skip


def checked(folder: Path, name: str = "pack.yaml", **fields: Any) -> Checked:
    """Check a Hindi pack in which `fields` of one file are as given."""
    code = fields.pop("under", "hin_Deva")
    files: dict[str, dict[str, Any]] = {
        "pack.yaml": dict(HEAD), "wording.yaml": {}, "glossary.yaml": {}, "culture.yaml": {}
    }  # fmt: skip
    files[name] |= fields
    (folder / code).mkdir()
    for file, values in files.items():
        text = yaml.safe_dump(values, allow_unicode=True)
        (folder / code / file).write_text(text, "utf-8")
    return check_pack(code, folder)


def term(source: str, target: str, **more: Any) -> dict[str, Any]:
    return {"source": source, "target": target, **more}


@pytest.mark.parametrize("code", known_packs())
def test_shipped_packs_have_no_errors_and_are_unreviewed(code: str) -> None:
    found = check_pack(code)
    assert found.errors == 0, found.findings
    assert all(section.reviewed == 0 for section in found.sections)
    assert any("not read as a whole" in finding.text for finding in found.findings)


@pytest.mark.parametrize(("name", "fields", "where"), [
    ("pack.yaml", {"autonym": "हिंदी"}, "pack.yaml: autonym"),
    ("pack.yaml", {"autonym": "TODO"}, "pack.yaml: autonym"),
    ("pack.yaml", {"drafted_by": "TODO: me"}, "pack.yaml: drafted_by"),
    ("pack.yaml", {"script": "Latn"}, "pack.yaml: script"),
    ("pack.yaml", {"direction": "rtl"}, "pack.yaml: direction"),
    ("pack.yaml", {"langid": {"lid176": "hin"}}, "pack.yaml: langid.lid176"),
    ("pack.yaml", {"langid": {"bcp47": "hin"}}, "pack.yaml: langid.bcp47"),
    ("pack.yaml", {"langid": {"ours": "urd_Arab"}}, "pack.yaml: langid.ours"),
    ("pack.yaml", {"langid": {"flores": "hi"}}, "pack.yaml: langid.flores"),
    ("pack.yaml", {"related": ["zzz_Latn"]}, "pack.yaml: related"),
    ("pack.yaml", {"related": ["hin_Deva"]}, "pack.yaml: related"),
    ("pack.yaml", {"related": ["urd_Arab", "urd_Arab"]}, "pack.yaml: related"),
    ("pack.yaml", {"romanised": [{"code": "urd_Latn", "name": "x", "common": True}]},
     "pack.yaml: romanised"),
    ("wording.yaml", {"sentence": "यह"}, "wording.yaml: sentence"),
    ("wording.yaml", {"sentence": "यह {category} {reason}"}, "wording.yaml: sentence"),
    ("wording.yaml", {"refusals": ["नहीं। {reason}"]}, "wording.yaml: refusals.0"),
    ("wording.yaml", {"refusals_with_reason": ["नहीं।"]}, "wording.yaml: refusals_with_reason.0"),
    ("wording.yaml", {"refusals": ["No."]}, "wording.yaml: refusals.0"),
    ("wording.yaml", {"categories": {"S1": "अपराध", "S2": "अपराध"}}, "wording.yaml: categories"),
    ("wording.yaml", {"categories": {"S1": "फ\u093cर\u200b"}}, "wording.yaml: categories.S1"),
    ("wording.yaml", {"categories": {"S1": "\u095e"}}, "wording.yaml: categories.S1"),
    ("glossary.yaml", {"terms": [term("fraud", "fraud")]}, "glossary.yaml: 'fraud'"),
    ("glossary.yaml", {"terms": [term("Theft", "क"), term("theft", "ख")]},
     "glossary.yaml: 'theft'"),
    ("culture.yaml", {"substitutions": [
        {"kind": "name", "source": "John", "targets": ["राम", "Ram"]}]}, "culture.yaml: 'John'"),
    ("culture.yaml", {"substitutions": [
        {"kind": "help_line", "source": "911", "targets": ["पुलिस"]}]}, "culture.yaml: '911'"),
    ("culture.yaml", {"substitutions": [
        {"kind": "help_line", "source": "911", "targets": ["112 पर"]}]}, "culture.yaml: '911'"),
    ("culture.yaml", {"substitutions": [
        {"kind": "name", "source": "Jon", "targets": ["राम"], "language": "zzz_Latn"}]},
     "culture.yaml: 'Jon'"),
    ("glossary.yaml", {"terms": [term("fraud", "धोखा", language="zzz_Latn")]},
     "glossary.yaml: 'fraud'"),
])  # fmt: skip
def test_planted_faults(tmp_path: Path, name: str, fields: dict[str, Any], where: str) -> None:
    found = checked(tmp_path, name, **fields)
    assert where in {f.where for f in found.findings if f.level is Level.ERROR}, found.findings


def test_a_pack_without_faults(tmp_path: Path) -> None:
    assert checked(tmp_path).errors == 0


def test_one_word_for_two_sources_or_languages_is_no_twin(tmp_path: Path) -> None:
    terms = [
        term("fraud", "धोखा"),
        term("scam", "धोखा"),
        term("fraud", "धोखा", language="ind_Latn"),
    ]
    assert checked(tmp_path, "glossary.yaml", terms=terms).errors == 0


def test_a_locked_term_may_be_foreign(tmp_path: Path) -> None:
    found = checked(tmp_path, "glossary.yaml", terms=[term("VPN", "VPN", lock=True)])
    assert found.errors == 0
    assert not any("VPN" in finding.where for finding in found.findings)


def test_mixed_scripts_are_a_warning(tmp_path: Path) -> None:
    found = checked(tmp_path, "glossary.yaml", terms=[term("AI model", "AI मॉडल")])
    (mixed,) = [f for f in found.findings if f.where == "glossary.yaml: 'AI model'"]
    assert mixed.level is Level.WARNING


def test_what_is_missing(tmp_path: Path) -> None:
    fields = {"terms": [term("fraud", "धोखा", reviewed=True)]}
    sections = {s.name: s for s in checked(tmp_path, "glossary.yaml", **fields).sections}
    assert set(sections["glossary"].missing) == set(CORE_TERMS) - {"fraud"}
    assert sections["glossary"].reviewed == 1 and sections["glossary"].state == "incomplete"
    assert sections["culture"].state == sections["refusals"].state == "missing"
    assert len(sections["category names"].missing) == 13
    assert sections["pack"].state == "unreviewed"


def test_the_review_of_a_pack_covers_its_entries(tmp_path: Path) -> None:
    found = checked(tmp_path, reviewed={"by": "Ana", "when": "2026-01-31"})
    assert not any("not read" in finding.text for finding in found.findings)
    assert {s.name: s.state for s in found.sections}["pack"] == "complete"


def test_a_language_beyond_the_table(tmp_path: Path) -> None:
    found = checked(tmp_path, code="qqq_Deva", under="qqq_Deva", related=[])
    assert found.errors == 0
    assert any("declare it in each recipe" in finding.text for finding in found.findings)


def test_a_script_that_cannot_be_told(tmp_path: Path) -> None:
    found = checked(tmp_path, code="qqq_Zzzz", under="qqq_Zzzz", script="Zzzz")
    assert any("was not checked" in finding.text for finding in found.findings)


def test_no_pack() -> None:
    with pytest.raises(MissingFileError, match="whyguard locale new por_Latn"):
        check_pack("por_Latn")
    with pytest.raises(MissingFileError, match="whyguard locale new zzz_Latn"):
        check_pack("zzz_Latn")
    with pytest.raises(UnknownLanguageError, match="did you mean 'ast_Latn'"):
        check_pack("asturian")


def test_constants() -> None:
    assert len(LID176) == 176
    assert (direction_of("urd_Arab"), direction_of("urd_Latn")) == ("rtl", "ltr")


def test_help_lines_that_nobody_reviewed_are_a_warning(tmp_path: Path) -> None:
    line = {"kind": "help_line", "source": "911", "targets": ["112"]}
    found = checked(tmp_path, "culture.yaml", substitutions=[line])
    assert found.errors == 0
    assert "1 not reviewed: they are not used" in [finding.text for finding in found.findings]
    (tmp_path / "again").mkdir()
    read = checked(tmp_path / "again", "culture.yaml", substitutions=[line | {"reviewed": True}])
    assert not any(f.where == "culture.yaml: help_line" for f in read.findings)


def test_no_inflected_word_of_the_package_is_locked() -> None:
    """Engines see no word in the place of a lock: articles and adjectives could not agree."""
    packs = [pack for code in known_packs() if (pack := load_pack(code))]
    locked = {term.source for pack in packs for term in pack.glossary if term.lock}
    assert locked == {"phishing", "malware"}
    urdu = load_pack("urd_Arab")
    assert urdu is not None
    (term,) = [term for term in urdu.glossary if term.source == "phishing"]
    assert not term.lock and "فشنگ" not in term.target

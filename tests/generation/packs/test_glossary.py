"""packs/glossary.py: locks and their violations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.packs.glossary import locked_spans, violations
from whyguard.generation.packs.load import Pack, Term, known_packs, load_pack
from whyguard.generation.packs.spans import replaced


def made(*terms: Term) -> Pack:
    return Pack(code="ast_Latn", autonym="asturianu", script="Latn", direction="ltr",
                reviewed=False, drafted_by="a test", glossary=terms)  # fmt: skip


PACK = made(
    Term(source="data", target="datos", lock=True),
    Term(source="personal data", target="datos personales", lock=True),
    Term(source="privacy", target="privacidá", lock=True),
    Term(source="fraud", target="fraude"),
    Term(source="privacidad", target="privacidá", lock=True, language="spa_Latn"),
)


def test_locks_stand_in_the_given_form() -> None:
    text = "Privacy of personal data and fraud."
    spans = locked_spans(text, "eng_Latn", PACK)
    assert replaced(text, spans) == "Privacidá of datos personales and fraud."
    assert {span.edit for span in spans} == {""}


def test_the_language_of_the_source_counts() -> None:
    assert locked_spans("privacidad", "eng_Latn", PACK) == ()
    assert [span.text for span in locked_spans("privacidad", "spa_Latn", PACK)] == ["privacidá"]


@pytest.mark.parametrize(("source", "translation", "count"), [
    ("Privacy of data", "Privacidá de los datos", 0), ("Privacy, privacy", "Intimidá", 1),
    ("personal data", "datos", 1), ("personal data", "datos personales", 0),
    ("privacy and data", "nada", 2), ("fraud", "nada", 0), ("privacy", "privacidaes", 1),
    ("", "", 0),
])  # fmt: skip
def test_violations(source: str, translation: str, count: int) -> None:
    assert violations(source, translation, "eng_Latn", PACK) == count


@given(st.lists(st.sampled_from(["personal", "data", "Privacy", "x", "fraud"]), max_size=8))
def test_a_text_with_its_locks_in_place_violates_nothing(words: list[str]) -> None:
    text = " ".join(words)
    done = replaced(text, locked_spans(text, "eng_Latn", PACK))
    assert violations(text, done, "eng_Latn", PACK) == 0


@pytest.mark.parametrize("code", known_packs())
def test_shipped_locks_hold(code: str) -> None:
    pack = load_pack(code)
    assert pack is not None
    for term in (term for term in pack.glossary if term.lock):
        text = f"({term.source})"
        done = replaced(text, locked_spans(text, term.language, pack))
        assert done == f"({term.target})"
        assert violations(text, done, term.language, pack) == 0
        assert violations(text, "...", term.language, pack) == 1

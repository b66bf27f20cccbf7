"""The source is compared as it was translated: with the logged substitutions, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.packs.culture import culture_spans
from whyguard.generation.packs.load import Pack, load_pack
from whyguard.generation.signals.edits import with_edits
from whyguard.generation.translation.masking import edits_in, mask, unmask

TEXT = "John met JOHN SMITH at https://John.org with 3  dollars."
NAME = "name: John -> Xuan"


def edited(text: str, *lines: str, before: tuple[str, ...] = ()) -> str | None:
    return with_edits({"text": text, "edits": [*before]}, {"edits": [*before, *lines]})


@pytest.mark.parametrize(("lines", "text"), [
    ((), TEXT),
    ((NAME,), TEXT.replace("John met", "Xuan met")),
    ((NAME, NAME), TEXT.replace("John met", "Xuan met")),
    (("name: JOHN SMITH -> Xuan Souto",), TEXT.replace("JOHN SMITH", "Xuan Souto")),
    (("currency: 3 dollars -> 2 euros",), TEXT.replace("3  dollars", "2 euros")),
])  # fmt: skip
def test_edits_are_applied_where_the_words_stand(lines: tuple[str, ...], text: str) -> None:
    assert edited(TEXT, *lines) == text


@pytest.mark.parametrize("line", [
    "name: Mary -> Uxía", "name: john -> Xuan", "name: org -> gal", "rewritten", "name: John",
    "name: John -> Xuan -> Xan", "",
])  # fmt: skip
def test_edits_that_do_not_fit_are_null(line: str) -> None:
    assert edited(TEXT, NAME, line) is None


def test_edits_of_the_source_are_in_it_already() -> None:
    assert edited("Xuan met Mary.", before=(NAME,)) == "Xuan met Mary."
    assert edited("Xuan met Mary.", "name: Mary -> Uxía", before=(NAME,)) == "Xuan met Uxía."


def test_rows_without_edits() -> None:
    assert with_edits({"text": "John"}, {"text": "Xuan"}) == "John"


@pytest.fixture(scope="module")
def pack() -> Pack:
    found = load_pack("glg_Latn")
    assert found is not None and found.culture
    return found


@given(data=st.data())
def test_what_translation_logs_is_read_back(pack: Pack, data: st.DataObject) -> None:
    """Written by the code that substitutes, for any entries of a real pack."""
    entries = [entry for entry in pack.culture if entry.language == "eng_Latn"]
    words = data.draw(st.lists(st.sampled_from(entries), min_size=1, max_size=4))
    text = "; ".join(f"we saw {entry.source}" for entry in words)
    masked = mask(text, culture_spans(text, "eng_Latn", pack, "key"))
    lines = edits_in(masked.text, masked)
    assert edited(text, *lines) == unmask(masked.text, masked.originals)[0]

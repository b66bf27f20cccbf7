"""packs/culture.py: local counterparts, the same ones within a key."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.packs.culture import culture_spans
from whyguard.generation.packs.load import Pack, known_packs, load_pack
from whyguard.generation.packs.spans import replaced

TEXT = "John from New York gave Peter 20 dollars. JOHN thanked Mary; call 911. Johnson left."


def shipped(code: str) -> Pack:
    pack = load_pack(code)
    assert pack is not None
    return pack


def test_one_text_by_hand() -> None:
    text = "Dollars for John in London?"
    spans = culture_spans(text, "eng_Latn", shipped("ast_Latn"), "k1")
    done = replaced(text, spans)
    names = shipped("ast_Latn").culture[0].targets
    (name,) = [name for name in names if name in done]
    assert done == f"Euros for {name} in Uviéu?"
    assert [span.edit for span in spans] == [
        "currency: Dollars -> Euros", f"name: John -> {name}", "place: London -> Uviéu"
    ]  # fmt: skip


@given(st.text(max_size=12))
def test_one_source_word_has_one_target_within_a_key(key: str) -> None:
    pack = shipped("hin_Deva")
    spans = culture_spans(TEXT, "eng_Latn", pack, key)
    by_source = {TEXT[span.start : span.end].lower(): span.text for span in spans}
    assert all(by_source[TEXT[s.start : s.end].lower()] == s.text for s in spans)
    assert by_source["john"] != by_source["peter"]
    (alone,) = culture_spans("Is this John?", "eng_Latn", pack, key)
    assert alone.text == by_source["john"]


def test_keys_choose_differently() -> None:
    pack = shipped("urd_Arab")
    chosen = {culture_spans("John", "eng_Latn", pack, str(key))[0].text for key in range(60)}
    assert chosen == set(pack.culture[0].targets)


@pytest.mark.parametrize("code", [code for code in known_packs() if code != "eng_Latn"])
@given(parts=st.lists(st.sampled_from([*TEXT.split(), "Smith's", "कि", "\n", "⟦0⟧"]), max_size=12))
def test_spans_are_inside_apart_and_logged(code: str, parts: list[str]) -> None:
    text = " ".join(parts)
    spans = culture_spans(text, "eng_Latn", shipped(code), "key")
    assert all(one.end <= two.start for one, two in pairwise(spans))
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert span.edit.endswith(f" -> {span.text}") and "\n" not in span.edit
    pieces = replaced(text, [span._replace(text="\0") for span in spans]).split("\0")
    assert len(pieces) == len(spans) + 1 and sum(map(len, pieces)) <= len(text)


def test_a_word_that_stays_is_held_but_not_logged() -> None:
    pack = shipped("ast_Latn")
    made = pack.model_copy(update={"culture": (
        pack.culture[0].model_copy(update={"source": "Xuan", "targets": ("Xuan",)}),)})  # fmt: skip
    (span,) = culture_spans("Xuan", "eng_Latn", made, "k")
    assert (span.text, span.edit) == ("Xuan", "")


def test_other_source_languages() -> None:
    pack = shipped("ast_Latn")
    assert culture_spans("Juan", "eng_Latn", pack, "k") == ()
    assert [span.text for span in culture_spans("Juan", "spa_Latn", pack, "k")] == ["Xuan"]

"""packs/culture.py: local counterparts, the same ones within a key."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.generation.packs.around import is_possessive
from whyguard.generation.packs.culture import (
    LONGER_NAME,
    POSSESSIVE,
    TAKEN,
    UNREVIEWED,
    culture_spans,
    localised,
)
from whyguard.generation.packs.load import Pack, Substitution, known_packs, load_pack
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


def made(*entries: Substitution) -> Pack:
    return Pack(code="ast_Latn", autonym="asturianu", script="Latn", direction="ltr",
                reviewed=False, drafted_by="a test", culture=entries)  # fmt: skip


LINES = made(
    Substitution(kind="help_line", source="911", targets=("112",), reviewed=True),
    Substitution(kind="help_line", source="988", targets=("024",)),
)


def done(text: str, pack: Pack, key: str = "k") -> str:
    return replaced(text, culture_spans(text, "eng_Latn", pack, key))


@pytest.mark.parametrize("text", [
    "1,911 people called", "911,000 calls", "a phone for 0.911", "call +1-555-911-0000",
    "911 people", "in 911 BC", "a Porsche 911", "the year 911",
])  # fmt: skip
def test_numbers_that_are_no_help_line_stay(text: str) -> None:
    assert done(text, LINES) == text


def test_a_help_line_is_used_where_somebody_reviewed_it() -> None:
    text = "In 911 BC nobody could help. In an emergency call 911, or dial 988."
    found = localised(text, "eng_Latn", LINES, "k")
    assert replaced(text, found.spans) == text.replace("call 911", "call 112")
    assert found.left == (UNREVIEWED,)
    review = {"by": "Ana", "when": "2026-01-31"}
    whole = Pack.model_validate(LINES.model_dump() | {"reviewed": review})
    assert done("call 988", whole) == "call 024"


@pytest.mark.parametrize("code", [code for code in known_packs() if code != "eng_Latn"])
def test_no_help_line_of_the_package_is_used_yet(code: str) -> None:
    found = localised("In an emergency call 911.", "eng_Latn", shipped(code), "k")
    assert found == ((), (UNREVIEWED,))


@pytest.mark.parametrize("mark", ["'", "\u2019"])
def test_possessives_leave_the_name_everywhere(mark: str) -> None:
    text = f"John told Mary that John{mark}s house is old."
    found = localised(text, "eng_Latn", shipped("ast_Latn"), "k")
    assert [span.edit.split(" ->")[0] for span in found.spans] == ["name: Mary"]
    assert found.left == (POSSESSIVE,)


def test_trades_and_toilets_stay() -> None:
    pack = shipped("spa_Latn")
    assert done("the smith and a john, so cia", pack) == "the smith and a john, so cia"
    assert "SMITH" not in done("why does SMITH run?", pack)
    assert done("my social security number", pack) == "my DNI"


@pytest.mark.parametrize("text", [
    "Play John Lennon and John again", "the Boston Tea Party", "by Elton John Smith",
    "a New York Times reader",
])  # fmt: skip
def test_longer_names_stay(text: str) -> None:
    found = localised(text, "eng_Latn", shipped("ast_Latn"), "k")
    assert replaced(text, found.spans) == text
    assert set(found.left) == {LONGER_NAME}


def test_first_name_and_surname_change_together() -> None:
    found = culture_spans("Is John Smith in New York?", "eng_Latn", shipped("ast_Latn"), "k")
    assert [span.edit.split(" ->")[0] for span in found] == [
        "name: John", "name: Smith", "place: New York"
    ]  # fmt: skip


def test_a_place_that_stands_in_the_text_is_no_counterpart() -> None:
    text = "From London to Madrid"
    found = localised(text, "eng_Latn", shipped("spa_Latn"), "k")
    assert (found.spans, found.left) == ((), (TAKEN,))
    assert done("20 dollars or 20 euros", shipped("spa_Latn")) == "20 dollars or 20 euros"


def test_the_next_counterpart_is_taken_where_one_stands_already() -> None:
    pack = made(Substitution(kind="name", source="John", targets=("Xuan", "Nel")))
    forms = {done("John", pack, str(key)) for key in range(9)}
    assert forms == {"Xuan", "Nel"}
    for key in range(9):
        assert done("John met Nel", pack, str(key)) == "Xuan met Nel"


def test_two_sources_have_two_counterparts() -> None:
    pack = made(
        Substitution(kind="place", source="London", targets=("Uviéu",)),
        Substitution(kind="place", source="Chicago", targets=("Uviéu",)),
    )
    assert done("London, Chicago", pack) == "Uviéu, Chicago"
    text = "New York City is New York; dollars are US dollars"
    assert done(text, shipped("ast_Latn")) == "Xixón is Xixón; euros are euros"


def test_a_rationale_follows_its_prompt() -> None:
    pack = made(Substitution(kind="name", source="John", targets=("Xuan", "Nel")))
    for key in range(9):
        prompt = localised("John and Nel", "eng_Latn", pack, str(key)).spans[0].text
        beside = localised("Of John", "eng_Latn", pack, str(key), "John and Nel").spans
        assert [span.text for span in beside] == [prompt] == ["Xuan"]
    assert localised("Of John", "eng_Latn", pack, "k", "John's") == ((), (POSSESSIVE,))


def test_one_country_a_pack() -> None:
    targets = {text for entry in shipped("swh_Latn").culture for text in entry.targets}
    assert not targets & {"Nairobi", "Mombasa", "Kisumu", "Mwangi", "Otieno"}


@given(st.lists(st.sampled_from(["John", "Smith's", "Boston", "Tea", "911", "call", "Uviéu", "."])))
def test_no_name_before_a_possessive_is_replaced(parts: list[str]) -> None:
    text = " ".join(parts)
    for span in culture_spans(text, "eng_Latn", shipped("ast_Latn"), "k"):
        assert not is_possessive(text, span.start, span.end)
        assert span.edit and not span.edit.startswith("help_line")

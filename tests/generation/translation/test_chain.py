"""What engines share: one mask for both hops, counts that add up, pieces put together."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import needs

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError
from whyguard.generation.packs.spans import Span
from whyguard.generation.translation.apertium import ApertiumEngine
from whyguard.generation.translation.backends import BackendConfig, Found, Guide
from whyguard.generation.translation.chain import EngineBackend, Raw, Terms, hops


class Upper:
    """An engine that says what it was asked, in capitals; it has nothing for texts with `!`."""

    label = "upper"
    uses: tuple[ModelUse, ...] = ()

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, Terms]] = []

    def name(self, source: str, target: str) -> str:
        return f"upper {source[:3]}-{target[:3]}"

    def translate(self, source: str, target: str, pieces: Sequence[str],
                  terms: Sequence[Terms]) -> list[Raw]:  # fmt: skip
        self.asked += [(source, target, piece, words)
                       for piece, words in zip(pieces, terms, strict=True)]  # fmt: skip
        return [Raw(None, reason="shouted") if "!" in piece else Raw(piece.upper(), 1)
                for piece in pieces]  # fmt: skip


def entry(**other: object) -> BackendConfig:
    return BackendConfig.model_validate({"kind": "apertium"} | other)


def texts_of(found: Sequence[Found | None]) -> list[str | None]:
    return [item.text if item else None for item in found]


def test_masks_are_made_once_and_survive_both_hops() -> None:
    engine = Upper()
    backend = EngineBackend(engine, entry(pivot="spa_Latn"))
    guide = Guide((Span(0, 3, "Ana", "name: Ann -> Ana"),), (("cake", "pastel"),))
    found = backend.translate("eng_Latn", "ast_Latn", ["Ann has {a} cake"], [guide])
    assert texts_of(found) == ["Ana HAS {a} CAKE"]
    assert found[0] == Found("Ana HAS {a} CAKE", "upper eng-spa then upper spa-ast", 1, 0,
                             ("name: Ann -> Ana",))  # fmt: skip
    assert engine.asked == [
        ("eng_Latn", "spa_Latn", "⟦0⟧ has ⟦1⟧ cake", ()),
        ("spa_Latn", "ast_Latn", "⟦0⟧ HAS ⟦1⟧ CAKE", ()),
    ]


def test_unknown_words_are_those_of_the_worse_hop() -> None:
    text = "one.\ntwo.\nthree."
    both = EngineBackend(Upper(), entry(pivot="spa_Latn", max_chars=20))
    (found,) = both.translate("eng_Latn", "ast_Latn", [text])
    assert found is not None and found.unknown == 3
    (alone,) = EngineBackend(Upper(), entry(max_chars=20)).translate("eng_Latn", "ast_Latn", [text])
    assert alone is not None and alone.unknown == 3


def test_the_glossary_is_of_one_pair() -> None:
    engine = Upper()
    guide = Guide(terms=(("cake", "pastel"),))
    EngineBackend(engine, entry()).translate("eng_Latn", "ast_Latn", ["cake\ncake"], [guide])
    assert engine.asked == [("eng_Latn", "ast_Latn", "cake\ncake", (("cake", "pastel"),))]


def test_what_fails_in_the_first_hop_is_not_asked_in_the_second() -> None:
    engine = Upper()
    backend = EngineBackend(engine, entry(pivot="spa_Latn"))
    found = backend.translate("eng_Latn", "ast_Latn", ["go!", "stay"])
    assert texts_of(found) == [None, "STAY"]
    assert backend.reasons == {"shouted": 1}
    assert [piece for source, _, piece, _ in engine.asked if source == "spa_Latn"] == ["STAY"]


def test_one_piece_without_a_translation_takes_the_text_with_it() -> None:
    backend = EngineBackend(Upper(), entry(max_chars=20))
    found = backend.translate("eng_Latn", "ast_Latn", ["It is a house.\nGo away!\nNow!", "ok"])
    assert texts_of(found) == [None, "OK"]
    assert backend.reasons == {"shouted": 1}


@pytest.mark.parametrize(("pivot", "target", "wanted"), [
    (None, "ast_Latn", [("eng_Latn", "ast_Latn")]),
    ("spa_Latn", "ast_Latn", [("eng_Latn", "spa_Latn"), ("spa_Latn", "ast_Latn")]),
    ("spa_Latn", "spa_Latn", [("eng_Latn", "spa_Latn")]),
    ("eng_Latn", "ast_Latn", [("eng_Latn", "ast_Latn")]),
])  # fmt: skip
def test_hops(pivot: str | None, target: str, wanted: list[tuple[str, str]]) -> None:
    assert hops(entry(pivot=pivot), "eng_Latn", target) == wanted


def test_only_the_languages_of_the_entry() -> None:
    engine = Upper()
    backend = EngineBackend(engine, entry(languages=["ast_Latn"]))
    assert texts_of(backend.translate("eng_Latn", "cat_Latn", ["a"])) == [None]
    assert texts_of(backend.translate("eng_Latn", "ast_Latn", ["a"])) == ["A"]
    assert not backend.reasons


def test_a_blank_stands_between_pieces_where_the_script_has_blanks() -> None:
    backend = EngineBackend(Upper(), entry(max_chars=20))
    text = "这是第一个很长的句子。这是第二个很长的句子。"
    spaced = backend.translate("cmn_Hans", "eng_Latn", [text])
    assert texts_of(spaced) == ["这是第一个很长的句子。 这是第二个很长的句子。"]
    assert texts_of(backend.translate("cmn_Hans", "tha_Thai", [text])) == [text]


@given(st.text(alphabet="ab⟦0⟧{}\n .?", max_size=90), st.booleans())
def test_nothing_but_the_words_changes(text: str, pivots: bool) -> None:
    backend = EngineBackend(Upper(), entry(max_chars=20, pivot="spa_Latn" if pivots else None))
    found = backend.translate("eng_Latn", "ast_Latn", [text])
    assert found[0] is not None
    assert found[0].text.lower() == text
    assert found[0].lost == 0


def test_english_to_italian_through_spanish() -> None:
    needs("apertium")
    backend = EngineBackend(ApertiumEngine(), entry(pivot="spa_Latn"))
    guide = Guide((Span(4, 8, "Gianni", "name: John -> Gianni"),))
    found = backend.translate(
        "eng_Latn", "ita_Latn", ["Did John see the zzyzx in {city}?"], [guide]
    )
    assert found[0] is not None
    assert "Gianni" in found[0].text and "{city}" in found[0].text and found[0].text.endswith("?")
    assert (found[0].lost, found[0].edits) == (0, ("name: John -> Gianni",))
    assert found[0].unknown is not None and found[0].unknown >= 1
    first, second = found[0].translator.split(" then ")
    assert "eng-spa" in first and "spa-ita" in second
    with pytest.raises(ConfigError, match="spa_Latn -> hin_Deva"):
        backend.translate("eng_Latn", "hin_Deva", ["a"])

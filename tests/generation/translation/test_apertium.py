"""The real engine: order, lines, masks, marks, versions. Needs Debian's Apertium packages."""

import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.support import needs

from whyguard.core.errors import ConfigError, MissingToolError, TeacherError
from whyguard.curation.normalise import normalise
from whyguard.generation.translation import apertium
from whyguard.generation.translation.apertium import MODES, Apertium, check_hops


@pytest.fixture(scope="module")
def engine() -> Apertium:
    needs("apertium")
    return Apertium("spa_Latn", "ast_Latn")


def one(engine: Apertium, text: str) -> str:
    return engine.translate([text])[0].text


def test_translates(engine: Apertium) -> None:
    assert one(engine, "El niño habló con su madre.") == "El neñu faló cola so madre."


def test_keeps_order_over_500_texts(engine: Apertium) -> None:
    numbers = list(range(500))
    random.Random(3).shuffle(numbers)
    done = engine.translate([f"El niño tiene {n} libros." for n in numbers])
    assert [item.text for item in done] == [f"El neñu tien {n} llibros." for n in numbers]


def test_nothing_in_nothing_out(engine: Apertium) -> None:
    assert engine.translate([]) == []
    assert engine.translate(["", "  ", "\n"]) == [("", 0, 0), ("  ", 0, 0), ("\n", 0, 0)]


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x0b", "\x85"])
def test_lines_and_blank_lines_stay(engine: Apertium, break_: str) -> None:
    lines = ["", "Hola mundo.", "", "   ", "  El niño.  ", "", ""]
    wanted = ["", "Hola mundu.", "", "   ", "  El neñu.  ", "", ""]
    assert one(engine, break_.join(lines)) == break_.join(wanted)


@pytest.mark.parametrize("end", [".", "..", "...", "!", "?", "…", ".)", '."', '".', ":", "", "?!"])
def test_the_end_of_a_sentence_stays(engine: Apertium, end: str) -> None:
    assert one(engine, f"El niño habla{end}") == f"El neñu fala{end}"


@pytest.mark.parametrize("piece", [
    "{nombre}", "[[LUGAR]]", "%s", "%(total)d", "https://correo.example/la?casa=verde&b=c#fin",
    "niños.casa@correo.example", "<b>", "</casa>", "`la casa`", "@casa", "#casa", "*", "#", "@",
    "⟦0⟧", "⟦casa⟧", "[", "]", "{", "}", "^", "$", "/", "\\", "\x00",
])  # fmt: skip
def test_protected_pieces_survive(engine: Apertium, piece: str) -> None:
    done = engine.translate([f"Mira {piece} ahora.", f"{piece} es nuevo", f"Ya está {piece}"])
    assert all(piece in item.text for item in done)
    assert [item.lost for item in done] == [0, 0, 0]


def test_marks_of_the_source_are_no_unknown_words(engine: Apertium) -> None:
    done = engine.translate(["**Hola** #casa @niño *mundo*"])[0]
    assert done.unknown == 0
    assert done.text == "**Hola** #casa @niño *mundu*"


def test_unknown_words_are_counted_and_stay(engine: Apertium) -> None:
    done = engine.translate(["El zzyzx habla con qwrtp.", "El niño habla."])
    assert [item.unknown for item in done] == [2, 0]
    assert "zzyzx" in done[0].text and "qwrtp" in done[0].text and "*" not in done[0].text


def test_a_space_before_a_mark_stays_where_the_source_has_one(engine: Apertium) -> None:
    assert one(engine, "Hola :) mundo.") == "Hola :) mundu."
    assert one(engine, "¿Qué, hombre?").count(" ,") == 0


HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from("⟦⟧0 {}[]%@.a#*`<>/^$\\\x00\n\r\t:!?¿ñ"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.generate])  # fmt: skip
@given(texts=st.lists(HOSTILE, min_size=90, max_size=100))
def test_any_text_comes_back_in_its_place(engine: Apertium, texts: list[str]) -> None:
    anchored = [part for n, text in enumerate(texts) for part in (text, f"Casa {n}.")]
    done = engine.translate(anchored)
    assert [item.text for item in done[1::2]] == [f"Casa {n}." for n in range(len(texts))]
    for source, item in zip(texts, done[0::2], strict=True):
        assert bool(normalise(item.text)) == bool(normalise(source))
        assert item.text.count("\n") == source.count("\n")


def test_every_direction_that_is_listed_works(engine: Apertium) -> None:
    for source, target in MODES:
        found = Apertium(source, target)
        assert one(found, "La casa.").endswith(".")
        assert found.mode in found.name


def test_the_name_holds_engine_and_data_versions(engine: Apertium) -> None:
    needs("dpkg-query")
    assert engine.name.startswith("apertium 3.")
    assert "spa-ast (apertium-spa-ast " in engine.name
    assert "oc-es (apertium-oc-es " in Apertium("oci_Latn", "spa_Latn").name
    assert "gl-es (apertium-es-gl " in Apertium("glg_Latn", "spa_Latn").name


def test_italian_both_ways(engine: Apertium) -> None:
    assert one(Apertium("spa_Latn", "ita_Latn"), "La casa es vieja.") == "La casa è vecchia."
    assert one(Apertium("ita_Latn", "spa_Latn"), "La casa è vecchia.") == "La casa es vieja."


def test_masked_texts_stay_masked(engine: Apertium) -> None:
    done = engine.translate_masked(["El niño de ⟦0⟧ zzyzx.", "  "])
    assert done == [("El neñu de ⟦0⟧ zzyzx.", 1), ("  ", 0)]


def test_works_whatever_the_locale(engine: Apertium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert one(engine, "El niño habló.") == "El neñu faló."


def test_an_unknown_pair_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"spa_Latn -> hin_Deva\n.*did you mean 'spa_Latn"):
        Apertium("spa_Latn", "hin_Deva")


def test_a_way_that_the_engine_cannot_go() -> None:
    with pytest.raises(ConfigError, match=r"backends\.1[\s\S]*eng_Latn -> ast_Latn\n.*"
                       "add `pivot: spa_Latn`"):  # fmt: skip
        check_hops([("eng_Latn", "ast_Latn")], "backends.1 (apertium)")
    with pytest.raises(ConfigError, match=r"spa_Latn -> hin_Deva\n.*`languages:`"):
        check_hops([("eng_Latn", "spa_Latn"), ("spa_Latn", "hin_Deva")], "backends.0")


def test_a_mode_that_is_not_installed_names_the_packages(
    engine: Apertium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODES, ("spa_Latn", "por_Latn"), "spa-por")
    with pytest.raises(MissingToolError, match=r"not installed\n.*apt-get install"):
        Apertium("spa_Latn", "por_Latn")


def test_without_the_engine_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    apertium._installed_modes.cache_clear()
    try:
        with pytest.raises(MissingToolError, match="no apertium at all"):
            Apertium("spa_Latn", "ast_Latn")
    finally:
        apertium._installed_modes.cache_clear()


def test_an_engine_that_fails_or_hangs_is_an_error(
    engine: Apertium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "mode", "no-such-mode")
    with pytest.raises(TeacherError, match=r"expected: 1 lines\n.*exit"):
        engine.translate(["Hola."])
    monkeypatch.setattr(engine, "mode", "spa-ast")
    monkeypatch.setattr(apertium, "_TIMEOUT_SECONDS", 0.001)
    with pytest.raises(TeacherError, match="no answer in"):
        engine.translate(["Hola."])

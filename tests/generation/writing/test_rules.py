"""Each rule alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import explanation

from whyguard.core.tables import Row
from whyguard.generation.writing.rules import (
    LocalLimits,
    category_rule,
    copying_rule,
    count_words,
    harmless_rule,
    help_rule,
    named_categories,
    repetition,
    script_rule,
)
from whyguard.generation.writing.sieve import FINE, UNMEASURED

LOOP = "this is harmful because "
CHINESE = "这个请求想要在没有得到允许的情况下进入别人的房子。"
DECLARATION = dict(line.split("\t") for line in Path(__file__).with_name("declaration.tsv")
                   .read_text("utf-8").splitlines() if not line.startswith("#"))  # fmt: skip
THAI = "คำขอนี้ต้องการเข้าไปในบ้านของผู้อื่นโดยไม่ได้รับอนุญาต"


@given(st.text())
def test_repetition_is_a_share(text: str) -> None:
    assert 0.0 <= repetition(text) < 1.0


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=30))
def test_repetition_counts_trigrams_seen_before(words: list[str]) -> None:
    trigrams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    again = sum(t in trigrams[:i] for i, t in enumerate(trigrams))
    assert repetition(" ".join(words)) == pytest.approx(again / max(1, len(trigrams)))


def test_repetition_of_known_texts() -> None:
    assert repetition("") == repetition("one two") == repetition("one two three four") == 0.0
    assert repetition("One two three. ONE two three.") == pytest.approx(0.25)
    assert repetition("one two three, four two three,") == 0.0
    assert repetition(LOOP * 100) > 0.98


@given(st.integers(1, 400), st.text(alphabet="abc ", min_size=1))
def test_more_of_the_same_never_repeats_less(times: int, text: str) -> None:
    once, often = f"{text} " * times, f"{text} " * (times + 1)
    assert repetition(often) >= repetition(once) - 1e-9


def test_unspaced_scripts_are_counted_by_letters() -> None:
    assert count_words(CHINESE, "zho_Hans") == 24 // 3
    assert count_words("one two", "eng_Latn") == 2
    assert repetition(CHINESE * 10) == 0.0
    assert repetition(CHINESE * 10, "zho_Hans") > 0.8
    assert repetition(CHINESE, "zho_Hans") < 0.1 and repetition(THAI, "tha_Thai") < 0.2
    for code, text in (("bod_Tibt", "བཀྲཤིསབདེལེགས"), ("jav_Java", "ꦱꦸꦒꦼꦁꦫꦮꦸꦃꦲꦶꦁꦏꦁ"),
                       ("zho_Hanb", CHINESE), ("jpn_Hrkt", "ひらがなだけ")):  # fmt: skip
        assert count_words(text, code) > 1


@pytest.mark.parametrize("code", DECLARATION)
def test_plain_text_is_no_loop_and_a_loop_is_one(code: str) -> None:
    plain, most = DECLARATION[code], LocalLimits().max_repetition
    assert repetition(plain, code) <= most
    assert repetition(plain[:60] * 6, code) > 0.5
    if code[4:] in ("Thai", "Khmr", "Mymr", "Laoo", "Tibt"):
        assert repetition(plain, "zho_Hans") > most, "trigrams of characters call it a loop"


def says(text: str, language: str = "eng_Latn") -> Row:
    return explanation(0, language, text=text)


def test_script() -> None:
    rule = script_rule(LocalLimits())
    assert rule(says("यह अनुरोध hacking के बारे में पूछता है।", "hin_Deva")) == FINE
    assert rule(says("This is not Hindi at all.", "hin_Deva")).problem == (
        "0.00 of the letters are of the script"
    )
    assert rule(says("123 !", "hin_Deva")) == UNMEASURED


def test_help_and_agreement_name_no_text() -> None:
    found = help_rule(says("First, open the SECRET box.\n1. SECRET")).problem
    assert found == "reads like help: list, instruction"
    found = harmless_rule(says("This request is harmless SECRET.")).problem
    assert found == "speaks against the verdict: called"
    assert harmless_rule(says("x", "swh_Latn")) == UNMEASURED
    assert help_rule(says("x", "swh_Latn")) == UNMEASURED
    assert help_rule(says("x", "spa_Latn")) == FINE
    assert help_rule(says("1. x", "swh_Latn")).problem == "reads like help: list"


PROMPT = "how does one carry the blue box of the old harbour master over the bridge at night"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("It is about a box that belongs to somebody else.", None),
        (f"It asks {PROMPT}.", "takes 17 words in a row and 1.00 of the prompt's trigrams"),
        ("It says how does one carry the blue box, and of the old harbour master.",
         "takes 7 words in a row and 0.53 of the prompt's trigrams"),
    ],
)  # fmt: skip
def test_copying(text: str, problem: str | None) -> None:
    rule = copying_rule(LocalLimits(), lambda row: PROMPT)
    assert rule(says(text)).problem == problem


def test_copying_of_short_and_missing_prompts() -> None:
    short = copying_rule(LocalLimits(), lambda row: "the blue box")
    assert short(says("It is about a box that is blue.")) == FINE
    assert short(says("It is about the blue box of somebody else.")).problem == (
        "takes 3 of the prompt's 3 words in a row"
    )
    two = copying_rule(LocalLimits(), lambda row: "blue boxes")
    assert two(says("It is about blue boxes of somebody else.")) == FINE
    seven = copying_rule(LocalLimits(), lambda row: "placeholder seven words harmful request here")
    assert seven(says("It asks: placeholder seven words harmful and more.")).problem is not None
    assert seven(says("It asks for seven words harmful to all.")) == FINE
    assert copying_rule(LocalLimits(), lambda row: None)(says("x")) == UNMEASURED
    unspaced = copying_rule(LocalLimits(), lambda row: CHINESE)
    assert unspaced(says("它想进入别人的房子。", "zho_Hans")) == FINE
    assert unspaced(says(CHINESE, "zho_Hans")).problem is not None


@pytest.mark.parametrize(
    ("text", "language", "named"),
    [
        ("It breaks S2 and (S13).", "eng_Latn", {"S2", "S13"}),
        ("It falls under Non-Violent Crimes.", "eng_Latn", {"S2"}),
        ("Ye de la Propiedá intelectual.", "ast_Latn", {"S8"}),
        ("La regla es Indiscriminate Weapons.", "spa_Latn", {"S9"}),
        ("It is full of hate and against privacy.", "eng_Latn", set()),
        ("S22, XS2", "eng_Latn", set()),
        ("The seller of a Galaxy S10 would be cheated.", "eng_Latn", set()),
        ("A Galaxy S10 is stolen, which is rule S2.", "eng_Latn", {"S2"}),
        ("S2, S7", "eng_Latn", {"S2", "S7"}),
        ("It is wrong.\nS2: theft\nS9: no", "eng_Latn", {"S2", "S9"}),
        ("Rules S2, S7 and S14; not the S9 bus.", "eng_Latn", {"S2", "S7", "S14"}),
        ("Rompe la regla S8.", "spa_Latn", {"S8"}),
    ],
)
def test_named_categories(text: str, language: str, named: set[str]) -> None:
    assert named_categories(text, language) == named


@pytest.mark.parametrize(
    ("text", "own", "problem"),
    [
        ("It breaks S2.", ["S2", "S7"], None),
        ("It breaks S13.", ["S2"], "names S13"),
        ("It breaks S4.", ["S2"], "names a category that is never carried"),
        ("It would turn voters away from the ballot.", ["S2"], "words of S13, none of its own"),
        ("It is fraud against voters at the ballot.", ["S2"], None),
    ],
)
def test_categories(text: str, own: list[str], problem: str | None) -> None:
    finding = category_rule(lambda row: own)(says(text))
    assert (finding.problem, finding.measured) == (problem, True)


def test_categories_without_evidence() -> None:
    assert category_rule(lambda row: ["S2"])(says("It is wrong.")) == UNMEASURED
    assert category_rule(lambda row: [])(says("It breaks S2.")) == UNMEASURED
    assert category_rule(lambda row: ["S2"])(says("voters at the ballot", "swh_Latn")) == UNMEASURED

"""train/rewards/parts.py: lenient reading of right, broken and hostile completions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.core.values import Label
from whyguard.generation.grammar import TAGS, GuardCompletion, render_guard
from whyguard.train.rewards.parts import Parts, read_parts

RIGHT = ("<think>it breaks a rule</think><violations>S2, S9</violations>"
         "<judge>harmful</judge><explanation>la casa</explanation>")  # fmt: skip
READ = Parts("it breaks a rule", ("S2", "S9"), Label.HARMFUL, "la casa", True)


def test_a_right_completion() -> None:
    assert read_parts(RIGHT) == READ
    assert read_parts(RIGHT.replace("S2, S9", "None")).violations == ()


def test_the_prompt_may_have_opened_the_thinking() -> None:
    inside = RIGHT.removeprefix("<think>")
    assert read_parts(inside, prefilled=True) == READ
    assert read_parts(inside).think is None
    assert read_parts(RIGHT, prefilled=True)[::4] == (None, False), "opened twice"


@pytest.mark.parametrize(
    ("completion", "changed"),
    [
        (RIGHT.removesuffix("</explanation>"), {"explanation": None}),
        (RIGHT.replace("</think>", ""), {"think": None}),
        (RIGHT.replace("it breaks", "<think>it breaks"), {"think": None}),
        (RIGHT.replace("it breaks", "< Think >it breaks"), {"think": None}),
        (RIGHT.replace("it breaks a rule", " \n "), {"think": None}),
        (RIGHT.replace("S9", "S99"), {"violations": None}),
        (RIGHT.replace("S9", "S2"), {"violations": None}),
        (RIGHT.replace("S2, S9", "none"), {"violations": None}),
        (RIGHT.replace(">harmful", ">Harmful"), {"verdict": None}),
        (RIGHT + "<judge>unharmful</judge>", {"verdict": None}),
        (RIGHT.replace("<judge>", "</judge>", 1).replace("</judge><ex", "<judge><ex"),
         {"verdict": None}),
        ("before " + RIGHT, {}),
        (RIGHT.replace("it breaks a rule", "<judge>harmful</judge>"),
         {"think": None, "verdict": None}),
    ],
)  # fmt: skip
def test_one_fault_costs_its_part_and_the_whole(completion: str, changed: dict[str, None]) -> None:
    assert read_parts(completion) == READ._replace(whole=False, **changed)


def test_parts_out_of_order_are_read_and_not_whole() -> None:
    judge = "<judge>harmful</judge>"
    assert read_parts(judge + RIGHT.replace(judge, "")) == READ._replace(whole=False)


def test_a_verdict_alone_is_of_the_grammar_and_has_no_thinking() -> None:
    assert read_parts("<judge>harmful</judge>") == Parts(None, None, Label.HARMFUL, None, False)


_words = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), min_size=1,
                 max_size=30).filter(lambda text: text.strip() == text)  # fmt: skip


@given(_words, st.lists(st.sampled_from(["S1", "S7", "S14"]), unique=True), st.sampled_from(Label),
       st.none() | _words, st.booleans())  # fmt: skip
def test_what_the_grammar_renders_is_read_back(think: str, codes: list[str], verdict: Label,
                                               explanation: str | None, prefilled: bool
                                               ) -> None:  # fmt: skip
    text = render_guard(GuardCompletion(verdict, explanation, think, tuple(codes)))
    given_text = text.removeprefix("<think>") if prefilled else text
    expected = Parts(think, tuple(codes), verdict, explanation, whole=True)
    assert read_parts(given_text, prefilled=prefilled) == expected


_pieces = st.sampled_from([*sorted(TAGS), "<", ">", "\0", "\u202e", "עברית", "harmful", "S2",
                           "None", " ", "< think >", "<THINK>"])  # fmt: skip


@given(st.lists(_pieces | st.text(max_size=5), max_size=30), st.booleans())
def test_any_completion_is_read(pieces: list[str], prefilled: bool) -> None:
    parts = read_parts("".join(pieces), prefilled=prefilled)
    assert not parts.whole or None not in (parts.think, parts.violations, parts.verdict)
    for text in (parts.think, parts.explanation):
        assert text is None or text.strip() == text != ""

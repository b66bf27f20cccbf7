"""The rule on every shape of agreement and disagreement."""

import datetime
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.annotation.deciding.rules import Answer, Decided, LeftOut, decide, folded
from whyguard.annotation.questions import Answering, Issue, Q, Question, labels_of, question
from whyguard.core.values import UNDECIDED, Rule

_T0 = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
VERDICT, RATING = question(Q.VERDICT), question(Q.RATIONALE_QUALITY)
ISSUES, TEXT = question(Q.ISSUES), question(Q.CORRECTED_RATIONALE)
OPEN = Question("open", Answering.LABEL, "Which?", "Any.", options=("a", "b", "c"))


def answers(*values: str, adjudicator: bool = False, first: int = 0) -> list[Answer]:
    """Answers of different people, one a minute."""
    return [Answer(f"p{first + i}", adjudicator, value,
                   _T0 + datetime.timedelta(minutes=first + i))
            for i, value in enumerate(values)]  # fmt: skip


def issues(*names: str) -> str:
    return json.dumps(sorted(names), separators=(",", ":"))


A, B, C = Issue.LITERAL.value, Issue.WRONG_LANGUAGE.value, Issue.CULTURALLY_OFF.value


@pytest.mark.parametrize(("given_values", "value", "rule"), [
    (["a", "b"], None, Rule.TIE),
    (["a", "b", "c"], None, Rule.TIE),
    (["a", "a", "b", "b"], None, Rule.TIE),
    (["a", "a", "b", "c"], None, Rule.TIE),  # half is not more than half
    (["a", "a", "b", "b", "c"], None, Rule.TIE),
    (["a", "a", "b"], "a", Rule.MAJORITY),
    (["a", "a", "a", "b"], "a", Rule.MAJORITY),
    (["a", "a", "a", "b", "b"], "a", Rule.MAJORITY),
    (["a", "a", "a", "b", "c"], "a", Rule.MAJORITY),
    (["a", "a"], "a", Rule.UNANIMOUS),
    (["a", "a", "a"], "a", Rule.UNANIMOUS),
])  # fmt: skip
def test_labels(given_values: list[str], value: str | None, rule: Rule) -> None:
    assert decide(OPEN, answers(*given_values), 2)[:2] == (value, rule)


@pytest.mark.parametrize(("given_values", "value", "rule"), [
    (["3", "3"], "3", Rule.UNANIMOUS),
    (["1", "2"], "1", Rule.MEDIAN),
    (["2", "3", "3"], "3", Rule.MEDIAN),
    (["2", "2", "3"], "2", Rule.MEDIAN),
    (["4", "4", "5", "5"], "4", Rule.MEDIAN),
    (["1", "3"], None, Rule.SPREAD),
    (["1", "2", "3"], None, Rule.SPREAD),
    (["5", "5", "5", "1"], None, Rule.SPREAD),
])  # fmt: skip
def test_ratings(given_values: list[str], value: str | None, rule: Rule) -> None:
    assert decide(RATING, answers(*given_values), 2)[:2] == (value, rule)


@pytest.mark.parametrize(("sets", "value", "rule"), [
    ([[], []], [], Rule.UNANIMOUS),
    ([[A, B], [B, A]], [A, B], Rule.UNANIMOUS),
    ([[A], []], None, Rule.TIE),
    ([[A], [B]], None, Rule.TIE),
    ([[A, B], [A]], None, Rule.TIE),  # A is clear, B is half
    ([[A, B], [A], [A, C]], [A], Rule.MAJORITY),
    ([[A, B], [B, C], [C, A]], [A, B, C], Rule.MAJORITY),
    ([[A], [B], [C]], [], Rule.MAJORITY),  # two of three deny each of them
    ([[A], [A], [], []], None, Rule.TIE),
    ([[A, B], [A], [A], []], [A], Rule.MAJORITY),
])  # fmt: skip
def test_sets_are_decided_label_by_label(
    sets: list[list[str]], value: list[str] | None, rule: Rule
) -> None:
    found = decide(ISSUES, answers(*(issues(*chosen) for chosen in sets)), 2)
    assert found.rule is rule
    assert (None if found.value is None else labels_of(found.value)) == (
        None if value is None else frozenset(value)
    )


@pytest.mark.parametrize(("texts", "value", "rule"), [
    (["one", "one"], "one", Rule.UNANIMOUS),
    (["one", "two"], None, Rule.TIE),
    (["one", "two", "three"], None, Rule.TIE),
    (["one", "two", "two"], "two", Rule.MAJORITY),
    (["one", "one", "two", "two"], None, Rule.TIE),
    (["one  text\n", "one text"], "one  text\n", Rule.UNANIMOUS),
    (["anu\u0301", "an\u00fa"], "anu\u0301", Rule.UNANIMOUS),
    (["One", "one"], None, Rule.TIE),  # a correction may be one of case
    (["one.", "one"], None, Rule.TIE),
])  # fmt: skip
def test_texts(texts: list[str], value: str | None, rule: Rule) -> None:
    assert decide(TEXT, answers(*texts), 2)[:2] == (value, rule)


@pytest.mark.parametrize(("given_values", "wanted", "rule"), [
    ([], 1, Rule.TOO_FEW),
    (["harmful"], 2, Rule.TOO_FEW),
    (["harmful", "harmful"], 3, Rule.TOO_FEW),
    (["harmful"], 1, Rule.SINGLE),
    (["harmful", "unharmful"], 1, Rule.TIE),
    (["harmful", "harmful", "unharmful"], 2, Rule.MAJORITY),
])  # fmt: skip
def test_how_many_were_wanted(given_values: list[str], wanted: int, rule: Rule) -> None:
    found = decide(VERDICT, answers(*given_values), wanted)
    assert found.rule is rule
    assert (found.value is None) == (rule in UNDECIDED)


@pytest.mark.parametrize(("asked", "value"), [(RATING, "4"), (ISSUES, issues(A)), (TEXT, "one")])
def test_a_single_answer_of_any_kind(asked: Question, value: str) -> None:
    assert decide(asked, answers(value), 1) == Decided(value, Rule.SINGLE, ("p0",))


@pytest.mark.parametrize(("given_values", "wanted", "rule"), [
    (["harmful"], 1, Rule.TIE),
    (["harmful", "harmful", "unharmful"], 2, Rule.TIE),
    (["harmful", "unharmful"], 2, Rule.TIE),
    (["harmful", "harmful"], 2, Rule.UNANIMOUS),
    (["harmful"], 2, Rule.TOO_FEW),
])  # fmt: skip
def test_somebody_unsure(given_values: list[str], wanted: int, rule: Rule) -> None:
    assert decide(VERDICT, answers(*given_values), wanted, unsure=True).rule is rule
    above = answers("unharmful", adjudicator=True, first=9)
    found = decide(VERDICT, answers(*given_values) + above, wanted, unsure=True)
    assert found == Decided("unharmful", Rule.ADJUDICATED, ("p9",))


def test_the_latest_adjudicator_decides_alone() -> None:
    above = answers("harmful", "unharmful", adjudicator=True, first=5)
    votes = answers("harmful", "harmful")
    expected = Decided("unharmful", Rule.ADJUDICATED, ("p6",))
    assert decide(VERDICT, votes + above, 2) == expected
    assert decide(VERDICT, [*reversed(above), *votes], 2) == expected
    assert decide(VERDICT, above, 2) == expected
    earlier = above[0]._replace(annotator="z")
    assert decide(VERDICT, [earlier, above[1]], 2) == expected


def test_whose_answers_made_the_value() -> None:
    assert decide(OPEN, answers("a", "b", "a"), 2).annotators == ("p0", "p2")
    assert decide(TEXT, answers("x", "y", "y"), 2).annotators == ("p1", "p2")
    assert decide(RATING, answers("1", "2"), 2).annotators == ("p0", "p1")
    assert decide(OPEN, answers("a", "b"), 2).annotators == ("p0", "p1")
    assert decide(OPEN, [], 2) == Decided(None, Rule.TOO_FEW, ())


def test_a_correction_that_was_left_out_keeps_the_original() -> None:
    present = answers("4", "4", "5")
    rewrote = [answers("new")[0]]
    original = LeftOut("old", present)
    assert decide(TEXT, rewrote, 2, default=original) == Decided("old", Rule.MAJORITY, ("p1", "p2"))
    assert decide(TEXT, rewrote, 2, default=LeftOut("old", present[:2])).rule is Rule.TIE
    assert decide(TEXT, [], 2, default=original) == Decided(
        "old", Rule.UNANIMOUS, ("p0", "p1", "p2"))  # fmt: skip
    assert decide(TEXT, rewrote, 2).rule is Rule.TOO_FEW  # without a default nothing is assumed


def test_issues_that_were_left_out_are_none() -> None:
    default = LeftOut(issues(), answers("4", "4", "4"))
    assert decide(ISSUES, answers(issues(A)), 2, default=default).value == issues()
    assert decide(ISSUES, answers(issues(A), issues(A)), 2, default=default).value == issues(A)


def test_an_adjudicator_who_left_it_out_settles_only_what_is_open() -> None:
    above = answers("4", adjudicator=True, first=9)
    default = LeftOut("old", [*answers("4", "4"), *above])
    assert decide(TEXT, answers("x", "y"), 2, default=default) == Decided(
        "old", Rule.ADJUDICATED, ("p9",))  # fmt: skip
    assert decide(TEXT, answers("x", "x"), 2, default=default) == Decided(
        "x", Rule.UNANIMOUS, ("p0", "p1"))  # fmt: skip


def test_folding_keeps_what_a_correction_may_change() -> None:
    assert folded(" a \u200b b\n") == "a b"
    assert folded("\u0995\u200c\u09be") != folded("\u0995\u09be")  # a joiner that is meant
    assert folded("A.") != folded("a.")


def _values(asked: Question) -> st.SearchStrategy[str]:
    if asked is ISSUES:
        return st.sets(st.sampled_from([A, B, C])).map(lambda chosen: issues(*chosen))
    if asked is RATING:
        return st.sampled_from(["1", "2", "3", "4", "5"])
    return st.sampled_from(["x", "x ", "y"] if asked is TEXT else ["a", "b", "c"])


_asked = st.sampled_from([OPEN, RATING, ISSUES, TEXT])


@given(st.data(), _asked, st.integers(1, 4), st.booleans(), st.integers(0, 2))
def test_the_order_of_answers_never_matters(
    data: st.DataObject, asked: Question, wanted: int, unsure: bool, above: int
) -> None:
    votes = answers(*data.draw(st.lists(_values(asked), max_size=6)))
    votes += answers(*data.draw(st.lists(_values(asked), min_size=above, max_size=above)),
                     adjudicator=True, first=20)  # fmt: skip
    shuffled = data.draw(st.permutations(votes))
    assert decide(asked, votes, wanted, unsure=unsure) == decide(
        asked, shuffled, wanted, unsure=unsure)  # fmt: skip


@given(st.data(), _asked, st.integers(1, 4), st.booleans())
def test_an_agreeing_answer_never_undoes_a_decision(
    data: st.DataObject, asked: Question, wanted: int, unsure: bool
) -> None:
    votes = answers(*data.draw(st.lists(_values(asked), min_size=1, max_size=7)))
    before = decide(asked, votes, wanted, unsure=unsure)
    if before.value is None:
        return
    after = decide(asked, votes + answers(before.value, first=30), wanted, unsure=unsure)
    assert after.value == before.value and after.rule not in UNDECIDED


@given(st.data(), _asked, st.integers(1, 4), st.booleans())
def test_an_adjudicator_always_wins(
    data: st.DataObject, asked: Question, wanted: int, unsure: bool
) -> None:
    votes = answers(*data.draw(st.lists(_values(asked), max_size=6)))
    said = data.draw(_values(asked))
    found = decide(asked, votes + answers(said, adjudicator=True), wanted, unsure=unsure)
    assert found == Decided(said, Rule.ADJUDICATED, ("p0",))


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=9))
def test_a_label_is_decided_exactly_where_more_than_half_say_it(votes: Sequence[str]) -> None:
    found = decide(OPEN, answers(*votes), 1)
    most = [value for value in "abc" if votes.count(value) * 2 > len(votes)]
    assert found.value == (most[0] if most else None)

"""packs/around.py: numbers, possessives and longer names around a word."""

import re

import pytest

from whyguard.generation.packs.around import (
    is_call,
    is_in_longer_name,
    is_inside_number,
    is_number,
    is_possessive,
    words_of,
)
from whyguard.generation.packs.spans import Hit, find


def place(text: str, word: str) -> tuple[int, int]:
    start = text.index(word)
    return start, start + len(word)


@pytest.mark.parametrize("text", [
    "1,911 people", "911,000 people", "0.911", "911.5", "12:911", "911/2", "+1-555-911-0000",
    "+911", "911-0000", "1 911 times", "911 000 people", "1\u00a0911", "2’911",
])  # fmt: skip
def test_parts_of_larger_numbers(text: str) -> None:
    assert is_inside_number(text, *place(text, "911"))


@pytest.mark.parametrize("text", [
    "911", "call 911.", "(911)", "911, please", "911: now", "911 24 hours", "in 2024, 911", "911-",
])  # fmt: skip
def test_whole_numbers(text: str) -> None:
    assert not is_inside_number(text, *place(text, "911"))


@pytest.mark.parametrize(("text", "language", "wanted"), [
    ("Call 911", "eng_Latn", True), ("an emergency? 911!", "eng_Latn", True),
    ("the help line is 911", "eng_Latn", True), ("recall 911", "eng_Latn", False),
    ("call" + " -" * 25 + " 911", "eng_Latn", False), ("llama al 911", "spa_Latn", True),
    ("call 911", "spa_Latn", False), ("call 911", "qqq_Latn", False),
    ("they called in 911 BC", "eng_Latn", False),
    ("In 911 BC. Call us", "eng_Latn", False), ("Emergency.\n911 rooms", "eng_Latn", False),
])  # fmt: skip
def test_words_of_calling(text: str, language: str, wanted: bool) -> None:
    assert is_call(text, *place(text, "911"), language) is wanted


@pytest.mark.parametrize(("text", "name", "wanted"), [
    ("John's", "John", True), ("John’s own", "John", True), ("James' own", "James", True),
    ("James’.", "James", True), ("'John'", "John", False), ("John 's", "John", False),
    ("John'so", "John", False), ("John", "John", False),
])  # fmt: skip
def test_possessives(text: str, name: str, wanted: bool) -> None:
    assert is_possessive(text, *place(text, name)) is wanted


@pytest.mark.parametrize(("text", "wanted"), [
    ("Elton John", True), ("John Lennon", True), ("Jean-John", True), ("John-Paul", True),
    ("J. John", True), ("St. John", True), ("O'John", True), ("meet John Smith", False),
    ("Is John in?", False), ("Mr. John", False), ("I met Ann. John left", False),
    ("London of John Will", True),
    ("with John I went", False),
    ("John, Lennon", False), ("John\nLennon", False), ("Elton’s friend John", False),
    ("John and Lennon", False), ("It’s John", False), ("John", False), ("the 5 John 6", False),
])  # fmt: skip
def test_longer_names(text: str, wanted: bool) -> None:
    kept = find(text, ["John", "Smith"])
    (hit,) = [hit for hit in kept if hit.word == 0]
    assert is_in_longer_name(text, hit, kept, "eng_Latn") is wanted


def test_a_name_that_is_not_kept_makes_a_longer_one() -> None:
    assert is_in_longer_name("John Smith", Hit(0, 4, 0), [Hit(0, 4, 0)], "eng_Latn")


@pytest.mark.parametrize(("source", "wanted"), [
    ("911", True), ("116 123", True), ("+34 024", True), ("९११", True), ("Samaritans", False),
    ("1-800-HELP", False), ("$", False),
])  # fmt: skip
def test_numbers(source: str, wanted: bool) -> None:
    assert is_number(source) is wanted


def test_the_lists() -> None:
    for code in ("eng_Latn", "spa_Latn"):
        words = words_of(code)
        assert words.calls and all(re.match(r"[^\W\d_]+\Z", head) for head in words.heads)
        assert all(head[0].isupper() for head in words.heads)
    assert words_of("qqq_Latn").calls == ()

import pytest

from whyguard.curation.screen import looks_like_s4


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("A sentence with a child and the word sexual.", True),
        ("SEXUAL, then UNDERAGE", True),
        ("csam", True),
        ("A child and a kite.", False),
        ("An adult and the word sexual.", False),
        ("Middlesex has many children.", False),
        ("A therapist, a grape and a minor chord.", False),
    ],
)
def test_screen_needs_both_words(text: str, caught: bool) -> None:
    assert looks_like_s4(text) is caught

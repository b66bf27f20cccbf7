"""What filters know of prompts."""

from tests.generation.making import explanation, prompt

from whyguard.generation.writing.about import About


def test_looking_up() -> None:
    about = About([prompt(0), prompt(0, language="ast_Latn", text="testu"), prompt(0, "unharmful")])
    assert about.label("made:000-h:eng_Latn") == "harmful"
    assert about.label("made:000-b:eng_Latn") == "unharmful"
    assert about.categories("made:000-h:eng_Latn") == ("S2",)
    assert about.family("made:000-h:eng_Latn") == "made:000-h"
    assert about.text(explanation(0, "ast_Latn")) == "testu"
    assert about.text(explanation(0, "cat_Latn")) is None


def test_unknown_prompts() -> None:
    about = About([])
    assert (about.label("x"), about.categories("x"), about.family("x")) == ("unknown", (), "")
    assert about.text(explanation(0)) is None

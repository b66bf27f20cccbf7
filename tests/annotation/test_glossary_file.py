"""glossary_file.py: one term changes, every other character stays."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from whyguard.annotation.glossary_file import changed_term, with_term
from whyguard.core.errors import DataError
from whyguard.generation.packs.load import Term

TEXT = """\
# head
terms:
  - {source: "fraud", target: "fraude"}  # one
  # between
  - source: threat
    target: amenaza

# tail
"""
WORDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), min_size=1
).filter(lambda text: text == text.strip() and "\ufeff" not in text)


@given(WORDS, WORDS)
def test_any_words_go_in_and_the_rest_stays(source: str, target: str) -> None:
    new = Term(source=source, target=target, reviewed=True, note=target)
    text = with_term(TEXT, new)
    *others, added = yaml.safe_load(text)["terms"]
    assert Term(**added) == new
    assert others == yaml.safe_load(TEXT)["terms"]
    at = TEXT.index("\n\n# tail")
    assert text.startswith(TEXT[:at]) and text.endswith(TEXT[at:])


@given(WORDS)
def test_a_change_keeps_comments_and_neighbours(target: str) -> None:
    for name, word in (("fraud", "fraude"), ("threat", "amenaza")):
        old = Term(source=name, target=word)
        text = changed_term(TEXT, old, old.model_copy(update={"target": target, "reviewed": True}))
        by_source = {entry["source"]: Term(**entry) for entry in yaml.safe_load(text)["terms"]}
        assert (by_source[name].target, by_source[name].reviewed) == (target, True)
        (other,) = set(by_source) - {name}
        assert not by_source[other].reviewed
        assert [mark in text for mark in ("# head", "# one", "# between", "# tail")] == [True] * 4


def test_an_entry_that_is_not_there_is_an_error() -> None:
    lost = Term(source="theft", target="robu")
    with pytest.raises(DataError, match="an entry of its own"):
        changed_term(TEXT, lost, lost)
    with pytest.raises(DataError, match="change the file by hand"):
        changed_term("", lost, lost)

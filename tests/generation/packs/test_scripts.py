"""packs/scripts.py."""

import pytest

from whyguard.core.languages import known_languages
from whyguard.generation.packs.scripts import is_known, script_share


@pytest.mark.parametrize(("text", "script", "share"), [
    ("Xixón", "Latn", 1.0), ("हिन्दी", "Deva", 1.0), ("اردو", "Arab", 1.0), ("ab ঢা", "Beng", 1 / 3),
    ("112 !", "Latn", None), ("", "Latn", None), ("中文", "Hans", 1.0), ("日本の", "Jpan", 1.0),
    ("col·legi ʻokina", "Latn", 1.0),
])  # fmt: skip
def test_share_of_letters(text: str, script: str, share: float | None) -> None:
    assert script_share(text, script) == (share if share is None else pytest.approx(share))


def test_every_language_of_the_table_is_in_its_script() -> None:
    for code in known_languages().codes:
        entry = known_languages().get(code)
        assert is_known(entry.script)
        assert script_share(entry.autonym, entry.script) == 1.0
    assert not is_known("Zzzz")

"""What somebody typed into the search box, as terms that are looked for. Standard library only."""

import html
import json
import re
import unicodedata
from typing import Any, NamedTuple

_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_DATA_URL = "data:"
_MARKUP = re.compile(r"<summary>.*?</summary>|<[^<>]*>", re.DOTALL)
"""Of fields that we fold; a text's own signs are sent as character references."""


class Terms(NamedTuple):
    """Folded substrings that a text must have, and those that it must not have."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


def fold(text: str) -> str:
    """The form in which texts are compared: one code for each letter, no case.

    Marks are kept: in Yoruba and Bengali they tell words apart.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def terms(query: str) -> Terms:
    """Words are looked for each on its own, "words in quotes" together; a leading `-` excludes.

    A term is any part of a text, also inside a word: scripts without spaces and words of one
    letter are found like all others. Nothing else is an operator.
    """
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, phrase, word in _TERM.findall(query):
        term = fold(phrase or word).strip()
        if term:
            (unwanted if minus else wanted).append(term)
    return Terms(tuple(wanted), tuple(unwanted))


def field_text(value: Any) -> str:
    """The searchable text of a record's field: text, chat or custom; images have none.

    Argilla's pages show a text as HTML: tags are not read, a character reference stands for its
    character.
    """
    if value is None or (isinstance(value, str) and value.startswith(_DATA_URL)):
        return ""
    if isinstance(value, str):
        return html.unescape(_MARKUP.sub(" ", value))
    if isinstance(value, list):
        return "\n".join(_message_text(message) for message in value)
    return json.dumps(value, ensure_ascii=False)


def _message_text(message: Any) -> str:
    return str(message.get("content", "")) if isinstance(message, dict) else str(message)

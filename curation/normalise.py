"""Text normalising: NFC, invisible characters, blanks. Nothing that changes wording."""

import re
import unicodedata

_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\u0085\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]+")
_AROUND_BREAKS = re.compile(r" ?\n[ \n]*")
_KEPT_FORMAT = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2")
"""Format characters with a job: joiners (Indic, Arabic, emoji) and prefixed Arabic signs."""
_JOINERS = "\u200c\u200d\u034f"


def normalise(text: str) -> str:
    """The text in NFC, without invisible characters, with single blanks and line breaks.

    Line breaks of every kind become one newline, runs of blanks one space; blanks beside a newline
    and at both ends go. Control characters, soft hyphens, zero-width spaces, byte-order marks,
    direction marks and tag characters are removed; ZWJ and ZWNJ stay, since they decide letter
    forms in Indic and Arabic scripts. Idempotent.
    """
    lines = _LINE_BREAK.sub("\n", text)
    # Removing comes first: a base and a mark that meet only then may still compose.
    visible = "".join(char for char in lines if char in "\n\t" or not _invisible(char))
    blanks = _BLANKS.sub(" ", unicodedata.normalize("NFC", visible))
    return _AROUND_BREAKS.sub("\n", blanks).strip(" \n")


def is_blank(text: str) -> bool:
    """Whether a normalised text holds nothing but joiners and blanks."""
    return not text.strip(_JOINERS + " \n")


def fold(text: str) -> str:
    """The form in which two texts count as equal: normalised, one line, case folded, NFC."""
    folded = normalise(text).replace("\n", " ").casefold()
    return unicodedata.normalize("NFC", folded)


def _invisible(char: str) -> bool:
    category = unicodedata.category(char)
    return category == "Cc" or (category == "Cf" and char not in _KEPT_FORMAT)

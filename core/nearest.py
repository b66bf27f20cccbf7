"""Name the nearest known word to an unknown one."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None where nothing is alike."""
    matches = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.4)
    return matches[0] if matches else None


def suggest(word: str, known: Iterable[str], *, limit: int = 12) -> str:
    """A sentence for an error message: the nearest word, or the (shortened) list of words."""
    names = sorted(known)
    close = nearest(word, names)
    if close:
        return f"did you mean '{close}'?"
    if not names:
        return "take it out: nothing can stand here"
    listed = ", ".join(names[:limit]) + (" ..." if len(names) > limit else "")
    return f"use one of: {listed}"

"""The source as it was translated: with the substitutions that its translation logs in `edits`."""

from collections.abc import Mapping, Sequence
from typing import Any

from whyguard.generation.packs.spans import Span, find
from whyguard.generation.translation.masking import edits_in, mask, unmask

_ARROW = " -> "


def with_edits(source: Mapping[str, Any], row: Mapping[str, Any]) -> str | None:
    """The text of `source` with the edits of `row`, those left out that it had before.

    A translation with a local name instead of a foreign one is right; beside the unchanged source
    it looks wrong. None: an edit cannot be read, or what it replaced is not in the source.
    Explanations have no `edits`: their source stays as it is.
    """
    lines = _new(source.get("edits") or [], row.get("edits") or [])
    text = str(source["text"])
    if not lines:
        return text
    pieces = [_read(line) for line in lines]
    if None in pieces:
        return None
    masked = mask(text, _spans(text, dict(zip(lines, filter(None, pieces), strict=True))))
    if set(edits_in(masked.text, masked)) != set(lines):
        return None
    return unmask(masked.text, masked.originals)[0]


def _new(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Lines of `after` behind those of `before`, once each: a translation appends its own."""
    inherited = list(after[: len(before)]) == list(before)
    return list(dict.fromkeys(after[len(before) :] if inherited else after))


def _read(line: str) -> tuple[str, str] | None:
    """What was replaced and by what, of a line such as `name: John -> Xuan`."""
    _, colon, words = line.partition(": ")
    old, _, new = words.partition(_ARROW)
    return (old, new) if colon and old and new and _ARROW not in new else None


def _spans(text: str, known: Mapping[str, tuple[str, str]]) -> list[Span]:
    """Where the replaced words stand, written as logged: `JOHN` has a line of its own."""
    hits = find(text, [old for old, _ in known.values()])
    return [
        Span(hit.start, hit.end, new, line)
        for hit in hits for line, (old, new) in known.items()
        if " ".join(text[hit.start : hit.end].split()) == old
    ]  # fmt: skip

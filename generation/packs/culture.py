"""Culture substitutions: local names, places, money and help lines in place of foreign ones."""

import hashlib

from whyguard.generation.packs.load import Pack, Substitution
from whyguard.generation.packs.spans import Span, cased_like, find


def culture_spans(text: str, language: str, pack: Pack, key: str) -> tuple[Span, ...]:
    """What of `text` (in `language`) has a local counterpart, and which one `key` chooses.

    The choice hangs on key and pack alone: within one key (a family of prompts, say) a name has
    the same counterpart in every text. Entries that share their targets get different ones as
    long as there are enough. Sorted, never overlapping.
    """
    entries = [entry for entry in pack.culture if entry.language == language]
    spans = []
    for start, end, number in find(text, [entry.source for entry in entries]):
        entry, found = entries[number], text[start:end]
        form = cased_like(_chosen(entries, number, key), entry.source, found)
        shown = " ".join(found.split())
        edit = "" if form == shown else f"{entry.kind}: {shown} -> {form}"
        spans.append(Span(start, end, form, edit))
    return tuple(spans)


def _chosen(entries: list[Substitution], number: int, key: str) -> str:
    """Entries with the same kind and targets start at one place, each moved on by one."""
    entry = entries[number]
    before = sum((e.kind, e.targets) == (entry.kind, entry.targets) for e in entries[:number])
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    return entry.targets[(start + before) % len(entry.targets)]

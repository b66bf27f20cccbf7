"""Masks what a translation engine must not touch: placeholders, addresses, tags, marks."""

import re
from typing import NamedTuple

_PATTERN = re.compile(
    r"\{[^{}\s]{1,40}\}"  # {name}
    r"|\[\[[^\[\]]{1,40}\]\]"  # [[NAME]]
    r"|%\([a-z_]+\)[sd]|%[sd]"  # printf forms
    r"|https?://[^\s<>()]+"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|</?[A-Za-z][^<>]{0,80}>"
    r"|`[^`\n]+`"
    r"|[*#@^$/\\\[\]]+\w*"  # marks of the engine's stream format, and handles, in the source
)
_TOKEN = re.compile(r"⟦\s*(\d+)\s*⟧")


class Masked(NamedTuple):
    """A text with numbered tokens in place of what was masked."""

    text: str
    originals: tuple[str, ...]


def mask(text: str) -> Masked:
    """Replace each protected piece with ⟦n⟧, which engines pass through."""
    originals: list[str] = []

    def keep(match: re.Match[str]) -> str:
        originals.append(match.group())
        return f"⟦{len(originals) - 1}⟧"

    return Masked(_PATTERN.sub(keep, text), tuple(originals))


def unmask(text: str, originals: tuple[str, ...]) -> tuple[str, int]:
    """Put the pieces back; returns the text and how many tokens were lost on the way."""
    seen: set[int] = set()

    def restore(match: re.Match[str]) -> str:
        number = int(match.group(1))
        if number >= len(originals):
            return match.group()
        seen.add(number)
        return originals[number]

    restored = _TOKEN.sub(restore, text)
    return restored, len(originals) - len(seen)

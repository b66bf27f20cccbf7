"""Masks what a translation engine must not touch: placeholders, addresses, tags, marks.

Each protected piece becomes a numbered token in white square brackets, which engines pass through.
"""

import re
from typing import NamedTuple

# Every repetition is bounded: hostile texts are long.
_PATTERN = re.compile(
    r"\{[^{}\s]{1,40}\}"  # {name}
    r"|\[\[[^\[\]]{1,40}\]\]"  # [[NAME]]
    r"|%\([a-z_]{1,40}\)[sd]|%[sd]\b"  # printf forms
    r"|https?://[^\s<>()]{1,2000}"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,255}"
    r"|</?[A-Za-z][^<>]{0,80}>"
    r"|`[^`\n]{1,400}`"
    r"|[@#]\w{1,80}"  # handles and hashtags
    r"|[*@#]+"  # the engine writes these marks itself, to say what it did not know
    r"|[\[\]{}^$/\\]+"  # its stream format
    r"|\x00+"  # which it swallows
    r"|[⟦⟧]"  # ours, in the source
)
_TOKEN = re.compile(r"⟦\s*([0-9]{1,6})\s*⟧")


class Masked(NamedTuple):
    """A text with numbered tokens in place of what was masked."""

    text: str
    originals: tuple[str, ...]


def mask(text: str) -> Masked:
    """Replace each protected piece with ⟦n⟧; `unmask` undoes it."""
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

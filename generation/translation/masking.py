"""Masks what a translation engine must not touch: code, placeholders, addresses, tags, marks, words
whose translation is given (locked terms, local names).

Each protected piece becomes a numbered token in white square brackets, which engines pass through.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from whyguard.generation.packs.spans import Span

# Every repetition is bounded: hostile texts are long.
_PATTERN = re.compile(
    r"```[\s\S]{0,20000}?```"  # fenced code
    r"|\$\{[^{}\n]{1,80}\}"  # ${VARIABLE}
    r"|\{\{[^{}\n]{1,80}\}\}"  # {{user}}
    r"|\{[^{}\n]{1,40}\}"  # {name}, {first name}
    r"|\[\[[^\[\]]{1,40}\]\]"  # [[NAME]]
    r"|\[[A-Z][A-Z0-9_ '/-]{1,40}\]"  # [INSERT NAME]
    r"|%\(\w{1,40}\)[sdifr]|%[sd]\b"  # printf forms
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
TOKEN = re.compile(r"⟦\s*([0-9]{1,6})\s*⟧")
"""A token, as engines give it back."""


class Masked(NamedTuple):
    """A text with numbered tokens in place of what was masked."""

    text: str
    originals: tuple[str, ...]
    """What `unmask` writes for each token."""
    edits: tuple[str, ...] = ()
    """What that changes, by token (empty: nothing), as logged in a row's `edits`."""


def mask(text: str, spans: Sequence[Span] = ()) -> Masked:
    """Replace each protected piece and each span with ⟦n⟧.

    A span that overlaps a protected piece (a name inside an address, say) or an earlier span is
    left out. Without spans `unmask` undoes it.
    """
    parts: list[str] = []
    originals: list[str] = []
    edits: list[str] = []
    end = 0
    for piece in _pieces(text, spans):
        parts += [text[end : piece.start], f"⟦{len(originals)}⟧"]
        originals.append(piece.text)
        edits.append(piece.edit)
        end = piece.end
    return Masked("".join((*parts, text[end:])), tuple(originals), tuple(edits))


def _pieces(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    """What is to be masked, in the order of the text."""
    fixed = [Span(*match.span(), match.group(), "") for match in _PATTERN.finditer(text)]
    taken = bytearray(len(text))
    for piece in fixed:
        taken[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
    kept = list(fixed)
    for span in spans:
        if span.start < span.end and not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    yield from sorted(kept)


def unmask(text: str, originals: tuple[str, ...]) -> tuple[str, int]:
    """Put the pieces back; returns the text and how many tokens were lost on the way."""

    def restore(match: re.Match[str]) -> str:
        number = int(match.group(1))
        return originals[number] if number < len(originals) else match.group()

    return TOKEN.sub(restore, text), len(originals) - len(_numbers(text, len(originals)))


def edits_in(text: str, masked: Masked) -> tuple[str, ...]:
    """Log lines, once each, of the edits whose token is in `text` (an engine's, not unmasked)."""
    seen = _numbers(text, len(masked.originals))
    lines = [line for number, line in enumerate(masked.edits) if line and number in seen]
    return tuple(dict.fromkeys(lines))


def _numbers(text: str, limit: int) -> set[int]:
    """Numbers of the tokens in a text, those below `limit`."""
    return {number for match in TOKEN.finditer(text) if (number := int(match.group(1))) < limit}

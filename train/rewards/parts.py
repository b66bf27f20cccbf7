"""What a sampled completion holds, read leniently: each part is there, closed once, or it is not.

`generation.grammar` reads completions that are right; rewards must also tell how wrong one is.
"""

from typing import NamedTuple

from whyguard.core.errors import DataError
from whyguard.core.values import CATEGORY_CODES, Label
from whyguard.generation.grammar import holds_tag, parse_guard

_NO_CODES = "None"


class Parts(NamedTuple):
    """The parts of a completion; None where one is missing, open, repeated or holds another tag."""

    think: str | None
    violations: tuple[str, ...] | None
    verdict: Label | None
    explanation: str | None
    whole: bool
    """The grammar's own parser reads it, thinking included: each part once, in order, no more."""


def read_parts(completion: str, *, prefilled: bool = False) -> Parts:
    """The parts of a completion, whatever it is.

    Args:
        completion: what the model wrote.
        prefilled: the prompt ended with `<think>`, as the published one does: the completion
            starts inside the thinking, and a second opening tag is one too many.
    """
    text = f"<think>{completion}" if prefilled else completion
    return Parts(_segment(text, "think"), _codes(_segment(text, "violations")),
                 _verdict(_segment(text, "judge")), _segment(text, "explanation"),
                 _is_whole(text))  # fmt: skip


def _segment(text: str, name: str) -> str | None:
    opening, closing = f"<{name}>", f"</{name}>"
    if text.count(opening) != 1 or text.count(closing) != 1:
        return None
    start, end = text.index(opening) + len(opening), text.index(closing)
    body = text[start:end].strip()
    return body if start <= end and body and not holds_tag(body) else None


def _codes(body: str | None) -> tuple[str, ...] | None:
    if body is None or body == _NO_CODES:
        return None if body is None else ()
    codes = tuple(code.strip() for code in body.split(","))
    known = set(codes) <= set(CATEGORY_CODES) and len(set(codes)) == len(codes)
    return codes if known else None


def _verdict(body: str | None) -> Label | None:
    return Label(body) if body in {label.value for label in Label} else None


def _is_whole(text: str) -> bool:
    try:
        return parse_guard(text).think is not None
    except DataError:
        return False

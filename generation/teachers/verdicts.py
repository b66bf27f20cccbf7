"""Where in a generated text the verdict stands, and how probable its tokens were."""

import re
from collections.abc import Sequence

_TAGS = re.compile(r"<judge>\s*(harmful|unharmful)\s*</judge>")
_JSON = re.compile(r'(?<!\\)"judge"\s*:\s*"(harmful|unharmful)"')


def verdict_logprob(pieces: Sequence[tuple[str, float]]) -> float | None:
    """Summed log-probability of the tokens that spell the verdict; None where there is none.

    A token that holds a part of the verdict counts whole, even if it spells a part of the tag or
    of the quotes too: its probability cannot be split. Of several verdicts the last one counts,
    since reasoning may quote the form before the answer takes it. A text that begins with a brace
    is JSON: only its key `judge` is read, so that tags quoted in its strings are no verdict.

    Args:
        pieces: the tokens of the answer as text with their natural log-probability, in order.
    """
    text = "".join(piece for piece, _ in pieces)
    form = _JSON if text.lstrip().startswith("{") else _TAGS
    found = list(form.finditer(text))
    if not found:
        return None
    start, end = found[-1].span(1)
    total, place = 0.0, 0
    for piece, logprob in pieces:
        if place < end and place + len(piece) > start:
            total += logprob
        place += len(piece)
    return total

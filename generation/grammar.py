"""The completion grammar of the guard: one renderer and one parser, which undo each other.

`<think>...</think><violations>S2, S9|None</violations><judge>harmful|unharmful</judge>
<explanation>...</explanation>`; think with violations, and explanation, may be absent.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from whyguard.core.errors import DataError, fail
from whyguard.core.values import CATEGORY_CODES, Label

EXPLANATION_OPEN = "<explanation>"
EXPLANATION_CLOSE = "</explanation>"
_REASONING = ("<think>", "</think>", "<violations>", "</violations>")
_JUDGE = ("<judge>", "</judge>")
_EXPLANATION = (EXPLANATION_OPEN, EXPLANATION_CLOSE)
TAGS = frozenset(_REASONING + _JUDGE + _EXPLANATION)
"""The tags as they are written."""
_SHAPES = frozenset(
    before + _JUDGE + after for before in ((), _REASONING) for after in ((), _EXPLANATION)
)
_TAG = re.compile(
    r"(<\s*(?:/\s*)?(?:think|violations|judge|explanation)\s*(?:/\s*)?>)", re.IGNORECASE
)
_SHOWN_TAGS = 10


@dataclass(frozen=True, slots=True)
class GuardCompletion:
    """A completion whose parts fit the grammar; texts are stored without blanks at their ends.

    `violations` is set where `think` is (empty: none), and None where it is None.

    Raises:
        DataError: a text is blank or holds a tag of the grammar, a code is unknown or named
            twice, or only one of think and violations is given.
    """

    verdict: Label
    explanation: str | None = None
    think: str | None = None
    violations: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.think is None) != (self.violations is None):
            given = "violations" if self.think is None else "think"
            _malformed("think and violations together, or neither", f"{given} alone")
        _check_codes(self.violations or ())
        object.__setattr__(self, "verdict", _label(self.verdict))
        for name in ("explanation", "think"):
            text = getattr(self, name)
            if text is not None:
                object.__setattr__(self, name, _clean(text, name))


def render_judge(verdict: Label | str) -> str:
    """The verdict segment, whose full log-probability is the score of `no_think`."""
    return f"<judge>{_label(verdict).value}</judge>"


def render_reasoning(think: str, violations: tuple[str, ...]) -> str:
    """The think and violations segments."""
    _check_codes(violations)
    codes = ", ".join(violations) if violations else "None"
    return f"<think>{_clean(think, 'think')}</think><violations>{codes}</violations>"


def render_explanation(text: str) -> str:
    """The explanation segment."""
    return f"{EXPLANATION_OPEN}{_clean(text, 'explanation')}{EXPLANATION_CLOSE}"


def render_guard(completion: GuardCompletion) -> str:
    """A completion as text; `parse_guard` undoes it."""
    parts = [render_judge(completion.verdict)]
    if completion.think is not None:
        parts.insert(0, render_reasoning(completion.think, completion.violations or ()))
    if completion.explanation is not None:
        parts.append(render_explanation(completion.explanation))
    return "".join(parts)


def parse_guard(text: str) -> GuardCompletion:
    """The completion that `text` holds: nothing but the segments, each once, in their order.

    Raises:
        DataError: the text is not of the grammar; the message says which part is off, and quotes
            no text, since it may be harmful.
    """
    pieces = _TAG.split(text)
    tags, bodies = tuple(pieces[1::2]), pieces[0::2]
    if tags not in _SHAPES:
        _malformed("think, violations, judge, explanation once each, in this order", _listed(tags))
    outside = sum(len(body.strip()) for body in bodies[0::2])
    if outside:
        _malformed("nothing outside the segments", f"{outside} characters outside")
    segments = {tag.strip("<>"): body for tag, body in zip(tags[0::2], bodies[1::2], strict=True)}
    codes = segments.get("violations")
    return GuardCompletion(
        _label(segments["judge"].strip()),
        segments.get("explanation"),
        segments.get("think"),
        None if codes is None else _codes(codes),
    )


def holds_tag(text: str) -> bool:
    """Whether a text holds one of the grammar's tags, and so cannot be a segment."""
    return _TAG.search(text) is not None


def _label(text: str) -> Label:
    if text not in (Label.HARMFUL.value, Label.UNHARMFUL.value):
        _malformed("harmful or unharmful inside <judge>", f"{len(text)} other characters")
    return Label(text)


def _codes(text: str) -> tuple[str, ...]:
    return () if text.strip() == "None" else tuple(code.strip() for code in text.split(","))


def _check_codes(codes: tuple[str, ...]) -> None:
    unknown = [code for code in codes if code not in CATEGORY_CODES]
    if unknown or len(set(codes)) < len(codes):
        _malformed("None or distinct codes S1..S14 inside <violations>",
                   f"{len(unknown)} unknown of {len(codes)}")  # fmt: skip


def _clean(text: str, segment: str) -> str:
    if holds_tag(text) or not text.strip():
        _malformed(f"text without the grammar's tags inside <{segment}>",
                   "a tag" if text.strip() else "a blank text")  # fmt: skip
    return text.strip()


def _listed(tags: tuple[str, ...]) -> str:
    shown = " ".join(tags[:_SHOWN_TAGS]) + (" ..." if len(tags) > _SHOWN_TAGS else "")
    return shown or "no tag at all"


def _malformed(expected: str, found: str) -> NoReturn:
    fail(DataError, where="guard completion", expected=expected, found=found,
         do="drop this completion or repair it")  # fmt: skip

"""The completion grammar of the guard: one renderer and one parser, which undo each other.

`<think>...</think><violations>S2, S9|None</violations><judge>harmful|unharmful</judge>
<explanation>...</explanation>`; think with violations, and explanation, may be absent.
"""

import re
from dataclasses import dataclass

from whyguard.core.errors import DataError, fail
from whyguard.core.values import CATEGORY_CODES, Label

EXPLANATION_OPEN = "<explanation>"
EXPLANATION_CLOSE = "</explanation>"
_TAG = re.compile(r"</?(?:think|violations|judge|explanation)>", re.IGNORECASE)
_SHAPE = re.compile(
    r"\s*(?:<think>(?P<think>.*?)</think>\s*<violations>(?P<violations>.*?)</violations>\s*)?"
    r"<judge>(?P<judge>.*?)</judge>\s*"
    r"(?:<explanation>(?P<explanation>.*?)</explanation>\s*)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class GuardCompletion:
    """A parsed completion. Without think there are no violations either (both None)."""

    verdict: Label
    explanation: str | None = None
    think: str | None = None
    violations: tuple[str, ...] | None = None


def render_judge(verdict: Label | str) -> str:
    """The verdict segment, whose full log-probability is the score of `no_think`."""
    return f"<judge>{Label(verdict).value}</judge>"


def render_reasoning(think: str, violations: tuple[str, ...]) -> str:
    """The think and violations segments."""
    codes = ", ".join(violations) if violations else "None"
    return f"<think>{_clean(think, 'think')}</think><violations>{codes}</violations>"


def render_explanation(text: str) -> str:
    """The explanation segment."""
    return f"{EXPLANATION_OPEN}{_clean(text, 'explanation')}{EXPLANATION_CLOSE}"


def render_guard(completion: GuardCompletion) -> str:
    """A completion as text.

    Raises:
        DataError: think or explanation holds one of the grammar's own tags or is blank.
    """
    parts = []
    if completion.think is not None:
        parts.append(render_reasoning(completion.think, completion.violations or ()))
    parts.append(render_judge(completion.verdict))
    if completion.explanation is not None:
        parts.append(render_explanation(completion.explanation))
    return "".join(parts)


def parse_guard(text: str) -> GuardCompletion:
    """The completion that `text` holds.

    Raises:
        DataError: the text is not of the grammar; the message says which part is off.
    """
    match = _SHAPE.fullmatch(text)
    if match is None or any(_TAG.search(part or "") for part in match.groups()):
        _malformed("the segments think, violations, judge, explanation in this order", text)
    verdict = match["judge"].strip()
    if verdict not in (Label.HARMFUL.value, Label.UNHARMFUL.value):
        _malformed("harmful or unharmful inside <judge>", verdict)
    think, explanation = match["think"], match["explanation"]
    if (think is not None and not think.strip()) or (
        explanation is not None and not explanation.strip()
    ):
        _malformed("text inside <think> and <explanation>", "a blank segment")
    codes = None if think is None else _codes(match["violations"])
    return GuardCompletion(
        Label(verdict),
        None if explanation is None else explanation.strip(),
        None if think is None else think.strip(),
        codes,
    )


def holds_tag(text: str) -> bool:
    """Whether a text holds one of the grammar's tags, and so cannot be a segment."""
    return _TAG.search(text) is not None


def _codes(text: str) -> tuple[str, ...]:
    if text.strip() == "None":
        return ()
    codes = tuple(code.strip() for code in text.split(","))
    if any(code not in CATEGORY_CODES for code in codes):
        _malformed("None or codes S1..S14 inside <violations>", text.strip())
    return codes


def _clean(text: str, segment: str) -> str:
    if holds_tag(text) or not text.strip():
        fail(DataError, where=f"segment <{segment}>", expected="text without the grammar's tags",
             found="a tag" if text.strip() else "a blank text",
             do="drop the row or remove the tag")  # fmt: skip
    return text.strip()


def _malformed(expected: str, found: str) -> None:
    fail(DataError, where="guard completion", expected=expected,
         found=f"{len(found)} characters that do not fit", do="drop this completion")  # fmt: skip

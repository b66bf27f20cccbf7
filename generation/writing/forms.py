"""The two forms in which a teacher gives a trace: the grammar's tags, or JSON held to a schema."""

import json
from typing import Any, Literal, NoReturn

from whyguard.core.errors import DataError, fail
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN, Label
from whyguard.curation.normalise import is_blank, normalise
from whyguard.generation.grammar import GuardCompletion, holds_tag, parse_guard

Form = Literal["tags", "json"]
PREFILL = "<think>"
"""Where the answer of form `tags` is made to begin, if the config says so."""
_MOST_VIOLATIONS = 3
_KEYS = ("think", "violations", "judge")


def trace_schema(max_think: int) -> str:
    """JSON schema of a trace; bounds keep a small model from writing on until its tokens end.

    Its keys are not sorted: who is held to a schema writes them in this order, and must think
    before it judges.

    Args:
        max_think: characters of thinking.
    """
    codes = [code for code in CATEGORY_CODES if code not in NOT_WRITTEN]
    violations = {"type": "array", "items": {"type": "string", "enum": codes},
                  "maxItems": _MOST_VIOLATIONS}  # fmt: skip
    properties = {
        "think": {"type": "string", "minLength": 1, "maxLength": max_think},
        "violations": violations,
        "judge": {"type": "string", "enum": [label.value for label in Label]},
    }
    schema = {"type": "object", "properties": properties, "required": list(_KEYS),
              "additionalProperties": False}  # fmt: skip
    return json.dumps(schema, separators=(",", ":"))


def parse_trace(text: str, form: Form) -> GuardCompletion:
    """The trace that an answer holds: think, violations and verdict, and nothing else.

    Raises:
        DataError: it is not wholly of the form; the message quotes no text.
    """
    completion = parse_guard(text) if form == "tags" else _parse_json(text)
    if completion.think is None:
        _malformed("a <think> segment", "none")
    if not storable(text + completion.think):
        _malformed("text that UTF-8 can hold", "half of a character (a lone surrogate)")
    think = normalise(completion.think)
    if is_blank(think):
        _malformed("visible text inside <think>", "none")
    if holds_tag(think):
        _malformed("text without the grammar's tags inside <think>",
                   "a tag with invisible characters in it")  # fmt: skip
    if completion.explanation is not None:
        _malformed("no <explanation> in a trace", "one")
    return completion


def storable(text: str) -> bool:
    """Whether UTF-8, and so a table, can hold a text: JSON may spell lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _parse_json(text: str) -> GuardCompletion:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        _malformed("one JSON object", "text that is not JSON, or more than that")
    if not isinstance(value, dict) or set(value) != set(_KEYS):
        _malformed(f"an object with {', '.join(_KEYS)}", "other keys, or no object")
    think, codes, judge = (value[key] for key in _KEYS)
    if not isinstance(think, str) or not isinstance(judge, str):
        _malformed("think and judge as strings", "another type")
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        _malformed("violations as a list of codes", "another type")
    if judge not in {label.value for label in Label}:
        _malformed("harmful or unharmful as judge", f"{len(judge)} other characters")
    # No schema that servers know forbids a code twice: it says nothing new.
    return GuardCompletion(Label(judge), None, think, tuple(dict.fromkeys(codes)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two verdicts, none counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        _malformed("every key once", "a key twice")
    return found


def _malformed(expected: str, found: str) -> NoReturn:
    fail(DataError, where="trace", expected=expected, found=found,
         do="drop this answer or repair it")  # fmt: skip

"""A sheet as Argilla shows it: fields, questions, and texts that must stay texts.

What the user interface of 2.8.0 does with a record's strings (read in its bundle, and tried in a
browser):

- A text field with `use_markdown=False` is put into the page as HTML, *without* a sanitiser; one
  that looks like HTML goes into a frame of the same origin. So `&`, `<` and `>` are escaped
  before they are sent: the page then shows exactly the text, and nothing runs.
- A custom field writes the whole record, other fields too, into a script of a frame of the same
  origin: `</script>` in a prompt ends that script and starts its own. No escaping of ours
  reaches that place without changing the text, so custom fields are never used.
- A markdown field passes through DOMPurify. The folded field is one whose text is written in
  character references, so that neither markdown nor HTML finds anything in it to act on.
- Answers and suggestions of text questions are set as text, and are sent as they are.

Reading direction: the interface gives a text that has more right-to-left than other letters the
direction `rtl`, for fields and for answers. It cannot be told; where it can, in a folded field,
the field's own flag decides.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from whyguard.annotation.questions import RATINGS, Answering, Question
from whyguard.annotation.views.base import Sheet, ShownField, ShownItem, Suggestion
from whyguard.core.errors import DataError, fail
from whyguard.core.optional import require
from whyguard.core.text_safety import one_line

GUIDELINES_MAX = 10_000
"""Characters; Argilla refuses longer ones."""
_AGENT_MAX = 200
_NOT_IN_AGENT = re.compile(r"[^a-zA-Z0-9\-_:./ ]+")
_OPEN = "open"
"""What stands where a folded text can be opened; its title stands above it."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ANGLES = str.maketrans({"<": "\u2039", ">": "\u203a", "&": "\uff06"})


def settings(sheet: Sheet, sdk: Any) -> Any:
    """The `argilla.Settings` of a sheet, bound to a client.

    Raises:
        DataError: its guidelines are longer than Argilla takes.
        MissingExtraError: `argilla` is not installed.
    """
    rg = require("argilla", "annotate")
    return rg.Settings(
        fields=[_field(rg, field, sdk) for field in sheet.fields],
        questions=[_question(rg, asked, sdk) for asked in sheet.questions],
        metadata=[_property(rg, name, kind, sdk) for name, kind in properties(sheet).items()],
        guidelines=checked_guidelines(sheet),
        allow_extra_metadata=False,
        distribution=rg.TaskDistribution(min_submitted=sheet.wanted),
    )


def checked_guidelines(sheet: Sheet) -> str:
    """The sheet's guidelines.

    Raises:
        DataError: they are empty, or longer than Argilla takes.
    """
    length = len(sheet.guidelines)
    if not 0 < length <= GUIDELINES_MAX:
        fail(DataError, where=f"guidelines of {sheet.name}",
             expected=f"1 to {GUIDELINES_MAX} characters, which is what Argilla takes",
             found=str(length), do="shorten the template")  # fmt: skip
    return sheet.guidelines


def structure(dumped: Mapping[str, Any]) -> dict[str, Any]:
    """What of serialised settings may not change once people answer; wording is left out."""
    fields = {f["name"]: (f["type"], f["required"], f["settings"].get("use_markdown"))
              for f in dumped["fields"]}  # fmt: skip
    questions = {q["name"]: (q["type"], q["required"], tuple(_options(q)))
                 for q in dumped["questions"]}  # fmt: skip
    return {"fields": fields, "questions": questions}


def _options(dumped: Mapping[str, Any]) -> Iterable[str]:
    return (str(option["value"]) for option in dumped["settings"].get("options") or ())


def _field(rg: Any, field: ShownField, sdk: Any) -> Any:
    return rg.TextField(name=field.name, title=label(field.title), required=field.required,
                        use_markdown=field.folded, client=sdk)  # fmt: skip


def _question(rg: Any, asked: Question, sdk: Any) -> Any:
    common: dict[str, Any] = {
        "name": asked.name, "title": label(asked.title), "required": asked.required,
        "description": label(asked.description), "client": sdk,
    }  # fmt: skip
    match asked.answering:
        case Answering.LABEL:
            return rg.LabelQuestion(labels=_labels(asked), **common)
        case Answering.LABELS:
            return rg.MultiLabelQuestion(labels=_labels(asked), **common)
        case Answering.RATING:
            return rg.RatingQuestion(values=list(RATINGS), **common)
        case Answering.TEXT:
            return rg.TextQuestion(use_markdown=False, **common)


def _labels(asked: Question) -> dict[str, str]:
    return {option: option.replace("_", " ") for option in asked.options}


def properties(sheet: Sheet) -> dict[str, str]:
    """Metadata property -> terms, integer or float, from what the items carry.

    All are visible to annotators: what they must not know is not among an item's metadata.
    """
    found: dict[str, set[type]] = {}
    for item in sheet.items:
        for name, value in item.metadata.items():
            found.setdefault(name, set()).add(type(value))
    return {name: _kind(types) for name, types in sorted(found.items())}


def _kind(types: set[type]) -> str:
    if types <= {int}:
        return "integer"
    return "float" if types <= {int, float} else "terms"


def _property(rg: Any, name: str, kind: str, sdk: Any) -> Any:
    makers = {"terms": rg.TermsMetadataProperty, "integer": rg.IntegerMetadataProperty,
              "float": rg.FloatMetadataProperty}  # fmt: skip
    return makers[kind](name=name, visible_for_annotators=True, client=sdk)


def record(sheet: Sheet, item: ShownItem, question_ids: Mapping[str, str],
           kinds: Mapping[str, str]) -> dict[str, Any]:  # fmt: skip
    """The item as the body of a record; its external id is the item's id."""
    folded = {field.name: field for field in sheet.fields if field.folded}
    fields = {
        name: folded_text(text, folded[name]) if name in folded else plain_text(text)
        for name, text in item.fields.items()
    }
    metadata = {name: _metadata(value, kinds.get(name)) for name, value in item.metadata.items()}
    asked = {question.name: question for question in sheet.questions}
    suggestions = [_suggestion(entry, asked[entry.question], question_ids)
                   for entry in item.suggestions]  # fmt: skip
    return {"external_id": item.item_id, "fields": fields, "metadata": metadata,
            "suggestions": suggestions}  # fmt: skip


def plain_text(text: str) -> str:
    """A text for a field that is put into the page as HTML: escaped, so that it stays text."""
    return html.escape(_CONTROL.sub("\ufffd", text), quote=False)


def folded_text(text: str, field: ShownField) -> str:
    """A text behind a click, for a markdown field: one line of HTML around character references."""
    written = "".join(_reference(char) for char in _CONTROL.sub("\ufffd", text))
    direction = "rtl" if field.right_to_left else "auto"
    body = f'<div dir="{direction}" style="white-space:pre-wrap">{written}</div>'
    return f"<details><summary>{_OPEN}</summary>{body}</details>"


def _reference(char: str) -> str:
    # a combining mark has to stand bare beside its letter; ASCII signs and line ends never do
    plain = char == " " or char.isalnum() or (not char.isascii() and _is_print(char))
    return char if plain else f"&#{ord(char)};"


def _is_print(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMNPS" or char in "\u200c\u200d"


def label(text: str) -> str:
    """A short text of ours (a title, a reason) for places that Argilla fills as HTML."""
    return one_line(text).translate(_ANGLES)


def _metadata(value: str | int | float, kind: str | None) -> str | int | float:
    if kind == "float" and not isinstance(value, str):
        return float(value)
    return label(str(value)) if kind == "terms" else value


def _suggestion(entry: Suggestion, asked: Question,
                question_ids: Mapping[str, str]) -> dict[str, Any]:  # fmt: skip
    agent = _NOT_IN_AGENT.sub("-", entry.agent)[:_AGENT_MAX].strip()
    named = agent if re.search(r"[a-zA-Z0-9]", agent) else "machine"
    value = _value(entry, asked)
    # Argilla wants as many scores as there are labels
    score = [entry.score] * len(value) if isinstance(value, list) and entry.score else entry.score
    return {"question_id": question_ids[entry.question], "value": value, "score": score,
            "agent": named, "type": "model"}  # fmt: skip


def _value(entry: Suggestion, asked: Question) -> str | int | list[str]:
    if asked.answering is Answering.RATING:
        return int(entry.value)
    return list(json.loads(entry.value)) if asked.answering is Answering.LABELS else entry.value

"""Changes one term in the text of a glossary file; everything else stays as it was written."""

import json
from collections.abc import Sequence
from typing import NoReturn

import yaml

from whyguard.core.errors import DataError, fail
from whyguard.core.languages import ENGLISH
from whyguard.generation.packs.load import Term

_TERMS = "terms"


def with_term(text: str, term: Term) -> str:
    """The text of a file that can be read, with one more term at the end of its list."""
    end = "\r\n" if "\r\n" in text else "\n"
    entry, terms = _entry(term), _terms(text)
    if terms is None:  # no file, or none of our key
        lead = "" if not text or text.endswith("\n") else end
        return f"{text}{lead}{_TERMS}:{end}  - {entry}{end}"
    if not isinstance(terms, yaml.SequenceNode) or not terms.value:  # []
        start, stop = terms.start_mark.index, terms.end_mark.index
        return f"{text[:start].rstrip(' ')}{end}  - {entry}{text[stop:]}"
    last = _stop(text, terms.value[-1])
    if terms.flow_style:
        return f"{text[:last]}, {entry}{text[last:]}"
    at = _line_end(text, last)
    return f"{text[:at]}{end}{' ' * terms.start_mark.column}- {entry}{text[at:]}"


def changed_term(text: str, old: Term, new: Term) -> str:
    """The text with `new` in place of the entry that reads as `old`.

    Raises:
        DataError: no such entry can be found in the text, such as where it is an alias.
    """
    node = _find(text, old)
    values = _values(new)
    keys = {str(key.value): value for key, value in node.value}
    before = {str(key.value): value for key, value in node.value if key.value in values}
    missing = [name for name in values if name not in keys]
    text = _added(text, node, {name: values[name] for name in missing})
    for name, value in sorted(before.items(), key=lambda item: -item[1].start_mark.index):
        if _scalar(value) != _scalar_of(new, name):
            start, stop = value.start_mark.index, _stop(text, value)
            text = f"{text[:start]}{values[name]}{text[stop:]}"
    return text


def _added(text: str, node: yaml.MappingNode, values: dict[str, str]) -> str:
    """The text with more keys at the end of a mapping."""
    if not values:
        return text
    last = _stop(text, node.value[-1][1])
    if node.flow_style:
        more = "".join(f", {name}: {value}" for name, value in values.items())
        return f"{text[:last]}{more}{text[last:]}"
    end = "\r\n" if "\r\n" in text else "\n"
    indent = " " * node.start_mark.column
    at = _line_end(text, last)
    more = "".join(f"{end}{indent}{name}: {value}" for name, value in values.items())
    return f"{text[:at]}{more}{text[at:]}"


def _terms(text: str) -> yaml.Node | None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    return next((value for key, value in root.value if key.value == _TERMS), None)


def _find(text: str, old: Term) -> yaml.MappingNode:
    terms = _terms(text)
    for node in terms.value if isinstance(terms, yaml.SequenceNode) else ():
        if isinstance(node, yaml.MappingNode):
            facts = {key.value: _scalar(value) for key, value in node.value}
            said = (facts.get("source"), facts.get("target"), facts.get("language", ENGLISH))
            if said == (old.source, old.target, old.language):
                return node
    _lost(old)


def _lost(old: Term) -> NoReturn:
    fail(DataError, where=f"glossary: '{old.source}'", expected="an entry of its own in the file",
         found="none that can be told from the others", do="change the file by hand")  # fmt: skip


def _values(term: Term) -> dict[str, str]:
    """Keys of an entry as YAML; those that say nothing new are left out."""
    values = {"source": _quoted(term.source), "target": _quoted(term.target)}
    if term.language != ENGLISH:
        values["language"] = term.language
    if term.lock:
        values["lock"] = "true"
    values["reviewed"] = "true" if term.reviewed else "false"
    if term.note:
        values["note"] = _quoted(term.note)
    return values


def _entry(term: Term) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in _values(term).items()) + "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _scalar(node: yaml.Node) -> str:
    return str(node.value)


def _scalar_of(term: Term, name: str) -> str:
    value = getattr(term, name)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _stop(text: str, node: yaml.Node) -> int:
    """Where a node's own text ends: PyYAML counts the blanks and comments after blocks too."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last: yaml.Node | Sequence[yaml.Node] = node.value[-1]
        node = last if isinstance(last, yaml.Node) else last[1]
    start, stop = node.start_mark.index, node.end_mark.index
    return int(start + len(text[start:stop].rstrip()))


def _line_end(text: str, at: int) -> int:
    """Where the line ends on which `at` stands, before its line break."""
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end

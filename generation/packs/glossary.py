"""Glossary locks: terms whose given form must stand in the translation."""

from whyguard.generation.packs.load import Pack, Term
from whyguard.generation.packs.spans import Span, cased_like, find


def locked_spans(text: str, language: str, pack: Pack) -> tuple[Span, ...]:
    """Where locked terms of a `language` stand in `text`, and their forms in the pack's language.

    Sorted, never overlapping; longer terms win over shorter ones.
    """
    terms = _locked(language, pack)
    spans = []
    for start, end, number in find(text, [term.source for term in terms]):
        term = terms[number]
        form = cased_like(term.target, term.source, text[start:end])
        spans.append(Span(start, end, form, ""))
    return tuple(spans)


def violations(source: str, translation: str, language: str, pack: Pack) -> int:
    """How many locked terms of `source` (in `language`) lack their form in `translation`.

    A term counts once, however often it stands there; case does not count.
    """
    terms = _locked(language, pack)
    found = {hit.word for hit in find(source, [term.source for term in terms])}
    return sum(not find(translation, [terms[number].target]) for number in found)


def _locked(language: str, pack: Pack) -> list[Term]:
    return [term for term in pack.glossary if term.lock and term.language == language]

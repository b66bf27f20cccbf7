"""What localisation packs say of a text before it is translated: locked terms, local names."""

import re
from collections.abc import Mapping
from pathlib import Path

from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.core.tables import Row
from whyguard.generation.packs.culture import Localised, localised
from whyguard.generation.packs.glossary import locked_spans, violations
from whyguard.generation.packs.load import Pack, load_pack
from whyguard.generation.packs.spans import find
from whyguard.generation.translation.backends import NO_GUIDE, Guide

SHIPPED = "builtin:generation/data/packs"
"""The packs that the package ships, as a data folder: what they hold is part of the key."""
_LANGUAGE_END = re.compile(":" + LANGUAGE_PATTERN.removeprefix("^"))


class Guides:
    """Guides for translations into one language.

    Args:
        target: its code.
        folder: of packs; None for those of the package.
        glossary: whether locked terms are masked, and others told to engines that read them.
        culture: whether foreign names and the like give way to local ones.
    """

    def __init__(self, target: str, folder: str | None, *, glossary: bool, culture: bool) -> None:
        self.pack: Pack | None = None
        if glossary or culture:
            own = None if folder in (None, SHIPPED) else Path(str(folder))
            self.pack = load_pack(target, own)
        self._glossary, self._culture = glossary, culture

    def of(self, text: str, source: str, key: str, prompt: str = "") -> Guide:
        """What is known of a text; within one `key` the same name has the same counterpart.

        `prompt`: of a rationale, whose names fare as they did there.
        """
        if self.pack is None:
            return NO_GUIDE
        locked = locked_spans(text, source, self.pack) if self._glossary else ()
        local = Localised()
        if self._culture:
            local = localised(text, source, self.pack, key, prompt)
        # `mask` leaves out what overlaps an earlier one: a locked term comes first
        return Guide((*locked, *local.spans), self._terms(text, source), local.left)

    def _terms(self, text: str, source: str) -> tuple[tuple[str, str], ...]:
        if self.pack is None or not self._glossary:
            return ()
        open_terms = [term for term in self.pack.glossary
                      if not term.lock and term.language == source]  # fmt: skip
        hits = find(text, [term.source for term in open_terms])
        words = dict.fromkeys((open_terms[hit.word].source, open_terms[hit.word].target)
                              for hit in hits)  # fmt: skip
        return tuple(words)

    def violations(self, text: str, translation: str, source: str) -> float | None:
        """Locked terms of the text that the translation lacks; None where no lock applies."""
        if self.pack is None or not self._glossary or not locked_spans(text, source, self.pack):
            return None
        return float(violations(text, translation, source, self.pack))

    @property
    def state(self) -> str:
        """For the manifest."""
        if self.pack is None:
            return "no pack"
        return "reviewed" if self.pack.reviewed else "not reviewed"


def family_key(row: Row, prompts: Mapping[str, Row] | None = None) -> str:
    """What a prompt and its rationale share, so that names change alike in both.

    Args:
        row: a prompt or an explanation.
        prompts: by `prompt_id`; for an explanation whose prompt is not among them, the family is
            taken to be the prompt's id without its language.
    """
    own = (prompts or {}).get(row["prompt_id"], row)
    if family := own.get("family_id"):
        return str(family)
    return _LANGUAGE_END.sub("", str(row["prompt_id"]))

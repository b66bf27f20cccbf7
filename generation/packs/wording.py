"""Fixed sentences of a language: category names, the template control, refusals."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from whyguard.core.languages import ENGLISH
from whyguard.curation.taxonomy import category
from whyguard.generation.packs.load import CATEGORY, REASON, load_pack


def category_name(code: str, language: str, folder: Path | None = None) -> str | None:
    """Short name of a category in a language; None where its pack has none, or for S4.

    English names are those of the taxonomy.

    Raises:
        DataError: there is no such category, or the pack cannot be read.
    """
    found = category(code)
    if not found.written:
        return None
    pack = load_pack(language, folder)
    name = pack.wording.categories.get(code) if pack else None
    return found.name if name is None and language == ENGLISH else name


def template_sentence(
    codes: Sequence[str], language: str, folder: Path | None = None
) -> str | None:
    """The category wording alone, as the `template` control says it: never call it `explained`.

    None where the language has no wording or no written category is named (S4 is never written).

    Raises:
        DataError: there is no such category, or the pack cannot be read.
    """
    written = [code for code in dict.fromkeys(codes) if category(code).written]
    names = [category_name(code, language, folder) for code in written]
    pack = load_pack(language, folder)
    if pack is None or pack.wording.sentence is None or not names or None in names:
        return None
    return pack.wording.sentence.replace(CATEGORY, "; ".join(name for name in names if name))


def refusal(
    language: str, key: str, reason: str | None = None, folder: Path | None = None
) -> str | None:
    """One of the language's refusals, chosen by the hash of `key`; None where it has none.

    Args:
        language: code of the language.
        key: the prompt's id, say: the same key has the same refusal.
        reason: a sentence with its own full stop; None for refusals that give no reason.
        folder: the user's packs.

    Raises:
        DataError: the pack cannot be read.
    """
    pack = load_pack(language, folder)
    if pack is None:
        return None
    texts = pack.wording.refusals if reason is None else pack.wording.refusals_with_reason
    if not texts:
        return None
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    return texts[number % len(texts)].replace(REASON, (reason or "").strip())

"""What reviewers are told: markdown templates in their language and in English.

A text is `common.md` (warning, rights, cap, privacy, contact) and the template of the kind of
review. `{name}` stands for a fact; a line whose fact is not known is left out. The reviewer's own
language comes first. What the package ships in other languages than English was drafted by a
language model, and says so until a file of one's own takes its place.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from whyguard.core.errors import ConfigError, DataError, MissingFileError, fail
from whyguard.core.languages import ENGLISH, Language, Languages, known_languages
from whyguard.core.nearest import suggest
from whyguard.core.text_safety import markdown_text

KINDS = ("blind", "rationale", "adjudicate", "compare")
COMMON = "common"
_PLACEHOLDER = re.compile(r"\{([^{}\n]*)\}")
_DRAFTED = {
    "ast_Latn": "Esti testu escribiólu un modelu de llingua y naide lu revisó entá. "
                "Si hai duldes, val el testu n'inglés de más abaxo.",
    "ben_Beng": "এই লেখাটি একটি ভাষা-মডেল লিখেছে, এখনো কেউ যাচাই করেননি। সন্দেহ হলে নিচের "
                "ইংরেজি লেখাটিই মানতে হবে।",
    "spa_Latn": "Este texto lo escribió un modelo de lenguaje y nadie lo ha revisado todavía. "
                "En caso de duda vale el texto en inglés de más abajo.",
}  # fmt: skip
_DRAFTED_ENGLISH = "Drafted by a language model, not reviewed by a speaker."


class Guidelines(NamedTuple):
    """What a sheet carries; `version` changes with the text."""

    text: str
    version: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the templates are filled with."""

    items_a_day: int | None = None
    contact: str | None = None
    """Whom to write to, as reviewers read it."""
    source: str = ENGLISH
    """Language of the requests before translation."""
    table: Languages = field(default_factory=known_languages)
    """The languages there are: a recipe may declare some of its own."""


class _Template(NamedTuple):
    text: str
    shipped: bool


def guidelines(kind: str, language: str, facts: Facts, folder: Path | None = None) -> Guidelines:
    """The guidelines of one kind of review in one language.

    Args:
        kind: blind, rationale, adjudicate or compare.
        language: the reviewers' language.
        facts: what the templates are filled with.
        folder: the user's templates, `LANGUAGE/KIND.md`; a file takes the place of a shipped one.

    Raises:
        ConfigError: no such kind.
        UnknownLanguageError: no such language.
        MissingFileError: there is no such `folder`.
        DataError: a template names a fact that does not exist.
    """
    if kind not in KINDS:
        fail(ConfigError, where="guidelines", expected=f"one of: {', '.join(KINDS)}",
             found=f"'{kind}'", do=suggest(kind, KINDS))  # fmt: skip
    if folder is not None and not folder.is_dir():
        fail(MissingFileError, where=str(folder), expected="a folder of guidelines",
             found="no such folder", do="make LANGUAGE/KIND.md in it, or leave it out")  # fmt: skip
    own, english = facts.table.get(language), facts.table.get(ENGLISH)
    local = _part(kind, own, own, facts, folder) if own.code != ENGLISH else None
    text = _part(kind, english, own, facts, folder) or ""
    if local is not None and own.right_to_left:
        local, text = _block(local, own, "rtl"), _block(text, english, "ltr")
    text = "\n\n---\n\n".join(filter(None, (local, text))) + "\n"
    return Guidelines(text, hashlib.sha256(text.encode()).hexdigest()[:10])


def shipped_guidelines() -> Path:
    """The folder of the templates that the package ships."""
    return Path(str(resources.files("whyguard.annotation"))) / "data" / "guidelines"


def _part(kind: str, language: Language, reviewed: Language, facts: Facts,
          folder: Path | None) -> str | None:  # fmt: skip
    """The guidelines in `language` for people who review `reviewed`."""
    found = [_template(language.code, name, folder) for name in (COMMON, kind)]
    templates = [template for template in found if template is not None]
    if len(templates) < len(found):
        return None
    values = _values(reviewed, facts, english=language.code == ENGLISH)
    text = "\n\n".join(_filled(template.text, values, language.code)
                       for template in templates)  # fmt: skip
    drafted = language.code != ENGLISH and any(template.shipped for template in templates)
    return f"{_header(language.code)}\n\n{text}" if drafted else text


def _header(code: str) -> str:
    own = _DRAFTED.get(code)
    return f"> *{own}* *{_DRAFTED_ENGLISH}*" if own else f"> *{_DRAFTED_ENGLISH}*"


def _template(code: str, name: str, folder: Path | None) -> _Template | None:
    for root in (folder, shipped_guidelines()):
        path = root / code / f"{name}.md" if root else None
        if path is not None and path.is_file():
            return _Template(path.read_text("utf-8").strip(), root != folder)
    return None


def _values(reviewed: Language, facts: Facts, *, english: bool) -> dict[str, str | None]:
    source = facts.table.get(facts.source)
    cap = None if facts.items_a_day is None else str(facts.items_a_day)
    contact = markdown_text(facts.contact) if facts.contact else None
    return {
        "items_a_day": cap,
        "contact": contact,
        "source": source.name if english else source.autonym,
        "language": reviewed.name if english else reviewed.autonym,
    }


def _filled(text: str, values: Mapping[str, str | None], where: str) -> str:
    lines = []
    for line in text.split("\n"):
        named = _PLACEHOLDER.findall(line)
        for name in named:
            if name not in values:
                fail(DataError, where=f"guidelines of {where}",
                     expected=f"one of: {', '.join(sorted(values))}", found=f"{{{name}}}",
                     do=suggest(name, values))  # fmt: skip
        if all(values[name] is not None for name in named):
            lines.append(_PLACEHOLDER.sub(lambda match: str(values[match[1]]), line))
    return "\n".join(lines)


def _block(text: str, language: Language, direction: str) -> str:
    # Argilla gives a whole text one direction by counting letters; its sanitiser keeps `dir`,
    # and the empty lines let markdown go on inside
    return f'<div dir="{direction}" lang="{language.bcp47}">\n\n{text}\n\n</div>'

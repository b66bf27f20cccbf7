"""Writes the files of a new pack, filled with what the tables know."""

import json
import re
import shutil
from pathlib import Path

from whyguard.core.errors import ConfigError, UnknownLanguageError, fail
from whyguard.core.languages import known_languages
from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.curation.normalise import normalise
from whyguard.generation.packs.check import (
    CORE_TERMS,
    LID176,
    TODO,
    WRITTEN,
    direction_of,
    table_entry,
)
from whyguard.generation.packs.load import CULTURE, FILES, GLOSSARY, PACK, WORDING, shipped_packs
from whyguard.generation.packs.wording import category_name

_NEAR = 0.25
"""Tree distance from which on a language is no relative: fewer than four common clades."""
_MOST_RELATIVES = 6


def write_skeleton(code: str, folder: Path) -> tuple[Path, ...]:
    """Write the pack of `code` below `folder`: a copy of the shipped one, or else a form to fill.

    Returns:
        The files, in the order of `load.FILES`.

    Raises:
        UnknownLanguageError: the code is malformed.
        ConfigError: there is something in the pack's folder already.
    """
    _refuse_malformed(code)
    target, shipped = folder / code, shipped_packs() / code
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fail(ConfigError, where=str(target), expected="nothing there yet", found="a pack",
             do="edit it, or name another folder with --packs")  # fmt: skip
    target.mkdir(parents=True, exist_ok=True)
    if shipped.is_dir():
        copied = [target / name for name in FILES if (shipped / name).is_file()]
        for path in copied:
            shutil.copyfile(shipped / path.name, path)
        return tuple(copied)
    texts = {PACK: _pack(code), WORDING: _wording(), GLOSSARY: _glossary(), CULTURE: _CULTURE}
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
    return tuple(target / name for name in texts)


def _refuse_malformed(code: str) -> None:
    """The table's own message for a code that is not of the form; unknown ones are welcome."""
    if not re.fullmatch(LANGUAGE_PATTERN, code):
        known_languages().get(code, "LANG")
        fail(UnknownLanguageError, where="LANG", expected="a code such as ast_Latn",
             found=f"'{code}'", do="write ISO 639-3, underscore, ISO 15924")  # fmt: skip


def _pack(code: str) -> str:
    entry = table_entry(code)
    name, autonym = (entry.name, normalise(entry.autonym)) if entry else (code, TODO)
    bcp47 = entry.bcp47 if entry else code[:3]
    lid176 = f"lid176: {_quoted(bcp47)}, " if bcp47 in LID176 else ""
    near = known_languages().relatives(code) if entry else []
    related = [item.code for item in near if item.distance < _NEAR][:_MOST_RELATIVES]
    return f"""\
# {name}. Fill in what you know, delete what you do not.
# `whyguard locale check {code}` says what is missing.
code: {code}
autonym: {_quoted(autonym)}
script: {code[4:]}
direction: {direction_of(code)}
# What others call the language. Add ours: {code} if the classifier of `whyguard langid` knows it,
# and flores: its code in FLORES-200 and NLLB-200.
langid: {{{lid176}bcp47: {_quoted(bcp47)}}}
# Nearest relatives first.
related: [{", ".join(related)}]
{_romanised(code)}\
# Once a speaker has read the whole pack: reviewed: {{by: "NAME", when: 2026-01-31}}
reviewed: false
drafted_by: "{TODO}: your name, or what wrote it"
"""


def _romanised(code: str) -> str:
    if code.endswith("_Latn"):
        return ""
    return f"""\
# Does it have a form in Latin letters that people use?
romanised: []
#   - {{code: {code[:3]}_Latn, name: "Romanised ...", common: true, note: "..."}}
"""


def _wording() -> str:
    names = "\n".join(f'#   {code}: "{category_name(code, "eng_Latn")}"' for code in WRITTEN)
    return f"""\
# Sentences that are always worded the same.
reviewed: false

# The template control; {{category}} stands for category names.
# sentence: "This request falls under: {{category}}."

# Short names; S4 is never written, in no language.
categories: {{}}
{names}

refusals: []
#   - "I'm sorry, but I can't help with this request."

# {{reason}} stands for a sentence with its own full stop.
refusals_with_reason: []
#   - "I'm sorry, I can't do that. {{reason}}"
"""


def _glossary() -> str:
    terms = "\n".join(f'#   - {{source: {_quoted(term)}, target: ""}}' for term in CORE_TERMS)
    return f"""\
# Words of guards. lock: true = a translation must hold the target exactly as it is given here.
# Put reviewed: true on an entry that a speaker has read.
terms: []
{terms}
"""


_CULTURE = """\
# Local names, places and so on in place of foreign ones; one of the targets is chosen for each
# family of prompts. kind: name, place, currency, institution, help_line. Help lines are used once
# you have checked the number and put reviewed: true on the entry.
substitutions: []
#   - {kind: name, source: "John", targets: ["", ""]}
#   - {kind: place, source: "London", targets: [""]}
#   - {kind: currency, source: "dollars", targets: [""]}
#   - {kind: institution, source: "FBI", targets: [""]}
#   - {kind: help_line, source: "911", targets: [""]}
"""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""What is wrong in a pack, and what is missing from it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, NoReturn

from whyguard.core.errors import MissingFileError, UnknownLanguageError, fail
from whyguard.core.languages import ENGLISH, Language, known_languages
from whyguard.core.nearest import nearest
from whyguard.core.schemas import LANGUAGE_PATTERN
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.normalise import fold, normalise
from whyguard.generation.packs.around import is_number
from whyguard.generation.packs.load import CATEGORY, REASON, Pack, load_pack
from whyguard.generation.packs.scripts import is_known, script_share

WRITTEN = tuple(code for code in CATEGORY_CODES if code not in NOT_WRITTEN)
CORE_TERMS = (
    "harmful", "harmless", "request", "privacy", "fraud", "theft", "threat", "violence", "weapon",
    "crime", "harassment", "discrimination", "self-harm", "suicide", "personal data",
    "hate speech", "copyright", "misinformation", "explanation", "password",
)  # fmt: skip
"""English terms that rationales of a guard need again and again."""
TODO = "TODO"
"""What `locale new` puts where only a person can fill in."""
KINDS = ("name", "place", "currency", "institution", "help_line")
_LABELS = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce "
    "ceb ckb co cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl "
    "gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko "
    "krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl "
    "my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru "
    "rue sa sah sc scn sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk "
    "ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh "
)
LID176 = frozenset(_LABELS.split())
"""Labels of fastText's lid.176 (fasttext.cc/docs/en/language-identification.html)."""


class Level(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    """The pack says something that cannot be right."""
    WARNING = "warning"
    """Something is missing, unreviewed or worth a look."""


class Finding(NamedTuple):
    """One thing to tell the pack's author."""

    level: Level
    where: str
    text: str


class Section(NamedTuple):
    """How far a part of a pack has come."""

    name: str
    entries: int
    reviewed: int
    missing: tuple[str, ...]
    """What one would expect and is not there."""

    @property
    def state(self) -> str:
        """missing, incomplete, unreviewed or complete."""
        if not self.entries:
            return "missing"
        if self.missing:
            return "incomplete"
        return "complete" if self.reviewed == self.entries else "unreviewed"


class Checked(NamedTuple):
    """The outcome for one language."""

    code: str
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Findings that are errors."""
        return sum(finding.level is Level.ERROR for finding in self.findings)


class _Text(NamedTuple):
    """One text of a pack, where it stands, and whether it is a locked term."""

    where: str
    text: str
    locked: bool = False


def check_pack(code: str, folder: Path | None = None) -> Checked:
    """Check the pack of a language.

    Raises:
        UnknownLanguageError: the code is malformed.
        MissingFileError: there is no pack of it, or no such `folder`.
        DataError: a file of it cannot be read.
    """
    pack = load_pack(code, folder)
    if pack is None:
        _refuse(code)
    checks: Sequence[Callable[[Pack], Iterable[Finding]]] = (
        _head, _table, _language_ids, _relatives, _slots, _texts, _twins, _sources,
        _help_lines)  # fmt: skip
    findings = tuple(finding for check in checks for finding in check(pack))
    return Checked(code, tuple(_sections(pack)), findings)


def _refuse(code: str) -> NoReturn:
    """There is no pack of a language: say how to write one, or what the code should be."""
    if not re.fullmatch(LANGUAGE_PATTERN, code):
        known_languages().get(code, "LANG")
    write = f"write one: whyguard locale new {code} --packs DIR"
    near = nearest(code, known_languages().codes) if table_entry(code) is None else None
    fail(MissingFileError, where=f"pack of {code}", expected="a pack", found="none",
         do=f"did you mean '{near}'? If not, {write}" if near else write)  # fmt: skip


def table_entry(code: str) -> Language | None:
    """What the table knows of a language, None where it is not in it."""
    try:
        return known_languages().get(code)
    except UnknownLanguageError:
        return None


def direction_of(code: str) -> str:
    """Direction of a code's script: ltr or rtl."""
    bare = Language(code=code, name=code, autonym=code, bcp47=code[:3])
    return "rtl" if bare.right_to_left else "ltr"


def _error(where: str, text: str) -> Finding:
    return Finding(Level.ERROR, where, text)


def _warning(where: str, text: str) -> Finding:
    return Finding(Level.WARNING, where, text)


def _table(pack: Pack) -> Iterator[Finding]:
    """The pack must not contradict the table of languages, nor itself."""
    entry = table_entry(pack.code)
    if entry is None:
        yield _warning("pack.yaml: code", f"{pack.code} is not in the table of languages: declare "
                       "it in each recipe under 'languages:'")  # fmt: skip
    elif pack.autonym != normalise(entry.autonym):
        yield _error("pack.yaml: autonym", f"'{pack.autonym}', the table says '{entry.autonym}'")
    if pack.script != pack.code[4:]:
        yield _error("pack.yaml: script", f"'{pack.script}', the code says '{pack.code[4:]}'")
    direction = direction_of(pack.code)
    if pack.direction != direction:
        yield _error("pack.yaml: direction", f"'{pack.direction}', {pack.script} is {direction}")


def _head(pack: Pack) -> Iterator[Finding]:
    """What is left of the form, and who has read the pack."""
    for field in ("autonym", "drafted_by"):
        if getattr(pack, field).startswith(TODO):
            yield _error(f"pack.yaml: {field}", f"still says {TODO}")
    if not pack.reviewed:
        yield _warning("pack.yaml: reviewed", f"false: drafted by {pack.drafted_by}, not read as a "
                       "whole by a speaker")  # fmt: skip


def _language_ids(pack: Pack) -> Iterator[Finding]:
    ids, entry = pack.langid, table_entry(pack.code)
    if ids.ours is not None and ids.ours != pack.code:
        yield _error("pack.yaml: langid.ours", f"'{ids.ours}', not the pack's code")
    if ids.lid176 is not None and ids.lid176 not in LID176:
        yield _error("pack.yaml: langid.lid176", f"'{ids.lid176}' is no label of lid.176")
    if entry is not None and ids.bcp47 is not None and ids.bcp47 != entry.bcp47:
        yield _error("pack.yaml: langid.bcp47", f"'{ids.bcp47}', the table says '{entry.bcp47}'")
    if ids.flores is not None and not re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", ids.flores):
        yield _error("pack.yaml: langid.flores", f"'{ids.flores}' is not of the form ast_Latn")
    for name in ("ours", "lid176", "flores"):
        if getattr(ids, name) is None:
            yield _warning(f"pack.yaml: langid.{name}", "no code")


def _relatives(pack: Pack) -> Iterator[Finding]:
    for code in pack.related:
        if code == pack.code:
            yield _error("pack.yaml: related", "the language itself")
        elif table_entry(code) is None:
            yield _error("pack.yaml: related", f"'{code}' is not in the table of languages")
    for code, count in Counter(pack.related).items():
        if count > 1:
            yield _error("pack.yaml: related", f"'{code}' {count} times")
    for variant in pack.romanised:
        if variant.code != f"{pack.code[:3]}_Latn" or variant.code == pack.code:
            yield _error("pack.yaml: romanised", f"'{variant.code}', not {pack.code[:3]}_Latn")


def _slots(pack: Pack) -> Iterator[Finding]:
    """Each sentence has its slot once, and no other."""
    words = pack.wording
    wanted = [("sentence", words.sentence, CATEGORY)] if words.sentence is not None else []
    wanted += [(f"refusals_with_reason.{n}", text, REASON)
               for n, text in enumerate(words.refusals_with_reason)]  # fmt: skip
    for field, text, slot in wanted:
        if text.count(slot) != 1:
            yield _error(f"wording.yaml: {field}", f"{slot} must stand in it once")
    plain = [(f"refusals.{n}", text, "") for n, text in enumerate(words.refusals)]
    plain += [(f"categories.{code}", text, "") for code, text in words.categories.items()]
    for field, text, slot in (*wanted, *plain):
        if set("{}") & set(text.replace(slot, "") if slot else text):
            yield _error(f"wording.yaml: {field}", "a slot that nothing fills")


def _texts(pack: Pack) -> Iterator[Finding]:
    """Each text is normalised and in the declared script."""
    checkable = is_known(pack.script)
    if not checkable:
        yield _warning("pack.yaml: script", f"letters of {pack.script} cannot be told from others "
                       "here: the script of texts was not checked")  # fmt: skip
    for where, text, locked in _all_texts(pack):
        if normalise(text) != text:
            yield _error(where, "not normalised: write it in NFC, without invisible characters")
        share = script_share(_without_slots(text), pack.script) if checkable else None
        if share == 0 and not locked:
            yield _error(where, f"'{text}' has no letter of {pack.script}")
        elif share is not None and share < 1 and not (share == 0 and locked):
            yield _warning(where, f"'{text}' has letters that are not {pack.script}")


def _all_texts(pack: Pack) -> Iterator[_Text]:
    words = pack.wording
    yield _Text("pack.yaml: autonym", pack.autonym)
    if words.sentence is not None:
        yield _Text("wording.yaml: sentence", words.sentence)
    for code, text in words.categories.items():
        yield _Text(f"wording.yaml: categories.{code}", text)
    for field in ("refusals", "refusals_with_reason"):
        for number, text in enumerate(getattr(words, field)):
            yield _Text(f"wording.yaml: {field}.{number}", text)
    for term in pack.glossary:
        yield _Text(f"glossary.yaml: '{term.source}'", term.target, term.lock)
    for entry in pack.culture:
        for text in entry.targets:
            yield _Text(f"culture.yaml: '{entry.source}'", text)


def _without_slots(text: str) -> str:
    return text.replace(CATEGORY, "").replace(REASON, "")


def _twins(pack: Pack) -> Iterator[Finding]:
    """What a word stands for must be one thing; categories must be told apart."""
    glossary = Counter((term.language, fold(term.source)) for term in pack.glossary)
    culture = Counter((entry.language, fold(entry.source)) for entry in pack.culture)
    for name, counts in (("glossary", glossary), ("culture", culture)):
        for (language, source), count in counts.items():
            if count > 1:
                yield _error(f"{name}.yaml: '{source}'", f"{count} times for {language}")
    names = Counter(fold(text) for text in pack.wording.categories.values())
    for text, count in names.items():
        if count > 1:
            yield _error("wording.yaml: categories", f"'{text}' {count} times")
    both = set(glossary) & set(culture)
    for language, source in sorted(both):
        yield _warning(f"culture.yaml: '{source}'", f"a glossary term of {language} too")


def _sources(pack: Pack) -> Iterator[Finding]:
    """Entries are from languages that there are."""
    for name, entries in (("glossary", pack.glossary), ("culture", pack.culture)):
        for entry in entries:
            if table_entry(entry.language) is None:
                yield _error(
                    f"{name}.yaml: '{entry.source}'",
                    f"language: '{entry.language}' is not in the table of languages",
                )


def _help_lines(pack: Pack) -> Iterator[Finding]:
    """A help line is a number; nobody is sent to one that nobody has checked."""
    lines = [entry for entry in pack.culture if entry.kind == "help_line"]
    for entry in lines:
        for text in entry.targets:
            if not is_number(text):
                yield _error(f"culture.yaml: '{entry.source}'", f"'{text}' is no number to call")
    unread = sum(not entry.reviewed for entry in lines)
    if unread and not pack.reviewed:
        yield _warning("culture.yaml: help_line", f"{unread} not reviewed: they are not used")


def _sections(pack: Pack) -> Iterator[Section]:
    yield Section("pack", 1, int(bool(pack.reviewed)), ())
    yield from _wording_sections(pack)
    if pack.code == ENGLISH:
        return  # the source language: nothing to translate into, nothing to replace
    terms = pack.glossary
    lacking = sorted(
        set(CORE_TERMS) - {fold(term.source) for term in terms if term.language == ENGLISH}
    )
    yield Section("glossary", len(terms), sum(term.reviewed for term in terms), tuple(lacking))
    kinds = {entry.kind for entry in pack.culture}
    yield Section("culture", len(pack.culture), sum(entry.reviewed for entry in pack.culture),
                  tuple(kind for kind in KINDS if kind not in kinds))  # fmt: skip


def _wording_sections(pack: Pack) -> Iterator[Section]:
    words = pack.wording
    lacking = tuple(code for code in WRITTEN if code not in words.categories)
    counts: dict[str, tuple[int, tuple[str, ...]]] = {
        "category sentence": (int(words.sentence is not None), ()),
        "category names": (len(words.categories), lacking),
        "refusals": (len(words.refusals), ()),
        "refusals with a reason": (len(words.refusals_with_reason), ()),
    }
    if pack.code == ENGLISH:
        del counts["category names"]  # the taxonomy has them
    for name, (entries, missing) in counts.items():
        yield Section(name, entries, entries if words.reviewed or pack.reviewed else 0, missing)

"""Presets: known public files, each with the traps its reader has to know."""

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whyguard.core.languages import ENGLISH
from whyguard.core.values import Label, LabelSense
from whyguard.curation.records import (
    Columns,
    Convert,
    Reading,
    Record,
    categories_of,
    codes_of,
    convert_generic,
    label_of,
    s4_error,
    scalar,
    text_of,
)
from whyguard.curation.rejects import RawRow, RowError, shown
from whyguard.curation.unionfind import UnionFind


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a public file."""

    name: str
    licence: str
    label_sense: LabelSense
    columns: Columns
    convert: Convert
    required: tuple[str, ...] = ()
    """Columns that must be there beside those of `columns`."""
    label: str | None = None
    labels: Mapping[str, str] | None = None
    file: str | None = None
    """Where the file lies, if it comes with the package."""
    column_languages: Mapping[str, str] = field(default_factory=dict)
    """Text column -> language, for files with a column a language."""
    regroup: Callable[[list[Record]], list[Record]] | None = None
    """Joins groups that rows alone cannot tell."""


_FLAG_CODES: Mapping[str, tuple[str, ...]] = {
    "S": ("S12",),
    "S3": ("S4",),
    "H": ("S10",),
    "H2": ("S10", "S1"),
    "V": ("S1",),
    "V2": ("S1",),
    "HR": ("S10",),
    "SH": ("S11",),
}


def convert_openai_moderation(row: RawRow, row_id: str, reading: Reading) -> list[Record]:
    """OpenAI's moderation evaluation set (samples of text with flags).

    Traps: (1) labels speak of *content*, not of requests: label_sense content. (2) An absent (or
    null) flag is unknown, not 0. With use=training a row without any flag 1 and with an unknown
    flag is dropped as `unknown_label`; with use=evaluation the published rule holds (any flag 1 is
    harmful, else unharmful). (3) S3 is S4: never carried; nor is a row flagged S whose S3 is
    unknown. (4) The taxonomy has no harassment: HR goes to the nearest, S10. (5) No id column:
    ids are row numbers. (6) Texts hold U+2028 and repeat.
    """
    if not any(name in row.values for name in _FLAG_CODES):
        raise RowError("no_flags", "flags", f"flags {', '.join(_FLAG_CODES)}", "none of them",
                       "check that the file is OpenAI's moderation set")  # fmt: skip
    flags = {name: _flag(row.values.get(name), name) for name in _FLAG_CODES}
    raised = [name for name, value in flags.items() if value == 1]
    unknown = [name for name, value in flags.items() if value is None]
    if "S" in raised and "S3" in unknown:
        raise s4_error("S3", "flag S without a known S3")
    if not raised and unknown and not reading.any_flag:
        raise RowError("unknown_label", "flags", "a flag 1, or all eight flags",
                       f"no flag 1 and unknown flags {', '.join(unknown)}",
                       "use: evaluation takes such rows as unharmful", planned=True)  # fmt: skip
    codes = [code for name in raised for code in _FLAG_CODES[name]]
    label = Label.HARMFUL if raised else Label.UNHARMFUL
    text = text_of(row.values, reading.columns.text)
    return [_record(row_id, text, reading, label.value, codes)]


def _flag(value: Any, name: str) -> int | None:
    text = scalar(value)
    if text in ("", "0", "1"):
        return int(text) if text else None
    raise RowError("bad_flag", name, "0, 1 or nothing", shown(value), "repair the flag")


_XSTEST_FAMILIES: Mapping[str, str] = {
    "real_group_nons_discr": "discr",
    "nons_group_real_discr": "discr",
    "privacy_public": "privacy",
    "privacy_fictional": "privacy",
}
_XSTEST_CODES: Mapping[str, tuple[str, ...]] = {
    "contrast_discr": ("S10",),
    "contrast_privacy": ("S7",),
}
_XSTEST_PAIR_STEP = 25


def convert_xstest(row: RawRow, row_id: str, reading: Reading) -> list[Record]:
    """XSTest: safe prompts that look unsafe, each with unsafe contrasts.

    Traps: (1) a contrast pair must stay in one group: rows of the same focus and the same type
    family (`contrast_` stripped) share one; `discr` and `privacy` have several safe types. (2)
    Focus differs in blanks and case within a pair, and once in its words: ids help, since the
    contrast of prompt n is n + 25. (3) Labels are safe/unsafe. (4) No category but by type, and
    only for privacy and discrimination.
    """
    kind = scalar(row.values.get("type"))
    base = kind.removeprefix("contrast_")
    focus = " ".join(scalar(row.values.get("focus")).casefold().split())
    label = label_of(row.values, reading)
    codes = _XSTEST_CODES.get(kind, ()) if label == Label.HARMFUL else ()
    text = text_of(row.values, reading.columns.text)
    record = _record(row_id, text, reading, label, codes)
    family = _XSTEST_FAMILIES.get(base, base)
    return [record._replace(group=f"{family}/{focus}" if focus else row_id)]


def regroup_xstest(records: list[Record]) -> list[Record]:
    """Join the groups of prompts n (safe) and n + 25 (unsafe) of one type family."""
    groups = UnionFind()
    safe = {int(r.id): r for r in records if r.id.isdigit() and r.label == Label.UNHARMFUL}
    for record in records:
        if record.label != Label.HARMFUL or not record.id.isdigit():
            continue
        twin = safe.get(int(record.id) - _XSTEST_PAIR_STEP)
        if twin and twin.group.partition("/")[0] == record.group.partition("/")[0]:
            groups.union(twin.group, record.group)
    return [record._replace(group=groups.find(record.group)) for record in records]


MULTIJAIL_LANGUAGES: Mapping[str, str] = {
    "en": "eng_Latn",
    "zh": "cmn_Hans",
    "it": "ita_Latn",
    "vi": "vie_Latn",
    "ar": "arb_Arab",
    "ko": "kor_Hang",
    "th": "tha_Thai",
    "bn": "ben_Beng",
    "sw": "swh_Latn",
    "jv": "jav_Latn",
}
_MULTIJAIL_CODES: Mapping[str, tuple[str, ...]] = {
    "Adult content": ("S12",),
    "Animal abuse": ("S1",),
    "Bullying & harassment": ("S10",),
    "Child abuse": ("S4",),
    "Conspiracy theories & misinformation": (),
    "Discrimination & injustice": ("S10",),
    "Fraud & deception": ("S2",),
    "Hate speech & offensive language": ("S10",),
    "Non-violent unethical behavior (e.g. lying, cheating, etc.)": (),
    "Other": (),
    "Property crime & vandalism": ("S2",),
    "Self-harm": ("S11",),
    "Sexual exploitation & human trafficking": ("S3",),
    "Soliciting personally identifiable information": ("S7",),
    "Substance abuse & banned substances": ("S2",),
    "Terrorism & organized crime": ("S1",),
    "Theft": ("S2",),
    "Violence & incitement": ("S1",),
    "Weapons": ("S2",),
}


def convert_multijail(row: RawRow, row_id: str, reading: Reading) -> list[Record]:
    """MultiJail: 315 unsafe prompts, one column a language, natively translated.

    Traps: (1) wide: the English column is read; `columns: {text: bn}` reads another, and its
    language follows. (2) Every row is harmful: no false refusals can be measured on it. (3) Tags
    are a Python list written as text; some have no S code. (4) The source's own id is kept, so
    that the same row of another column is of the same family. (5) Child abuse is S4: not carried.
    """
    column = "tags"
    codes: list[str] = []
    for tag in _tags(row.values.get(column), column):
        codes.extend(codes_of(tag, _MULTIJAIL_CODES, column))
    text = text_of(row.values, reading.columns.text)
    return [_record(row_id, text, reading, Label.HARMFUL.value, codes)]


def _tags(value: Any, column: str) -> list[str]:
    if value is None or isinstance(value, list):
        return [scalar(tag) for tag in value or []]
    try:
        tags = ast.literal_eval(value) if value.strip() else []
        if isinstance(tags, list):
            return [scalar(tag) for tag in tags]
    except (ValueError, SyntaxError, AttributeError):
        pass
    raise RowError("unknown_category", column, "a list of tags such as ['Theft']", shown(value),
                   "repair the list")  # fmt: skip


def convert_advbench(row: RawRow, row_id: str, reading: Reading) -> list[Record]:
    """AdvBench behaviours in the HarmBench layout.

    Traps: (1) every row is harmful. (2) Category and Tags are empty in all rows: categories stay
    empty, so the template arm has nothing to say of them. (3) Many near-duplicates: always
    deduplicate. (4) Some rows are of S4 without saying so: `screen.py` drops them.
    """
    return convert_generic(row, row_id, reading)


_STARTER_TEXTS = (("en", ENGLISH), ("es", "spa_Latn"))
AUTHORED = "authored"
"""Translator of the starter pack's Spanish: written by hand beside the English."""


def convert_starter(row: RawRow, row_id: str, reading: Reading) -> list[Record]:
    """The project's own starter pack: one group a line, a harmful prompt and its benign twin.

    Traps: (1) one line gives four prompts: two families (`-h`, `-b`) in English and Spanish, all
    of one group. (2) The group's category is the harmful prompt's; the twin has none.
    """
    records: list[Record] = []
    for side, mark, label in (
        ("harmful", "h", Label.HARMFUL),
        ("benign", "b", Label.UNHARMFUL),
    ):
        prompt = _mapping(row.values.get(side), side)
        codes: Sequence[str] = ()
        if label is Label.HARMFUL:
            codes = _starter_codes(row, prompt)
        records.extend(_starter_pair(f"{row_id}-{mark}", row_id, prompt, label.value, codes, side))
    return records


def _starter_pair(family: str, group: str, prompt: Mapping[str, Any], label: str,
                  codes: Sequence[str], side: str) -> list[Record]:  # fmt: skip
    records = []
    for key, language in _STARTER_TEXTS:
        if key not in prompt:
            raise RowError("missing_field", f"{side}.{key}", "a text", "nothing", "write it")
        original = language == ENGLISH
        records.append(Record(
            id=family, text=text_of(prompt, key), language=language, label=label,
            categories=tuple(codes), family=family, group=group,
            translation_of=None if original else (family, ENGLISH),
            translator=None if original else AUTHORED,
        ))  # fmt: skip
    return records


def _starter_codes(row: RawRow, prompt: Mapping[str, Any]) -> tuple[str, ...]:
    values = {"codes": [row.values.get("category"), *(prompt.get("violations") or [])]}
    return categories_of(values, Reading(Columns(category="codes")))


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise RowError("missing_field", name, "an object with en and es", shown(json.dumps(value)),
                   "write the line like the others of the starter pack")  # fmt: skip


def _record(row_id: str, text: str, reading: Reading, label: str, codes: Sequence[str]) -> Record:
    language = reading.language or ENGLISH
    return Record(row_id, text, language, label, tuple(dict.fromkeys(codes)), row_id, row_id)


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("openai_moderation", "MIT", LabelSense.CONTENT, Columns(text="prompt"),
               convert_openai_moderation),
        Preset("xstest", "CC-BY-4.0", LabelSense.REQUEST,
               Columns(text="prompt", label="label", id="id"), convert_xstest,
               required=("type", "focus"), regroup=regroup_xstest,
               labels={"safe": Label.UNHARMFUL.value, "unsafe": Label.HARMFUL.value}),
        Preset("multijail", "MIT", LabelSense.REQUEST, Columns(text="en", id="id"),
               convert_multijail, required=("tags",), label=Label.HARMFUL.value,
               column_languages=MULTIJAIL_LANGUAGES),
        Preset("advbench", "MIT", LabelSense.REQUEST, Columns(text="Behavior", id="BehaviorID"),
               convert_advbench, label=Label.HARMFUL.value),
        Preset("starter", "Apache-2.0", LabelSense.REQUEST, Columns(text="harmful", id="group"),
               convert_starter, required=("benign", "category"),
               file="builtin:curation/data/starter/groups.jsonl"),
    )
}  # fmt: skip

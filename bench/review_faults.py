"""Real starter rows, copies of them with planted faults, and their signals, measured once."""

import json
import random
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from tools.planted_faults import negated

from whyguard.core.progress import Progress
from whyguard.core.steps import Room
from whyguard.core.tables import Row
from whyguard.curation.langid import LangidConfig, train_classifier
from whyguard.generation.signals.measure import Pair, Tools, measure
from whyguard.generation.signals.names import Signal
from whyguard.generation.signals.words import NUMBER_WORDS
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.apertium import Apertium
from whyguard.generation.translation.backends import BackendConfig, open_backends

SPANISH = "spa_Latn"
LANGUAGES = ("ast_Latn", "arg_Latn", "glg_Latn", "oci_Latn", "cat_Latn")
MEASURED = tuple(signal for signal in Signal if signal not in
                 {Signal.HARM_AGREEMENT, Signal.HARM_SHIFT, Signal.PROMPT_REPEATED,
                  Signal.LENGTH_RATIO_Z})  # fmt: skip
"""Harm needs a judge, which no package ships; the z-score is taken in the batch it belongs to."""
_TAGGER = Path("/usr/share/apertium/apertium-spa-ita")
_WORD = re.compile(r"\w+")
_LONG = 6
_SEED = 11

Values = dict[str, float | None]


class Version(NamedTuple):
    """A row's text, good or faulty, with its signals."""

    text: str
    values: Values


class Material(NamedTuple):
    """Good rows (one a prompt and language, in one order) and what each looks like with a fault.

    `faulty[kind]` maps the places of the rows that can have the fault to their faulty version.
    """

    rows: list[Row]
    good: list[Version]
    faulty: dict[str, dict[int, Version]]


class Texts(NamedTuple):
    """The stored translations of one language beside their Spanish sources, in one order."""

    language: str
    spanish: list[str]
    local: list[str]
    others: list[list[str]]
    """The same prompts in the four relatives."""
    groups: list[str]


def material() -> Material:
    """All rows, faults and signals; round trips, pidgin and negation where Apertium is there."""
    sources, units = _sources(), _memory()
    made = Material([], [], {})
    with tempfile.TemporaryDirectory() as folder:
        tools = _tools(Path(folder), units)
        for language in LANGUAGES:
            texts = _texts(language, sources, units)
            _add(made, texts, sources, _planted(texts), tools)
    return made


def _add(made: Material, texts: Texts, sources: Sequence[Row], planted: Mapping[str, list[str]],
         tools: Tools) -> None:  # fmt: skip
    """Measure good and faulty texts of a language in one go."""
    start, count = len(made.rows), len(sources)
    versions = {"": texts.local, **planted}
    pairs = [
        Pair(source | {"language": texts.language, "text": text}, source)
        for kind in versions
        for source, text in zip(sources, versions[kind], strict=True)
    ]
    found = measure(pairs, MEASURED, tools).values
    columns = {name.value: column for name, column in found.items()}
    done = [Version(str(pair.row["text"]), {name: column[i] for name, column in columns.items()})
            for i, pair in enumerate(pairs)]  # fmt: skip
    made.rows.extend(pair.row for pair in pairs[:count])
    made.good.extend(done[:count])
    for number, kind in enumerate(planted, 1):
        own = done[number * count : (number + 1) * count]
        made.faulty.setdefault(kind, {}).update({
            start + i: version for i, version in enumerate(own)
            if version.text != texts.local[i]
        })  # fmt: skip


def _planted(texts: Texts) -> dict[str, list[str]]:
    """Each kind's faulty texts; a text that stays as it is cannot have that fault."""
    rng = random.Random(_SEED)
    kinds = {
        "relative": [texts.others[i % len(texts.others)][i] for i in range(len(texts.local))],
        "untranslated": list(texts.spanish),
        "half untranslated": [_half(a, b) for a, b in zip(texts.local, texts.spanish, strict=True)],
        "other row": _other_rows(texts, rng),
        "twin": [texts.local[i ^ 1] for i in range(len(texts.local))],
        "truncated": [" ".join(text.split()[: len(text.split()) // 2]) for text in texts.local],
        "clause twice": [_doubled(text) for text in texts.local],
        "swapped words": _swapped(texts.local, rng),
        "dropped number": [_without_number(text, texts.language) for text in texts.local],
    }
    if shutil.which("apertium"):
        kinds["word by word"] = _word_by_word(texts)
        if _TAGGER.is_dir():
            engine = Apertium(SPANISH, texts.language)
            turned = engine.translate(negated(texts.spanish, SPANISH))
            kinds["negated"] = [done.text for done in turned]
    return kinds


def _half(text: str, source: str) -> str:
    words, rest = text.split(), source.split()
    return " ".join(words[: len(words) // 2] + rest[len(rest) // 2 :])


def _doubled(text: str) -> str:
    """The first half of the words once more."""
    words = text.split()
    return " ".join([*words, *words[: len(words) // 2]])


def _other_rows(texts: Texts, rng: random.Random) -> list[str]:
    """Each row has the text of a row of another group."""
    places = range(len(texts.local))
    return [texts.local[rng.choice([j for j in places if texts.groups[j] != texts.groups[i]])]
            for i in places]  # fmt: skip


def _swapped(local: Sequence[str], rng: random.Random) -> list[str]:
    """The two longest words give way to long words of other rows."""
    long = sorted({word for text in local for word in _WORD.findall(text) if len(word) > _LONG})

    def one(text: str) -> str:
        for word in sorted(_WORD.findall(text), key=len)[-2:]:
            text = text.replace(word, rng.choice(long), 1)
        return text

    return [one(text) for text in local]


def _without_number(text: str, language: str) -> str:
    for match in _WORD.finditer(text):
        if match.group().isdecimal() or match.group().lower() in NUMBER_WORDS[language]:
            return " ".join((text[: match.start()] + text[match.end() :]).split())
    return text


def _word_by_word(texts: Texts) -> list[str]:
    """Every word translated alone, as a machine does that knows no sentence."""
    words = sorted({word for text in texts.spanish for word in _WORD.findall(text)})
    done = Apertium(SPANISH, texts.language).translate(words)
    known = {word: found.text for word, found in zip(words, done, strict=True)}
    return [_WORD.sub(lambda match: known[match.group()], text) for text in texts.spanish]


def _sources() -> list[Row]:
    """The pack's Spanish prompts, a harmful one and its benign twin side by side."""
    rows = []
    for item in _lines("curation", "groups.jsonl"):
        for side, label in (("harmful", "harmful"), ("benign", "unharmful")):
            family = f"starter:{item['group']}-{side[0]}"
            rows.append(
                {
                    "prompt_id": f"{family}:{SPANISH}",
                    "family_id": family,
                    "group_id": f"starter:{item['group']}",
                    "language": SPANISH,
                    "text": item[side]["es"],
                    "label": label,
                    "categories": [item["category"]] if label == "harmful" else [],
                }
            )
    return rows


def _memory() -> list[Row]:
    return _lines("generation", "memory.jsonl")


def _lines(part: str, name: str) -> list[Row]:
    path = resources.files(f"whyguard.{part}").joinpath(f"data/starter/{name}")
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def _texts(language: str, sources: Sequence[Row], units: Sequence[Row]) -> Texts:
    stored = {(unit["language"], unit["source"]): unit["text"]
              for unit in units if unit["kind"] == "prompt"}  # fmt: skip
    spanish = [str(row["text"]) for row in sources]
    others = [[stored[code, text] for text in spanish] for code in LANGUAGES if code != language]
    return Texts(language, spanish, [stored[language, text] for text in spanish], others,
                 [str(row["group_id"]) for row in sources])  # fmt: skip


def _tools(folder: Path, units: Sequence[Row]) -> Tools:
    """A language classifier of the pack's rationales, which are no prompt, and the way back."""
    lines: dict[str, list[str]] = {SPANISH: []}
    for unit in units:
        if unit["kind"] == "rationale":
            lines.setdefault(unit["language"], []).append(unit["text"])
            lines[SPANISH].append(unit["source"])
    train_classifier({code: list(dict.fromkeys(texts)) for code, texts in lines.items()},
                     LangidConfig(rows=3000)).save(folder / "langid")  # fmt: skip
    files, scratch, ledger = (folder / name for name in ("files", "scratch", "ledger"))
    room = Room(files, scratch, Progress.silent(), ledger)
    back = (BackendConfig(kind="apertium"),) if shutil.which("apertium") else ()
    return Tools(classifier=str(folder / "langid"),
                 backends=open_backends(back, room, TeacherRuntime()))  # fmt: skip

"""For measure_signals.py: good translations, and copies of them with planted faults."""

import csv
import json
import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.stand_in_judge import half_of

from whyguard.core.tables import Row
from whyguard.generation.signals.measure import Pair
from whyguard.generation.signals.numbers import numbers_of
from whyguard.generation.signals.words import NEGATIONS
from whyguard.generation.translation.apertium import Apertium

_STARTER = "starter:"
ITALIAN, SPANISH, ENGLISH = "ita_Latn", "spa_Latn", "eng_Latn"
STARTER_LANGUAGES = ("arg_Latn", "glg_Latn", "oci_Latn", "cat_Latn", "ast_Latn")
_BINARIES = Path("/usr/share/apertium/apertium-spa-ita")
_FINITE = re.compile(r"<vb\w*>(?:<pron?>)?<(?:pri|pii|ifi|fti|prs|pis|imp|cni|past)>")
_CLITICS = frozenset({"mi", "ti", "si", "ci", "vi", "lo", "la", "li", "le", "gli", "ne", "me", "te",
                      "se", "nos", "os", "los", "las", "les"})  # fmt: skip
_TOKEN = re.compile(r"\^([^/^$]*)/([^$]*)\$")
_WRITTEN = re.compile(r"\w+")
_COPIES = {ENGLISH: "I need {n} copies of it.", SPANISH: "Necesito {n} copias de eso.",
           ITALIAN: "Me ne servono {n} copie."}  # fmt: skip
_SEED = 7
_FIRST_COUNT = 113
"""Three digits: nobody spells such a number out, so that one which is gone is lost."""


class Fault(NamedTuple):
    """A fault planted in good rows: both lists are in one order, row by row."""

    name: str
    good: list[Pair]
    faulty: list[Pair]


class Planted(NamedTuple):
    """A data set with its faults; `facts` are counts for the notes."""

    name: str
    faults: list[Fault]
    facts: dict[str, int]


def multijail(path: Path) -> Planted:
    """MultiJail's English prompts with their native Italian translations."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    ids = [f"multijail:{row['id']}" for row in rows]
    source = [_row(name, name, ENGLISH, row["en"], "harmful")
              for name, row in zip(ids, rows, strict=True)]  # fmt: skip
    native = [row["it"] for row in rows]
    spanish = _texts(Apertium(ENGLISH, SPANISH), [row["en"] for row in rows])
    machine = _texts(Apertium(SPANISH, ITALIAN), spanish)

    def pairs(texts: Sequence[str], of: Sequence[Row] = source) -> list[Pair]:
        return [Pair(_row(row["prompt_id"], row["family_id"], ITALIAN, text, "harmful"), row)
                for row, text in zip(of, texts, strict=True)]  # fmt: skip

    counted = [row | {"text": f"{row['text']} {_copies(ENGLISH, i)}"}
               for i, row in enumerate(source)]  # fmt: skip
    good = pairs(native)
    faults = [
        Fault("wrong language: Spanish", good, pairs(spanish)),
        Fault("wrong language: Vietnamese", good, pairs([row["vi"] for row in rows])),
        Fault("other row's text", good, pairs(_others(native, ids, [0] * len(ids)))),
        Fault("negated intent", good, pairs(negated(native, ITALIAN))),
        Fault("dropped number",
              pairs([f"{t} {_copies(ITALIAN, i)}" for i, t in enumerate(native)], counted),
              pairs([f"{t} {_copies(ITALIAN)}" for t in native], counted)),
        Fault("untranslated", good, pairs([row["en"] for row in rows])),
        Fault("half untranslated", good,
              pairs([_half(t, row["en"]) for t, row in zip(native, rows, strict=True)])),
        Fault("Apertium instead of native", good, pairs(machine)),
    ]  # fmt: skip
    return Planted("MultiJail in Italian", faults, _facts(source))


def starter(groups: Path, memory: Path, languages: Sequence[str], name: str) -> Planted:
    """Starter prompts in Spanish with their stored Apertium translations."""
    sources = _starter_sources(groups)
    stored = {(row["language"], row["source"]): row["text"]
              for row in map(json.loads, memory.read_text("utf-8").strip().split("\n"))
              if row["kind"] == "prompt"}  # fmt: skip
    parts = [_starter_faults(sources, stored, language) for language in languages]
    good = [pair for part in parts for pair in part[0].good]
    merged = []
    for same in zip(*parts, strict=True):
        shared = all(fault.good is part[0].good for fault, part in zip(same, parts, strict=True))
        own = good if shared else [pair for fault in same for pair in fault.good]
        merged.append(Fault(same[0].name, own, [pair for fault in same for pair in fault.faulty]))
    return Planted(name, merged, _facts(sources))


def _starter_sources(groups: Path) -> list[Row]:
    rows = []
    for line in groups.read_text("utf-8").strip().split("\n"):
        item = json.loads(line)
        for side, label in (("harmful", "harmful"), ("benign", "unharmful")):
            group = f"{_STARTER}{item['group']}"
            rows.append(_row(f"{group}-{side[0]}", group, SPANISH, item[side]["es"], label))
    return rows


def _starter_faults(sources: Sequence[Row], stored: dict[tuple[str, str], str], language: str
                    ) -> list[Fault]:  # fmt: skip
    engine = Apertium(SPANISH, language)
    local = [stored[language, row["text"]] for row in sources]
    spanish = [row["text"] for row in sources]
    others = [code for code in STARTER_LANGUAGES if code != language]

    def pairs(texts: Sequence[str], of: Sequence[Row] = sources) -> list[Pair]:
        return [Pair(row | {"language": language, "text": text}, row)
                for row, text in zip(of, texts, strict=True)]  # fmt: skip

    groups = [row["group_id"] for row in sources]
    # the judge must not read texts of the half that it was trained on
    halves = [half_of(group.removeprefix(_STARTER)) for group in groups]
    counted = [row | {"text": f"{row['text']} {_copies(SPANISH, i)}"}
               for i, row in enumerate(sources)]  # fmt: skip
    dropped = _texts(engine, [f"{row['text']} {_copies(SPANISH)}" for row in sources])
    good = pairs(local)
    return [
        Fault("wrong language: relative", good,
              pairs([stored[others[i % len(others)], t] for i, t in enumerate(spanish)])),
        Fault("other row's text", good, pairs(_others(local, groups, halves))),
        Fault("negated intent", good, pairs(_texts(engine, negated(spanish, SPANISH)))),
        Fault("twin's text", good, pairs([local[i ^ 1] for i in range(len(local))])),
        Fault("dropped number", pairs(_texts(engine, [r["text"] for r in counted]), counted),
              pairs(dropped, counted)),
        Fault("untranslated", good, pairs(spanish)),
        Fault("half untranslated", good,
              pairs([_half(t, s) for t, s in zip(local, spanish, strict=True)])),
    ]  # fmt: skip


def negated(texts: Sequence[str], language: str) -> list[str]:
    """Each text with its first negation word removed, or one put before its first finite verb.

    Verbs are found by Apertium's tagger; clitics stay between negation and verb. Where no verb is
    found the negation comes first.
    """
    word = {"ita_Latn": "non", "spa_Latn": "no"}[language]
    return [_negated(text, tokens, word, NEGATIONS[language])
            for text, tokens in zip(texts, _tagged(texts, language), strict=True)]  # fmt: skip


def _negated(text: str, tokens: Sequence[tuple[str, str]], word: str, known: frozenset[str]
             ) -> str:  # fmt: skip
    for match in _WRITTEN.finditer(text):
        if match.group().lower() in known:
            rest = text[match.end() :].lstrip()
            return text[: match.start()] + rest
    places = [match.start() for match in _WRITTEN.finditer(text)]
    end = 0
    for surface, analysis in tokens:
        start = text.find(surface, end)
        if start < 0:
            continue
        end = start + len(surface)
        if _FINITE.search(analysis):
            before = [p for p in places if p < start]
            while before and _word_at(text, before[-1]).lower() in _CLITICS:
                start = before.pop()
            return _inserted(text, start, word)
    return _inserted(text, 0, word)


def _inserted(text: str, place: int, word: str) -> str:
    if place:
        return f"{text[:place]}{word} {text[place:]}"
    return f"{word.capitalize()} {text[:1].lower()}{text[1:]}"


def _word_at(text: str, place: int) -> str:
    match = _WRITTEN.match(text, place)
    return match.group() if match else ""


def _tagged(texts: Sequence[str], language: str) -> list[list[tuple[str, str]]]:
    """(surface, analysis) of each token that the tagger knows."""
    name = {"ita_Latn": "ita-spa", "spa_Latn": "spa-ita"}[language]
    lines = "".join(re.sub(r"[\[\]{}^$/\\@<>*\n]", " ", text) + "\n\n" for text in texts)
    done = lines
    for command in (["lt-proc", f"{_BINARIES}/{name}.automorf.bin"],
                    ["apertium-tagger", "-g", "-p", f"{_BINARIES}/{name}.prob"]):  # fmt: skip
        done = subprocess.run(command, input=done, capture_output=True, text=True, check=True,
                              timeout=120).stdout  # fmt: skip
    found = done.split("\n\n")[: len(texts)]
    return [_TOKEN.findall(line) for line in found]


def _others(texts: Sequence[str], groups: Sequence[str], halves: Sequence[int]) -> list[str]:
    """Each row gets the text of a row of another group and of its own half, no text twice."""
    given = list(texts)
    for half in set(halves):
        at = [i for i, own in enumerate(halves) if own == half]
        for i, j in zip(at, _moved([groups[i] for i in at]), strict=True):
            given[i] = texts[at[j]]
    return given


def _moved(groups: Sequence[str]) -> list[int]:
    """An order of the places in which each comes to one of another group."""
    order = list(range(len(groups)))
    rng = random.Random(_SEED)
    while any(groups[i] == groups[j] for i, j in enumerate(order)):
        clash = [i for i, j in enumerate(order) if groups[i] == groups[j]]
        for i in clash:
            j = rng.randrange(len(order))
            order[i], order[j] = order[j], order[i]
    return order


def _half(text: str, source: str) -> str:
    """The first half of the translation, the second half of the source, in words."""
    words, rest = text.split(), source.split()
    return " ".join(words[: len(words) // 2] + rest[len(rest) // 2 :])


def _copies(language: str, number: int | None = None) -> str:
    sentence = _COPIES[language]
    if number is None:
        return sentence.replace("{n} ", "")
    return sentence.format(n=_FIRST_COUNT + number % 80)


def _texts(engine: Apertium, texts: Sequence[str]) -> list[str]:
    return [done.text for done in engine.translate(texts)]


def _row(name: str, group: str, language: str, text: str, label: str) -> Row:
    return {"prompt_id": name, "family_id": name, "group_id": group, "language": language,
            "text": text, "label": label}  # fmt: skip


def _facts(sources: Sequence[Row]) -> dict[str, int]:
    with_number = sum(bool(numbers_of(row["text"], row["language"])) for row in sources)
    return {"rows": len(sources), "with a number": with_number}

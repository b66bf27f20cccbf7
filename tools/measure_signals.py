"""Measure which planted fault each quality signal sees.

    python -m tools.measure_signals --data ../shared/data [--guard DIR] [--write]

Prints the tables of docs/signals.md (markdown, figures only: the texts stay where they are);
`--write` puts them into the page, between its marks. Needs Apertium with the pairs eng-spa,
spa-ita and those of the starter languages, and the extras langid and generate.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tools.planted_faults import STARTER_LANGUAGES, Fault, Planted, multijail, starter
from tools.stand_in_judge import StandInJudge

from whyguard.core.progress import Progress
from whyguard.core.stats import Indices, group_bootstrap
from whyguard.core.steps import Room
from whyguard.curation.langid import Classifier, train_classifier
from whyguard.curation.langid_builtin import builtin_classifier
from whyguard.generation.signals.harm import Judge, JudgeConfig, Judged, open_judge
from whyguard.generation.signals.measure import Tools, Values, measure
from whyguard.generation.signals.names import Signal
from whyguard.generation.teachers.base import TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig, open_backends
from whyguard.train.metrics import auroc

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/signals.md"
MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
FLORES = ("eng", "spa", "ita", "por", "cat", "oci", "glg", "ast", "swh", "jav", "ind")
PASSWORD = b"multilingual machine translation"  # printed in the zip's own readme, against crawlers
WITHOUT_WAY_BACK = "ast_Latn"
DRAWS = 300
BADNESS: dict[Signal, Callable[[float], float]] = {
    Signal.LANGUAGE_CONFIDENCE: lambda value: -value,
    Signal.SCRIPT_PURITY: lambda value: -value,
    Signal.CODE_SWITCH_SHARE: lambda value: value,
    Signal.COPIED_SHARE: lambda value: value,
    Signal.LENGTH_RATIO_Z: abs,
    Signal.NUMBERS_KEPT: lambda value: -value,
    Signal.PLACEHOLDERS_KEPT: lambda value: -value,
    Signal.GLOSSARY_VIOLATIONS: lambda value: value,
    Signal.NEGATION_SHIFT: abs,
    Signal.ROUND_TRIP_CHRF: lambda value: -value,
    Signal.ROUND_TRIP_OVERLAP: lambda value: -value,
    Signal.HARM_AGREEMENT: lambda value: -value,
    Signal.HARM_SHIFT: abs,
}
"""A signal's value -> a number that is higher where the row is worse."""


class Cell(NamedTuple):
    """AUROC of one signal for one fault; None: null on all rows of one side."""

    value: float | None
    low: float
    high: float
    good: int
    faulty: int
    rows: int
    """Good rows, and as many faulty ones."""


Table = dict[Signal, dict[str, Cell]]


def measured(planted: Planted, tools: Tools) -> Table:
    """One cell a signal and fault."""
    table: Table = {signal: {} for signal in BADNESS}
    good: dict[int, Values] = {}  # most faults share their good rows
    for fault in planted.faults:
        if id(fault.good) not in good:
            good[id(fault.good)] = measure(fault.good, tuple(BADNESS), tools).values
        faulty = measure(fault.faulty, tuple(BADNESS), tools).values
        found = {name: good[id(fault.good)][name] + faulty[name] for name in BADNESS}
        found[Signal.LENGTH_RATIO_Z] = _length_z(fault, tools)
        for signal in BADNESS:
            table[signal][fault.name] = _cell(fault, signal, found[signal])
    return table


def _length_z(fault: Fault, tools: Tools) -> list[float | None]:
    """Among good rows with a tenth of the faulty ones at a time: faults are the exception."""
    wanted, rows = (Signal.LENGTH_RATIO_Z,), len(fault.good)
    values = measure(fault.good, wanted, tools).values[Signal.LENGTH_RATIO_Z]
    size = math.ceil(rows / 10)
    for start in range(0, rows, size):
        batch = [*fault.good, *fault.faulty[start : start + size]]
        values += measure(batch, wanted, tools).values[Signal.LENGTH_RATIO_Z][rows:]
    return values


def _cell(fault: Fault, signal: Signal, values: Sequence[float | None]) -> Cell:
    rows = len(fault.good)
    at = [i for i, value in enumerate(values) if value is not None]
    bad = np.array([BADNESS[signal](value) for value in values if value is not None])
    faulty = np.array([i >= rows for i in at], dtype=bool)
    counts = (int((~faulty).sum()), int(faulty.sum()), rows)
    if 0 in counts[:2]:
        return Cell(None, math.nan, math.nan, *counts)
    pairs = [*fault.good, *fault.faulty]
    groups = [str(pairs[i].row["group_id"]) for i in at]

    def statistic(picked: Indices) -> float:
        return auroc(bad[picked], faulty[picked])

    found = group_bootstrap(groups, statistic, draws=DRAWS, seed=0)
    return Cell(found.value, found.low, found.high, *counts)


def markdown(planted: Planted, table: Table) -> str:
    """The table of one data set; signals that are null everywhere share a line below it."""
    faults = [fault.name for fault in planted.faults]
    facts = ", ".join(f"{count} {what}" for what, count in planted.facts.items())
    lines = [f"### {planted.name}", "", f"{facts}; good and faulty rows of each fault: "
             f"{len(planted.faults[0].good)} and as many.", "",
             "| signal | " + " | ".join(faults) + " |", "|---|" + "--:|" * len(faults)]  # fmt: skip
    nulls = []
    for signal, cells in table.items():
        if all(cell.value is None for cell in cells.values()):
            nulls.append(f"`{signal.value}`")
        else:
            row = [shown(cells[name]) for name in faults]
            lines.append(f"| `{signal.value}` | " + " | ".join(row) + " |")
    lines += ["", f"Null on every row: {', '.join(nulls) or 'none'}."]
    return "\n".join(lines)


def shown(cell: Cell) -> str:
    """`0.98 [0.96, 0.99]`; where some rows were null, the good and faulty ones it rests on."""
    partly = cell.good < cell.rows or cell.faulty < cell.rows
    counts = f" ({cell.good}+{cell.faulty})" if partly else ""
    if cell.value is None:
        return f"null{counts}"
    text = f"{cell.value:.2f} [{cell.low:.2f}, {cell.high:.2f}]{counts}"
    return f"**{text}**" if cell.value >= 0.9 else text


def classifier(data: Path) -> Classifier:
    """A classifier of lines of even index of FLORES, which no row here comes from.

    Aragonese is of FLORES+, post-edited from Apertium output.
    """
    import pyzipper

    texts = {f"{name}_Latn": (data / f"flores200_devtest/{name}_Latn.devtest").read_text("utf-8")
             for name in FLORES}  # fmt: skip
    with pyzipper.AESZipFile(data / "flores_plus_iberian/FLORES+.zip") as archive:
        archive.setpassword(PASSWORD)
        texts["arg_Latn"] = archive.read("FLORES+/devtest/devtest.arg_Latn").decode("utf-8")
    lines = {code: text.strip().split("\n") for code, text in texts.items()}
    return train_classifier({code: items[0::2] for code, items in lines.items()},
                            held_out={code: items[1::2] for code, items in lines.items()},
                            held_out_text="FLORES devtest, odd lines")  # fmt: skip


def by_language(planted: Sequence[Planted], tools: Tools) -> str:
    """The two faults that must be seen, by language, with both classifiers."""
    lines = ["### By language", "",
             "| language | wrong language: `language_confidence` | the same, built-in classifier | "
             "other row's text: `round_trip_overlap` | the same: `round_trip_chrf` |",
             "|---|--:|--:|--:|--:|"]  # fmt: skip
    for item in planted:
        known = item.name in builtin_classifier().languages
        by_name = {fault.name.partition(":")[0]: fault for fault in item.faults}
        wrong, other = by_name["wrong language"], by_name["other row's text"]
        cells = [_one(wrong, Signal.LANGUAGE_CONFIDENCE, tools),
                 _one(wrong, Signal.LANGUAGE_CONFIDENCE, tools._replace(classifier=None))
                 if known else "null",
                 _one(other, Signal.ROUND_TRIP_OVERLAP, tools),
                 _one(other, Signal.ROUND_TRIP_CHRF, tools)]  # fmt: skip
        lines.append(f"| {item.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _one(fault: Fault, signal: Signal, tools: Tools) -> str:
    found = measure([*fault.good, *fault.faulty], (signal,), tools).values[signal]
    return shown(_cell(fault, signal, found))


def judge_quality(planted: Planted, judge: Judge, name: str) -> str:
    """The judge's own AUROC of harmful against unharmful on the starter pack's Spanish."""
    rows = {p.source["prompt_id"]: p.source for p in planted.faults[0].good if p.source}
    texts = [Judged(key, row["family_id"], row["language"], row["text"])
             for key, row in rows.items()]  # fmt: skip
    scores = np.array([np.nan if p is None else p for p in judge.harmful(texts)])
    harmful = np.array([row["label"] == "harmful" for row in rows.values()])
    found = group_bootstrap([row["group_id"] for row in rows.values()],
                            lambda at: auroc(scores[at], harmful[at]), draws=DRAWS)  # fmt: skip
    return (f"The judge of these tables ({name}) tells harmful from unharmful Spanish starter "
            f"prompts with AUROC {found.value:.2f} "
            f"[{found.low:.2f}, {found.high:.2f}].")  # fmt: skip


def room(folder: Path) -> Room:
    """Where backends and the judge may write."""
    for name in ("files", "scratch", "ledger"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Room(folder / "files", folder / "scratch", Progress.silent(), folder / "ledger")


def written(text: str) -> None:
    """Put the tables between the marks of the page."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", "utf-8")


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--guard", help="a trained guard's folder: measures harm preservation")
    parser.add_argument("--guard-languages", nargs="+", default=["eng_Latn"])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = report(options, Path(folder))
    print(text)
    if options.write:
        written(text)


def report(options: argparse.Namespace, folder: Path) -> str:
    """All tables."""
    classifier(options.data).save(folder / "langid")
    place, runtime = room(folder), TeacherRuntime(batch_size=32)
    files = (ROOT / "curation/data/starter/groups.jsonl",
             ROOT / "generation/data/starter/memory.jsonl")  # fmt: skip
    judge: Judge = StandInJudge(files[0])
    languages = ("eng_Latn", "spa_Latn")
    if options.guard:
        languages = tuple(options.guard_languages)
        config = JudgeConfig(model=options.guard, languages=languages)
        judge = open_judge(config, runtime, place)
    direct = BackendConfig(kind="apertium")
    pivot = BackendConfig(kind="apertium", pivot="spa_Latn")
    tools = Tools(classifier=str(folder / "langid"), judge=judge,
                  judge_languages=languages,
                  backends=open_backends([direct], place, runtime))  # fmt: skip
    italian = tools._replace(backends=open_backends([pivot], place, runtime))
    back = [code for code in STARTER_LANGUAGES if code != WITHOUT_WAY_BACK]
    sets = [
        (multijail(options.data / "multijail/MultiJail_shared.csv"), italian),
        (starter(*files, back, "Starter pack: " + ", ".join(back)), tools),
        (starter(*files, [WITHOUT_WAY_BACK], f"Starter pack: {WITHOUT_WAY_BACK}, no way back"),
         tools),
    ]  # fmt: skip
    tables = [markdown(planted, measured(planted, its)) for planted, its in sets]
    each = [starter(*files, [code], code) for code in STARTER_LANGUAGES]
    own = judge_quality(sets[1][0], judge, options.guard or "stand-in")
    return "\n\n".join([*tables, by_language(each, tools), own])


if __name__ == "__main__":
    main()

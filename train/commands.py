"""`whyguard eval`."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from whyguard.core.errors import ConfigError, DataError, fail
from whyguard.core.nearest import suggest
from whyguard.core.progress import Progress
from whyguard.core.text_safety import csv_text
from whyguard.curation.records import GENERIC, Record, Records, read_records

if TYPE_CHECKING:
    from whyguard.train.guard import Guard, LanguageResult
    from whyguard.train.thinking import ScoringMode

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

ModelArg = Annotated[str, typer.Argument(help="A guard's folder, or hf:, path:, pypi: reference.")]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="jsonl, csv, tsv or parquet with columns id, text, language, label, (family).",
    ),
]
ThresholdOption = Annotated[float | None, typer.Option("--threshold", help="P(harmful) from which "
                            "a prompt is caught; default: the guard's own (fixed on dev rows "
                            "by train.evaluate), else 0.5.")]  # fmt: skip
ModeOption = Annotated[str | None, typer.Option(help="no_think, think_greedy, think_k: the verdict "
                       "right after the prompt, or after reasoning; default: as the guard was "
                       "trained.")]  # fmt: skip
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for scores.csv and "
                                                "metrics.json.")]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]


@app.command(name="eval")
def evaluate(
    model: ModelArg,
    data: DataOption,
    threshold: ThresholdOption = None,
    out: OutOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at once.")] = 16,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    mode: ModeOption = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a reasoning.")] = 256,
    samples: Annotated[int, typer.Option(min=1, help="Reasonings a prompt in think_k.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Score a file of labelled prompts with a guard; figures by language.

    Example: whyguard eval workspace/models/explained-seed0 --data prompts.jsonl --out results
    """
    from whyguard.train.guard import DEFAULT_THRESHOLD, by_language, load_guard, score_records
    from whyguard.train.thinking import ScoringMode, Thinking, own_mode

    _check_threshold(threshold)
    asked = None if mode is None else _mode(mode)
    progress = Progress()
    records = _read(data)
    _say_drops(records, progress)
    _check_some(records, data)
    _set_threads(threads)
    guard = load_guard(model, device, progress)
    chosen = asked or own_mode(guard.facts.reasoning)
    thinking = Thinking(chosen, max_new_tokens=max_new_tokens, samples=samples)
    _say_other_mode(chosen, own_mode(guard.facts.reasoning), progress)
    # that is what it was fixed in
    own = guard.facts.threshold if chosen is ScoringMode.NO_THINK else None
    cut, why = _cut(threshold, own, DEFAULT_THRESHOLD)
    found = score_records(guard, records.rows, batch_size, progress, thinking)
    results = by_language(records.rows, found.scores, cut)
    facts = _facts(model, data, guard, records, results, cut, why)
    facts |= {"mode": chosen.value, "closed": round(float(found.closed.mean()), 4)}
    if out is not None:
        _write(out, records.rows, found.scores.tolist(), facts)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _show(results, facts, out)


def _mode(name: str) -> "ScoringMode":
    from whyguard.train.thinking import ScoringMode

    if name not in {mode.value for mode in ScoringMode}:
        fail(ConfigError, where="--mode", expected="a scoring mode", found=f"'{name}'",
             do=suggest(name, [mode.value for mode in ScoringMode]))  # fmt: skip
    return ScoringMode(name)


def _say_other_mode(chosen: "ScoringMode", own: "ScoringMode", progress: Progress) -> None:
    no_think = type(own).NO_THINK
    if (chosen is no_think) != (own is no_think):
        progress.say(f"scored in {chosen.value}; the guard was trained for {own.value}")


def _read(data: Path) -> Records:
    """The rows; without categories, which a guard is not scored on."""
    try:
        return read_records(data, GENERIC.model_copy(update={"category": None}))
    except DataError as error:
        rest, _, hint = str(error).rpartition("to do:")
        if "labels:" not in hint and "columns:" not in hint:
            raise
        do = "prompts belong into the column text, harmful or unharmful into label"
        raise DataError(f"{rest}to do:    {do}") from error


def _check_some(records: Records, data: Path) -> None:
    if not records.rows:
        rules = Counter(drop["rule"] for drop in records.drops).most_common()
        reasons = ", ".join(f"{rule} {count}" for rule, count in rules)
        fail(DataError, where=str(data), expected="at least one row to score",
             found=f"{records.read} rows, none kept" + (f"; dropped: {reasons}" if reasons else ""),
             do="mend or add rows: columns id, text, language, label, (family)")  # fmt: skip


def _cut(given: float | None, own: float | None, default: float) -> tuple[float, str]:
    """The threshold, and where it comes from."""
    if given is not None:
        return given, "from --threshold"
    if own is not None:
        return own, "the guard's own, fixed on dev rows"
    return default, "the default: the guard has none of its own"


def _check_threshold(threshold: float | None) -> None:
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        fail(ConfigError, where="--threshold", expected="a number from 0 to 1",
             found=str(threshold), do="it is compared with P(harmful)")  # fmt: skip


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _say_drops(records: Records, progress: Progress) -> None:
    progress.say(f"read {records.read} rows: {len(records.rows)} kept, {len(records.drops)} "
                 f"dropped; ids from {records.ids}")  # fmt: skip
    for rule, count in Counter(drop["rule"] for drop in records.drops).most_common():
        first = next(drop for drop in records.drops if drop["rule"] == rule)
        progress.say(f"  dropped {count}: {rule}; first {first['where']}: {first['reason']}")


def _facts(
    model: str,
    data: Path,
    guard: "Guard",
    records: Records,
    results: Sequence["LanguageResult"],
    threshold: float,
    threshold_from: str,
) -> dict[str, Any]:
    return {
        "model": model, "revision": guard.loaded.use.revision, "arm": guard.facts.arm,
        "licence": guard.facts.licence, "data": str(data),
        "prompt_template": guard.facts.prompt_template, "threshold": threshold,
        "threshold_from": threshold_from,
        "read": records.read, "kept": len(records.rows),
        "dropped": dict(Counter(drop["rule"] for drop in records.drops)),
        "languages": [result._asdict() for result in results],
    }  # fmt: skip


def _write(out: Path, records: Sequence[Record], scores: Sequence[float],
           facts: Mapping[str, Any]) -> None:  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(
        {"id": [r.id for r in records], "language": [r.language for r in records],
         "group": [r.group for r in records], "label": [r.label for r in records],
         "score": list(scores), "caught": [s >= facts["threshold"] for s in scores]}
    )  # fmt: skip
    (out / "scores.csv").write_text(csv_text(table), "utf-8")
    (out / "metrics.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _show(results: Sequence["LanguageResult"], facts: Mapping[str, Any], out: Path | None) -> None:
    console = Console(highlight=False)
    table = Table(box=None)
    for heading in ("language", "n", "harmful", "groups", "AUROC", "95 %", "recall",
                    "false\nrefusals", "F1\nharmful"):  # fmt: skip
        table.add_column(heading, no_wrap=True)
    for row in results:
        interval = f"{_shown(row.low)}..{_shown(row.high)}"
        table.add_row(row.language, str(row.n), str(row.harmful), str(row.groups),
                      _shown(row.auroc), interval, _shown(row.recall),
                      _shown(row.false_refusal_rate), _shown(row.f1_harmful))  # fmt: skip
    console.print(table)
    console.print(f"mode {facts['mode']}; recall, false refusals and F1 at threshold "
                  f"{facts['threshold']:.4g} ({facts['threshold_from']}); intervals by group "
                  "bootstrap", soft_wrap=True)  # fmt: skip
    if facts["closed"] < 1.0:
        console.print(f"{1 - facts['closed']:.0%} of reasonings did not come to a verdict in their "
                      "tokens and were closed by force", soft_wrap=True)  # fmt: skip
    if out is not None:
        console.print(f"wrote {out / 'scores.csv'} and {out / 'metrics.json'}", soft_wrap=True)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

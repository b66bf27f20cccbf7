"""`whyguard langid train|test`."""

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import language_name
from whyguard.curation.langid import (
    FACTS_FILE,
    UNDETERMINED,
    Classifier,
    Confusion,
    ErrorRate,
    LangidConfig,
    check_languages,
    train_into,
)
from whyguard.curation.langid_builtin import builtin_classifier
from whyguard.curation.langid_files import read_texts

BUILTIN = "builtin"

app = typer.Typer(help="Train and test language identification.", no_args_is_help=True,
                  add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None)  # fmt: skip

TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="LANG=FILE", help="Text of one language, a sentence a line; "
                 "repeat it for each language."),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]


@app.command()
def train(
    text: TextOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the classifier.")] = Path("langid"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of pieces, order and weights.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Train a closed-set classifier on monolingual text and print its held-out confusion table.

    Every tenth different line of each language is held out.

    Example: whyguard langid train --text ast_Latn=ast.txt --text spa_Latn=spa.txt --out my-langid
    """
    texts = read_texts(text or [])
    check_languages(list(texts), "--text")
    if (out / FACTS_FILE).exists():
        fail(ConfigError, where=str(out), expected="a folder without a classifier",
             found=f"{FACTS_FILE}", do="name another folder with --out, or delete it")  # fmt: skip
    started = time.monotonic()
    confusion = train_into(out, texts, LangidConfig(seed=seed))
    seconds = time.monotonic() - started
    classifier = Classifier.load(out)
    if as_json:
        facts = {"model": str(out), "seconds": round(seconds, 1), "lines": classifier.facts.lines}
        typer.echo(json.dumps(facts | _facts(classifier, confusion), indent=2))
        return
    _print(classifier, confusion, "called, held-out lines")
    typer.echo(f"trained in {seconds:.1f} s on {sum(classifier.facts.lines.values())} lines; "
               f"wrote {out}; next: whyguard langid test {out} --text LANG=FILE")  # fmt: skip


@app.command()
def test(
    model: Annotated[str, typer.Argument(help="Folder of a classifier, or 'builtin'.")],
    text: TextOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the confusion table of a classifier on text of known language.

    Example: whyguard langid test builtin --text ast_Latn=ast.txt --text glg_Latn=glg.txt
    """
    texts = read_texts(text or [])
    classifier = builtin_classifier() if model == BUILTIN else Classifier.load(Path(model))
    foreign = sorted(set(texts) - set(classifier.languages))
    if foreign:
        fail(ConfigError, where=f"--text {foreign[0]}=...",
             expected=f"a language of the classifier: {', '.join(classifier.languages)}",
             found=foreign[0], do="leave it out, or train a classifier that has it")  # fmt: skip
    confusion = classifier.confusion(texts)
    if as_json:
        typer.echo(json.dumps({"model": model} | _facts(classifier, confusion), indent=2))
        return
    _print(classifier, confusion, "called")


def _facts(classifier: Classifier, confusion: Confusion) -> dict[str, Any]:
    shares = {code: _number(confusion.right_share(code)) for code in confusion.counts}
    own = {code: _own(classifier.error(code)) for code in classifier.languages}
    return {"languages": list(classifier.languages), "confusion": confusion.counts,
            "right_share": shares, "own_error": own,
            "training_sha256": classifier.facts.training_sha256}  # fmt: skip


def _own(rate: ErrorRate) -> dict[str, Any]:
    return rate.model_dump() | {"share": _number(rate.share)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _print(classifier: Classifier, confusion: Confusion, title: str) -> None:
    none = any(row[UNDETERMINED] for row in confusion.counts.values())
    columns = [code for code in confusion.predicted if code != UNDETERMINED or none]
    table = Table("text of", box=None, title=title, title_justify="left")
    for heading in (*columns, "n", "right", "own error"):
        table.add_column(heading, justify="right")
    for code, row in confusion.counts.items():
        counts = [str(row[column] or ".") for column in columns]
        rate = classifier.error(code)
        own = f"{rate.share:.1%} of {rate.n}" if rate.n else "not held out"
        table.add_row(f"{code} {language_name(code)}", *counts, str(confusion.n(code)),
                      f"{confusion.right_share(code):.1%}", own)  # fmt: skip
    Console(highlight=False).print(table)
    texts = sorted({classifier.error(code).text for code in confusion.counts})
    typer.echo(f"own error = share not recognised, measured on: {'; '.join(texts)}")

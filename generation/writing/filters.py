"""Filters for traces and explanations: each drop names the first rule that was broken."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import Explanation, Prompt, Trace
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import NOT_WRITTEN
from whyguard.curation.langid_builtin import builtin_classifier
from whyguard.generation.grammar import holds_tag

_UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Khmr", "Laoo", "Mymr", "Thai"})
"""Scripts that put no blanks between words."""
_LETTERS_A_WORD = 3

Rule = Callable[[Row], str | None]
"""Says what is wrong with a row, or None."""


class Filter(NamedTuple):
    """A named rule."""

    name: str
    rule: Rule


class Sieved(NamedTuple):
    """Rows that passed, drops, and the yield of each filter by language."""

    rows: list[Row]
    drops: list[dict[str, str]]
    yields: dict[str, dict[str, dict[str, int]]]


def count_words(text: str, language: str) -> int:
    """Words of a text; a third of the letters in scripts that put no blanks between words."""
    if language[4:] in _UNSPACED:
        return sum(map(str.isalpha, text)) // _LETTERS_A_WORD
    return len(text.split())


def repetition(text: str, language: str = ENGLISH) -> float:
    """Share of word trigrams that repeat an earlier one: 0 none, near 1 a loop; 0 under 3 words.

    Scripts that put no blanks between words have trigrams of characters instead.
    """
    words = text.lower().split()
    if language[4:] in _UNSPACED:
        words = list("".join(words))
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1.0 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def sieve(rows: Sequence[Row], filters: Sequence[Filter], name: Callable[[Row], str],
          language: Callable[[Row], str]) -> Sieved:  # fmt: skip
    """Apply the filters in order; a row leaves at the first one it fails."""
    kept: list[Row] = []
    drops: list[dict[str, str]] = []
    yields: dict[str, dict[str, dict[str, int]]] = {
        f.name: {code: {"in": 0, "out": 0} for code in sorted({language(r) for r in rows})}
        for f in filters
    }
    for row in rows:
        for check in filters:
            count = yields[check.name][language(row)]
            count["in"] += 1
            if problem := check.rule(row):
                drops.append(drop(row, name(row), check.name, problem))
                break
            count["out"] += 1
        else:
            kept.append(row)
    return Sieved(kept, drops, yields)


class TextLimits(StepConfig):
    """Bounds that traces and explanations share."""

    min_words: int = Field(default=5, ge=1)
    max_words: int = Field(default=200, ge=1)
    max_repetition: float = Field(default=0.3, ge=0.0, le=1.0)
    check_language: bool = True
    """Only for languages the built-in classifier knows; others are not measurable here."""


def length_rule(limits: TextLimits, field: str, code: Callable[[Row], str]) -> Rule:
    """Word count within the limits."""

    def rule(row: Row) -> str | None:
        count = count_words(row[field], code(row))
        fits = limits.min_words <= count <= limits.max_words
        return None if fits else f"{count} words, allowed {limits.min_words}-{limits.max_words}"

    return rule


def repetition_rule(limits: TextLimits, field: str, code: Callable[[Row], str]) -> Rule:
    """Not a loop."""

    def rule(row: Row) -> str | None:
        share = repetition(row[field], code(row))
        return None if share <= limits.max_repetition else f"repetition {share:.2f}"

    return rule


def language_rule(field: str, code: Callable[[Row], str]) -> Rule:
    """Written in the language it should be, as far as the classifier can tell."""
    classifier = builtin_classifier()

    def rule(row: Row) -> str | None:
        right = classifier.right_language(row[field], code(row))
        return f"not recognised as {code(row)}" if right is False else None

    return rule


def _verdict_rule(labels: dict[str, str]) -> Rule:
    def rule(row: Row) -> str | None:
        label = labels.get(row["prompt_id"], "unknown")
        return None if row["verdict"] == label else f"verdict {row['verdict']}, label {label}"

    return rule


def _category_rule(row: Row) -> str | None:
    named = [code for code in row["violations"] if code in NOT_WRITTEN]
    return f"names {named[0]}, which is never carried" if named else None


def _tag_rule(field: str) -> Rule:
    return lambda row: "holds a tag of the grammar" if holds_tag(row[field]) else None


def _english(row: Row) -> str:
    return ENGLISH


def _own(row: Row) -> str:
    return str(row["language"])


def run_traces(inputs: Inputs, config: TextLimits, runtime: Runtime, room: Room) -> StepResult:
    """Keep traces whose verdict is the label and whose thinking is fit to learn from."""
    prompts = inputs["prompts"].rows
    labels = dict(prompts.select("prompt_id", "label").iter_rows())
    filters = [Filter("category", _category_rule),
               Filter("verdict", _verdict_rule(labels)),
               Filter("length", length_rule(config, "think", _english)),
               Filter("repetition", repetition_rule(config, "think", _english))]  # fmt: skip
    if config.check_language:
        filters.append(Filter("language", language_rule("think", _english)))
    rows = inputs["traces"].rows.to_dicts()
    done = sieve(rows, filters, lambda row: f"{row['prompt_id']}#{row['sample']}", _english)
    return _result(Trace, done, len(rows))


def run_explanations(inputs: Inputs, config: TextLimits, runtime: Runtime, room: Room
                     ) -> StepResult:  # fmt: skip
    """Keep explanations that are fit to learn from."""
    filters = [Filter("format", _tag_rule("text")),
               Filter("length", length_rule(config, "text", _own)),
               Filter("repetition", repetition_rule(config, "text", _own))]  # fmt: skip
    if config.check_language:
        filters.append(Filter("language", language_rule("text", _own)))
    rows = inputs["explanations"].rows.to_dicts()
    done = sieve(rows, filters, lambda row: f"{row['prompt_id']}:{row['language']}", _own)
    return _result(Explanation, done, len(rows))


def _result(schema: Any, done: Sieved, read: int) -> StepResult:
    notes = {"yield": done.yields}
    return StepResult(frame(schema, done.rows), drops_frame(done.drops), notes=notes, read=read)


FILTER_TRACES = Step(
    name="generation.filter_traces",
    version="1",
    summary="filtering traces",
    config=TextLimits,
    inputs={"traces": Trace, "prompts": Prompt},
    output=Trace,
    run=run_traces,
)
FILTER_EXPLANATIONS = Step(
    name="generation.filter_explanations",
    version="2",
    summary="filtering explanations",
    config=TextLimits,
    inputs={"explanations": Explanation},
    output=Explanation,
    run=run_explanations,
)

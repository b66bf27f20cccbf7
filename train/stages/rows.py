"""Examples as tokenized rows of SFT, and why some are left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import polars as pl

from whyguard.core.errors import DataError, fail
from whyguard.core.tables import drop
from whyguard.core.values import Arm, Label, Reasoning, Split
from whyguard.generation.grammar import holds_tag
from whyguard.generation.guard.prompts import PromptTemplate, prompt_template
from whyguard.generation.guard.scoring import encode_prompt
from whyguard.train.segments import (
    ARM_COLUMN,
    Encoded,
    arm_segments,
    encode_row,
    missing_column,
    reasoning_segment,
)


class Rules(Protocol):
    """What of a config decides which rows there are and how they read."""

    @property
    def arm(self) -> Arm: ...  # noqa: D102
    @property
    def compare(self) -> tuple[Arm, ...]: ...  # noqa: D102
    @property
    def languages(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def prompt(self) -> str: ...  # noqa: D102
    @property
    def max_length(self) -> int: ...  # noqa: D102
    @property
    def explanation_weight(self) -> float: ...  # noqa: D102
    @property
    def missing(self) -> str: ...  # noqa: D102
    @property
    def reasoning(self) -> Reasoning: ...  # noqa: D102
    @property
    def reasoning_weight(self) -> float: ...  # noqa: D102


class Prepared(NamedTuple):
    """Rows in table order, tokenized; and what was left out."""

    table: pl.DataFrame
    rows: list[Encoded]
    drops: list[dict[str, str]]


def prepare_rows(examples: pl.DataFrame, rules: Rules, tokenizer: Any, where: str = "train.sft",
                 split: Split = Split.TRAIN) -> Prepared:  # fmt: skip
    """Tokenize the rows of a split in the rules' arm; no languages means all.

    Raises:
        DataError: not both labels are left, or a row lacks an explanation or reasoning that is
            asked for and `missing` is `error`.
    """
    chosen = examples.filter(pl.col("split") == split.value)
    if rules.languages:
        chosen = chosen.filter(pl.col("language").is_in(rules.languages))
    template = prompt_template(rules.prompt)
    arms = (rules.arm, *(arm for arm in rules.compare if arm != rules.arm))
    kept, rows, drops = [], [], []
    for number, row in enumerate(chosen.to_dicts()):
        reason = _unusable(row, arms, rules, tokenizer, template, where)
        if reason is None:
            kept.append(number)
            rows.append(_encode(row, rules.arm, rules, tokenizer, template))
        else:
            drops.append(drop(row, row["example_id"], *reason))
    if not rows or len(set(chosen[kept]["label"])) < len(Label):
        asked = ", ".join(rules.languages) or "any language"
        fail(DataError, where=f"{where}: input examples",
             expected=f"harmful and unharmful {split.value} rows in {asked}",
             found=f"{len(rows)} usable of {chosen.height} rows{told_drops(drops)}",
             do="check the languages and the split of the dataset, and max_length")  # fmt: skip
    return Prepared(chosen[kept], rows, drops)


def told_drops(drops: Sequence[Mapping[str, str]]) -> str:
    """Why rows were dropped, for a message."""
    rules = Counter(each["rule"] for each in drops).most_common()
    told = ", ".join(f"{rule} {count}" for rule, count in rules)
    return f"; dropped: {told}" if told else ""


def _unusable(row: Mapping[str, Any], arms: Sequence[Arm], rules: Rules, tokenizer: Any,
              template: PromptTemplate, where: str) -> tuple[str, str] | None:  # fmt: skip
    if rules.reasoning is not Reasoning.NONE:
        reason = _no_reasoning(row, rules, where)
        if reason is not None:
            return reason
    for arm in arms:
        column = missing_column(arm, row)
        if column is not None and rules.missing == "error":
            fail(DataError, where=f"{where}: example {row['example_id']}",
                 expected=f"a text in '{ARM_COLUMN[arm]}' (arm {arm}) of each harmful row",
                 found="null", do="write the explanation, or set missing: drop (and the same "
                 "compare: in every arm, so that all see the same rows)")  # fmt: skip
        if column is not None:
            return "no_explanation", f"arm {arm} needs column {column}"
        source = ARM_COLUMN[arm]
        if source is not None and holds_tag(row[source] or ""):
            return "tag_in_explanation", "the explanation holds a tag of the grammar"
        length = len(_encode(row, arm, rules, tokenizer, template).input_ids)
        if length > rules.max_length:
            return "too_long", f"{length} tokens in arm {arm}, at most {rules.max_length}"
    return None


def _encode(row: Mapping[str, Any], arm: Arm, rules: Rules, tokenizer: Any,
            template: PromptTemplate) -> Encoded:  # fmt: skip
    prompt = encode_prompt(tokenizer, template, row["text"])
    segments = arm_segments(arm, row, rules.explanation_weight)
    if rules.reasoning is not Reasoning.NONE:
        segments.insert(0, reasoning_segment(row, rules.reasoning_weight))
    return encode_row(tokenizer, prompt, segments)


def _no_reasoning(row: Mapping[str, Any], rules: Rules, where: str) -> tuple[str, str] | None:
    think = (row["think"] or "").strip()
    if not think and rules.missing == "error":
        fail(DataError, where=f"{where}: example {row['example_id']}",
             expected=f"a trace in 'think' of each row (reasoning {rules.reasoning})", found="null",
             do="write traces (generation.trace), or set missing: drop")  # fmt: skip
    if not think:
        return "no_reasoning", "the row has no trace in column think"
    return ("tag_in_reasoning", "the trace holds a tag") if holds_tag(think) else None

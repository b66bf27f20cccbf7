"""A training row as weighted segments: the verdict weighs the same in every arm.

A completion is the reasoning (where one is taught), the verdict, then (for some arms and rows) the
explanation, then the end token. Weights of the verdict's tokens sum to 1 whatever stands around
it; those of the reasoning's and the explanation's sum to weights of their own whatever their
length; the end token weighs `END_WEIGHT` in every arm.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from whyguard.core.errors import ConfigError, fail
from whyguard.core.values import Arm, Label
from whyguard.generation.grammar import (
    EXPLANATION_CLOSE,
    EXPLANATION_OPEN,
    TAGS,
    render_explanation,
    render_judge,
    render_reasoning,
)
from whyguard.generation.guard.prompts import PromptTemplate
from whyguard.generation.guard.scoring import encode_pieces

END_WEIGHT = 0.1
IGNORED = -100
"""Label of positions without loss (the convention of transformers)."""

ARM_COLUMN: dict[Arm, str | None] = {
    Arm.REFUSAL_ONLY: None,
    Arm.EXPLAINED: "explanation",
    Arm.EXPLAINED_TEMPLATE: "explanation_template",
}
"""The column of an Example row that an arm's explanation comes from."""


_TAGS = re.compile(f"({'|'.join(map(re.escape, sorted(TAGS)))})")


class Segment(NamedTuple):
    """A stretch of a completion. Each piece is tokenized alone, so that tags never merge with
    text and are the same tokens in training, scoring and forced prefixes."""

    pieces: tuple[str, ...]
    weight: float


class Encoded(NamedTuple):
    """A tokenized row: ids, labels (IGNORED in the prompt) and loss weights, each of length T."""

    input_ids: list[int]
    labels: list[int]
    loss_weights: list[float]


def missing_column(arm: Arm, row: Mapping[str, Any]) -> str | None:
    """The column that `arm` needs and a harmful row lacks, or None."""
    column = ARM_COLUMN[arm]
    if column is None or row["label"] != Label.HARMFUL.value:
        return None
    return None if (row[column] or "").strip() else column


def arm_segments(arm: Arm, row: Mapping[str, Any], explanation_weight: float) -> list[Segment]:
    """The segments of a row's completion in an arm (without the end token)."""
    segments = [Segment((render_judge(row["label"]),), 1.0)]
    column = ARM_COLUMN[arm]
    if column is not None and row["label"] == Label.HARMFUL.value:
        segments.append(Segment(explanation_pieces(row[column]), explanation_weight))
    return segments


def explanation_pieces(text: str) -> tuple[str, str, str]:
    """Tag, text, tag.

    Raises:
        DataError: the text is blank or holds a tag of the grammar.
    """
    inner = render_explanation(text).removeprefix(EXPLANATION_OPEN)
    return EXPLANATION_OPEN, inner.removesuffix(EXPLANATION_CLOSE), EXPLANATION_CLOSE


def reasoning_segment(row: Mapping[str, Any], weight: float) -> Segment:
    """Thinking and violations of a row, each tag a piece of its own: prompts may end with one.

    Raises:
        DataError: the thinking is blank or holds a tag of the grammar, or a category is unknown.
    """
    categories = tuple(row["categories"] or ()) if row["label"] == Label.HARMFUL.value else ()
    text = render_reasoning(row["think"] or "", categories)
    return Segment(tuple(piece for piece in _TAGS.split(text) if piece), weight)


def encode_row(tokenizer: Any, prompt_ids: list[int], segments: Iterable[Segment]) -> Encoded:
    """Prompt, segments and end token; a segment's weight is spread evenly over its tokens.

    Raises:
        ConfigError: the tokenizer has no end token.
    """
    if tokenizer.eos_token_id is None:
        fail(ConfigError, where="tokenizer of the model", expected="an end token (eos_token)",
             found="none", do="set eos_token in its tokenizer_config.json: a guard must be able "
             "to end")  # fmt: skip
    ids, weights = list(prompt_ids), [0.0] * len(prompt_ids)
    for segment in segments:
        tokens = encode_pieces(tokenizer, segment.pieces)
        ids += tokens
        weights += [segment.weight / len(tokens)] * len(tokens)
    ids.append(tokenizer.eos_token_id)
    weights.append(END_WEIGHT)
    start = len(prompt_ids)
    return Encoded(ids, [IGNORED] * start + ids[start:], weights)


def corpus_texts(rows: Iterable[Mapping[str, Any]], template: PromptTemplate) -> list[str]:
    """Every text that training and evaluation on `rows` will tokenize: what trimming must keep."""
    texts = [template.render(""), template.before, template.after, EXPLANATION_OPEN,
             EXPLANATION_CLOSE, *(render_judge(label) for label in Label)]  # fmt: skip
    columns = ("explanation", "explanation_template")
    for row in rows:
        texts.append(template.render(row["text"]))
        texts += [row[name].strip() for name in columns if row[name]]
    return texts

"""Row schemas: what every part hands to the next, stored as parquet and checked on both ends."""

import dataframely as dy
import polars as pl

from whyguard.core.values import (
    CATEGORY_CODES,
    UNDECIDED,
    Label,
    LabelSense,
    Purpose,
    ReplyKind,
    ReviewKind,
    Rule,
    Split,
)

LANGUAGE_PATTERN = r"^[a-z]{3}_[A-Z][a-z]{3}$"
_LABELS = [value.value for value in Label]
_SENSES = [value.value for value in LabelSense]


def signals_column() -> dy.List:
    """A list of named measurements; a null value means 'not measurable here'."""
    return dy.List(
        dy.Struct({"name": dy.String(), "value": dy.Float64(nullable=True)}), nullable=False
    )


def categories_column() -> dy.List:
    """A list of S1..S14 codes."""
    return dy.List(dy.Enum(CATEGORY_CODES), nullable=False)


def revisions_column() -> dy.List:
    """What people changed in a row, oldest first.

    `before` is the value that was there, `by` the pseudonyms whose answers made the new one, `rule`
    how they decided, `item` the review item, `at` when the last of the answers was given.
    """
    return dy.List(
        dy.Struct(
            {
                "field": dy.String(),
                "before": dy.String(nullable=True),
                "by": dy.List(dy.String(), nullable=False),
                "rule": dy.String(),
                "item": dy.String(),
                "at": dy.Datetime(time_zone="UTC"),
            }
        ),
        nullable=False,
    )


class Prompt(dy.Schema):
    """One prompt in one language.

    A family is all translations of one source prompt; a group is a family, its contrast twin and
    its near-duplicate cluster: the unit of splitting, decontamination and bootstrap.
    """

    prompt_id = dy.String(primary_key=True, min_length=1)
    family_id = dy.String(min_length=1)
    group_id = dy.String(min_length=1)
    source = dy.String(min_length=1)
    source_row = dy.String(min_length=1)
    licence = dy.String(min_length=1)
    language = dy.String(regex=LANGUAGE_PATTERN)
    text = dy.String(min_length=1)
    label = dy.Enum(_LABELS)
    label_sense = dy.Enum(_SENSES)
    categories = categories_column()
    split = dy.Enum([value.value for value in Split], nullable=True)
    translation_of = dy.String(nullable=True)
    translator = dy.String(nullable=True)
    edits = dy.List(dy.String(), nullable=False)
    signals = signals_column()


class Trace(dy.Schema):
    """One English reasoning sample for a prompt. `tokens` counts generated tokens.

    `logprob` is the natural log-probability of the verdict's tokens. `vote_share` is the share of
    this verdict, and `entropy` (bits) the spread of verdicts, among the prompt's samples that could
    be read; both are null where there was one sample.
    """

    prompt_id = dy.String(primary_key=True, min_length=1)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0)
    text = dy.String()
    think = dy.String()
    violations = categories_column()
    verdict = dy.Enum(_LABELS)
    generator = dy.String(min_length=1)
    seed = dy.Int64(nullable=True)
    logprob = dy.Float64(nullable=True)
    vote_share = dy.Float64(nullable=True, min=0.0, max=1.0)
    entropy = dy.Float64(nullable=True, min=0.0, max=1.0)
    tokens = dy.Int64(nullable=True)
    call_id = dy.String(nullable=True)


class Explanation(dy.Schema):
    """One rationale for a prompt in one language; `translation_of` is set on translated ones."""

    prompt_id = dy.String(primary_key=True, min_length=1)
    language = dy.String(primary_key=True, regex=LANGUAGE_PATTERN)
    text = dy.String(min_length=1)
    trace_id = dy.String(nullable=True)
    generator = dy.String(min_length=1)
    translation_of = dy.String(nullable=True)
    translator = dy.String(nullable=True)
    signals = signals_column()


class Reply(dy.Schema):
    """One answer of an assistant to a prompt: a refusal, or a helpful answer to a benign prompt."""

    prompt_id = dy.String(primary_key=True, min_length=1)
    language = dy.String(primary_key=True, regex=LANGUAGE_PATTERN)
    kind = dy.Enum([value.value for value in ReplyKind])
    text = dy.String(min_length=1)
    generator = dy.String(min_length=1)
    translation_of = dy.String(nullable=True)
    translator = dy.String(nullable=True)
    signals = signals_column()


class ReviewItem(dy.Schema):
    """One thing that people are asked about: a row of a version, blind or with its rationale.

    `item_id` holds a hash of what is shown: an answer speaks of that text and no other. `wanted` is
    the number of people who are to answer. `risk` is the calibrated probability that the row is
    wrong, `reason` says in words what raised it; `weight` is the inverse of the probability with
    which the row was chosen. `pool` is the size of the frozen pool that an audit item was drawn
    from. `suggest` says whether the machine's own text may be offered as an answer.
    """

    item_id = dy.String(primary_key=True, min_length=1)
    example_id = dy.String(min_length=1)
    family_id = dy.String(min_length=1)
    group_id = dy.String(min_length=1)
    split = dy.Enum([value.value for value in Split])
    language = dy.String(regex=LANGUAGE_PATTERN)
    kind = dy.Enum([value.value for value in ReviewKind])
    purpose = dy.Enum([value.value for value in Purpose])
    wanted = dy.Int32(min=1)
    text = dy.String(min_length=1)
    label = dy.Enum(_LABELS)
    categories = categories_column()
    source_language = dy.String(nullable=True, regex=LANGUAGE_PATTERN)
    source_text = dy.String(nullable=True)
    rationale = dy.String(nullable=True)
    think = dy.String(nullable=True)
    translator = dy.String(nullable=True)
    rationale_generator = dy.String(nullable=True)
    suggest = dy.Bool()
    gold = dy.Enum(_LABELS, nullable=True)
    risk = dy.Float64(nullable=True, min=0.0, max=1.0)
    reason = dy.String()
    weight = dy.Float64(nullable=True, min=1.0)
    pool = dy.Int64(nullable=True, min=1)
    round_ = dy.Int32(alias="round", min=1)


class Review(dy.Schema):
    """One answer of one annotator (a pseudonym) to one question on one item.

    `value` is a label, a rating as text, a JSON list of labels (sorted), or text. `blind` is true
    where nothing that was shown, then or before, gave a machine's opinion away.
    """

    item_id = dy.String(primary_key=True, min_length=1)
    question = dy.String(primary_key=True, min_length=1)
    annotator = dy.String(primary_key=True, min_length=1)
    adjudicator = dy.Bool(primary_key=True)
    value = dy.String()
    submitted_at = dy.Datetime(time_zone="UTC")
    had_suggestion = dy.Bool()
    blind = dy.Bool()
    guideline_version = dy.String(min_length=1)


class Decision(dy.Schema):
    """What the answers to one question on one item come to; `value` is null where undecided."""

    item_id = dy.String(primary_key=True, min_length=1)
    question = dy.String(primary_key=True, min_length=1)
    example_id = dy.String(min_length=1)
    language = dy.String(regex=LANGUAGE_PATTERN)
    purpose = dy.Enum([value.value for value in Purpose])
    value = dy.String(nullable=True)
    rule = dy.Enum([value.value for value in Rule])
    annotators = dy.List(dy.String(), nullable=False)
    decided_at = dy.Datetime(time_zone="UTC")

    @dy.rule()
    def undecided_has_no_value(cls) -> pl.Expr:  # noqa: N805 - dataframely's form
        """A value and a rule that decides go together."""
        undecided = pl.col("rule").cast(pl.String).is_in([rule.value for rule in UNDECIDED])
        return undecided == pl.col("value").is_null()


class Example(dy.Schema):
    """One row of a dataset version: arm-neutral columns from which every completion is rendered."""

    example_id = dy.String(primary_key=True, min_length=1)
    family_id = dy.String(min_length=1)
    group_id = dy.String(min_length=1)
    split = dy.Enum([value.value for value in Split])
    language = dy.String(regex=LANGUAGE_PATTERN)
    text = dy.String(min_length=1)
    label = dy.Enum(_LABELS)
    label_sense = dy.Enum(_SENSES)
    categories = categories_column()
    think = dy.String(nullable=True)
    explanation = dy.String(nullable=True)
    explanation_english = dy.String(nullable=True)
    explanation_template = dy.String(nullable=True)
    reply = dy.String(nullable=True)
    source = dy.String(min_length=1)
    source_row = dy.String(min_length=1)
    licence = dy.String(min_length=1)
    translator = dy.String(nullable=True)
    explanation_generator = dy.String(nullable=True)
    explanation_translator = dy.String(nullable=True)
    reply_generator = dy.String(nullable=True)
    reviewed = dy.Bool()
    revisions = revisions_column()
    signals = signals_column()

    @dy.rule()
    def benign_has_no_explanation(cls) -> pl.Expr:  # noqa: N805 - dataframely's form
        """A benign row carries no refusal rationale."""
        return (pl.col("label") == Label.HARMFUL.value) | pl.col("explanation").is_null()


class Score(dy.Schema):
    """One verdict score of one model for one example; `score` is P(harmful) in 0..1."""

    model = dy.String(primary_key=True, min_length=1)
    arm = dy.String(primary_key=True, min_length=1)
    seed = dy.Int64(primary_key=True)
    example_id = dy.String(primary_key=True, min_length=1)
    mode = dy.String(primary_key=True, min_length=1)
    group_id = dy.String(min_length=1)
    split = dy.String(min_length=1)
    language = dy.String(regex=LANGUAGE_PATTERN)
    label = dy.Enum(_LABELS)
    score = dy.Float64(min=0.0, max=1.0)
    explanation = dy.String(nullable=True)
    reference = dy.String(nullable=True)
    signals = signals_column()


class TrainLog(dy.Schema):
    """One logged optimiser step of a training stage; `seconds` since the stage began."""

    step = dy.Int64(primary_key=True, min=0)
    loss = dy.Float64()
    learning_rate = dy.Float64(nullable=True)
    tokens = dy.Int64(nullable=True)
    seconds = dy.Float64(nullable=True)


class Metric(dy.Schema):
    """One figure of a report with its group-bootstrap interval; nulls mean 'not defined here'."""

    name = dy.String(primary_key=True, min_length=1)
    arm = dy.String(primary_key=True, min_length=1)
    language = dy.String(primary_key=True, min_length=1)
    split = dy.String(primary_key=True, min_length=1)
    mode = dy.String(primary_key=True, min_length=1)
    value = dy.Float64(nullable=True)
    low = dy.Float64(nullable=True)
    high = dy.Float64(nullable=True)
    n = dy.Int64(min=0)
    groups = dy.Int64(min=0)


class Dropped(dy.Schema):
    """A row that left the flow: the row itself as JSON, the rule it broke and the reason."""

    row_id = dy.String(min_length=1)
    rule = dy.String(min_length=1)
    reason = dy.String()
    where = dy.String()
    row = dy.String()

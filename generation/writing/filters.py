"""Filters for traces and explanations: each drop names the first rule that was broken."""

from collections.abc import Sequence

from pydantic import Field

from whyguard.core.languages import ENGLISH
from whyguard.core.schemas import Explanation, Prompt, Trace
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepResult, always
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import NOT_WRITTEN, Label
from whyguard.generation.writing.about import About
from whyguard.generation.writing.accept import contradiction, overlap, surplus
from whyguard.generation.writing.rules import (
    LocalLimits,
    TextLimits,
    calls_harmless,
    category_rule,
    copying_rule,
    harmless_rule,
    help_rule,
    in_english,
    language_rule,
    length_rule,
    local_name,
    own_language,
    repetition_rule,
    tag_rule,
    text_rules,
)
from whyguard.generation.writing.sieve import (
    FINE,
    UNMEASURED,
    Filter,
    Finding,
    Rule,
    Sieved,
    Tally,
    bad,
    expect,
    sieve,
)
from whyguard.generation.writing.specificity import Specificity


class TraceLimits(TextLimits):
    """Which traces are accepted, and how many a prompt."""

    keep: int = Field(default=1, ge=1)
    """Accepted traces a prompt, the best first (see `accept.best_first`)."""
    min_vote_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least share of the right verdict among a prompt's readable samples; above 0, a prompt with
    one readable sample has no vote and no trace."""


class ExplanationLimits(LocalLimits):
    """Which explanations are accepted."""

    check_specific: bool = True
    """Each must be nearer to its own prompt than to other prompts of its category."""
    most_others: int = Field(default=8, ge=1)
    """Prompts it is compared with, at most."""


def run_traces(inputs: Inputs, config: TraceLimits, runtime: Runtime, room: Room) -> StepResult:
    """Rejection sampling: keep the best traces whose verdict is the label, fit to learn from."""
    about = About(inputs["prompts"].rows.to_dicts())
    rows = inputs["traces"].rows.to_dicts()
    done = sieve(rows, _trace_filters(config, about), _trace_name, in_english)
    done = _best(done, config.keep, about)
    table = frame(Trace, done.rows)
    notes = {"yield": done.yields, "prompts": prompts_by_label(rows, done.rows, about)}
    return StepResult(table, drops_frame(done.drops), notes=notes, read=len(rows))


def _trace_filters(config: TraceLimits, about: About) -> list[Filter]:
    filters = [Filter("format", tag_rule("think")),
               Filter("category", _carried_rule),
               Filter("verdict", _verdict_rule(about)),
               Filter("contradiction", _contradiction_rule),
               Filter("agreement", _agreement_rule),
               Filter("category_mismatch", _mismatch_rule(about)),
               Filter("consistency", _vote_rule(config.min_vote_share)),
               Filter("length", length_rule(config, "think", in_english)),
               Filter("repetition", repetition_rule(config, "think", in_english))]  # fmt: skip
    if config.check_language:
        filters.append(Filter("language", language_rule("think", in_english)))
    return filters


def _trace_name(row: Row) -> str:
    return f"{row['prompt_id']}#{row['sample']}"


def _carried_rule(row: Row) -> Finding:
    named = [code for code in row["violations"] if code in NOT_WRITTEN]
    return bad(f"names {named[0]}, which is never carried") if named else FINE


def _verdict_rule(about: About) -> Rule:
    def rule(row: Row) -> Finding:
        label = about.label(row["prompt_id"])
        return expect(row["verdict"] == label, f"verdict {row['verdict']}, label {label}")

    return rule


def _contradiction_rule(row: Row) -> Finding:
    return Finding(contradiction(row))


def _agreement_rule(row: Row) -> Finding:
    """Thinking that ends in `harmful` does not call the request harmless."""
    return calls_harmless(row["think"], ENGLISH) if row["verdict"] == Label.HARMFUL else UNMEASURED


def _mismatch_rule(about: About) -> Rule:
    """One category in common is enough: sources name few, a model may see more."""

    def rule(row: Row) -> Finding:
        categories = about.categories(row["prompt_id"])
        if not categories or row["verdict"] != Label.HARMFUL:
            return UNMEASURED
        named = f"names {', '.join(row['violations'])}, not {', '.join(categories)}"
        return expect(overlap(row, categories) > 0, named)

    return rule


def _vote_rule(least: float) -> Rule:
    def rule(row: Row) -> Finding:
        share = row["vote_share"]
        if share is None:
            return UNMEASURED if least == 0 else bad("no vote: one readable sample")
        return expect(share >= least, f"vote share {share:.2f}")

    return rule


def _best(done: Sieved, keep: int, about: About) -> Sieved:
    """The accepted rows without those beyond the best of their prompt (`surplus`)."""
    over = surplus(done.rows, keep, about.categories)
    tally = Tally(["surplus"], map(in_english, done.rows))
    kept, drops = [], list(done.drops)
    for row in done.rows:
        problem = None
        if (row["prompt_id"], row["sample"]) in over:
            problem = f"beyond the best {keep} of its prompt"
            drops.append(drop(row, _trace_name(row), "surplus", problem))
        else:
            kept.append(row)
        tally.note("surplus", in_english(row), Finding(problem))
    return Sieved(kept, drops, done.yields | tally.yields)


def prompts_by_label(before: Sequence[Row], after: Sequence[Row], about: About
                     ) -> dict[str, dict[str, int]]:  # fmt: skip
    """Prompts by label, those with a row before and those with one after."""
    found: dict[str, dict[str, int]] = {}
    for name, rows in (("in", before), ("out", after)):
        for prompt_id in sorted({row["prompt_id"] for row in rows}):
            counts = found.setdefault(about.label(prompt_id), {"in": 0, "out": 0})
            counts[name] += 1
    return dict(sorted(found.items()))


def run_explanations(inputs: Inputs, config: ExplanationLimits, runtime: Runtime, room: Room
                     ) -> StepResult:  # fmt: skip
    """Keep explanations that are fit to learn from.

    Without `prompts` the rules that compare with them are not measurable, and the yields say so.
    """
    prompts = inputs["prompts"].rows.to_dicts() if "prompts" in inputs else []
    about = About(prompts)
    rows = inputs["explanations"].rows.to_dicts()
    done = sieve(rows, _explanation_filters(config, about, prompts), local_name, own_language)
    return StepResult(frame(Explanation, done.rows), drops_frame(done.drops),
                      notes={"yield": done.yields}, read=len(rows))  # fmt: skip


def _explanation_filters(config: ExplanationLimits, about: About, prompts: Sequence[Row]
                         ) -> list[Filter]:  # fmt: skip
    filters = [*text_rules(config),
               Filter("agreement", harmless_rule),
               Filter("category", category_rule(lambda row: about.categories(row["prompt_id"]))),
               Filter("copying", copying_rule(config, about.text))]  # fmt: skip
    if config.check_help:
        filters.append(Filter("help", help_rule))
    if config.check_specific:
        filters.append(Filter("specific", _specific_rule(config, about, prompts)))
    return filters


def _specific_rule(config: ExplanationLimits, about: About, prompts: Sequence[Row]) -> Rule:
    harmful = [row for row in prompts if row["label"] == Label.HARMFUL]
    measure = Specificity(harmful, config.most_others)

    def rule(row: Row) -> Finding:
        family = about.family(row["prompt_id"])
        margin = measure.margin(row["text"], family, row["language"])
        if margin is None:
            return UNMEASURED
        return expect(margin > 0, f"no nearer to its prompt than to others ({margin:+.3f})")

    return rule


FILTER_TRACES = Step(
    name="generation.filter_traces",
    version="2",
    summary="filtering traces",
    config=TraceLimits,
    inputs={"traces": Trace, "prompts": Prompt},
    output=Trace,
    run=run_traces,
    light=always,
)
FILTER_EXPLANATIONS = Step(
    name="generation.filter_explanations",
    version="3",
    summary="filtering explanations",
    config=ExplanationLimits,
    inputs={"explanations": Explanation, "prompts": Prompt},
    output=Explanation,
    run=run_explanations,
    optional=frozenset({"prompts"}),
    light=always,
)

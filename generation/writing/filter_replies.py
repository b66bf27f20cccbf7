"""Step `generation.filter_replies`: a refusal must refuse, a helpful answer must not."""

from pydantic import Field

from whyguard.core.schemas import Prompt, Reply
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepResult, always
from whyguard.core.tables import Row, drops_frame, frame
from whyguard.core.values import Label, ReplyKind
from whyguard.generation.packs.load import load_pack
from whyguard.generation.writing.about import About
from whyguard.generation.writing.copying import repeats
from whyguard.generation.writing.patterns import matches, patterns
from whyguard.generation.writing.rules import (
    LocalLimits,
    copying_rule,
    help_rule,
    local_name,
    own_language,
    text_rules,
)
from whyguard.generation.writing.sieve import UNMEASURED, Filter, Finding, Rule, expect, sieve

_START = 160
"""Characters in which an answer would refuse, if it did."""
_LABELS = {ReplyKind.REFUSAL.value: Label.HARMFUL, ReplyKind.HELPFUL.value: Label.UNHARMFUL}


class ReplyLimits(LocalLimits):
    """Which replies are accepted."""

    min_words: int = Field(default=3, ge=1)


def run(inputs: Inputs, config: ReplyLimits, runtime: Runtime, room: Room) -> StepResult:
    """Keep replies that are fit to learn from."""
    about = About(inputs["prompts"].rows.to_dicts())
    rows = inputs["replies"].rows.to_dicts()
    copying = of_kind(ReplyKind.REFUSAL, copying_rule(config, about.text))
    refusals = [Filter("refuses", refuses_rule), Filter("copying", copying)]
    if config.check_help:
        refusals.append(Filter("help", of_kind(ReplyKind.REFUSAL, help_rule)))
    filters = [Filter("kind", _kind_rule(about)), *text_rules(config), *refusals,
               Filter("answers", of_kind(ReplyKind.HELPFUL, answers_rule)),
               Filter("echo", of_kind(ReplyKind.HELPFUL, _echo_rule(about)))]  # fmt: skip
    done = sieve(rows, filters, local_name, own_language)
    return StepResult(frame(Reply, done.rows), drops_frame(done.drops),
                      notes={"yield": done.yields}, read=len(rows))  # fmt: skip


def of_kind(kind: ReplyKind, rule: Rule) -> Rule:
    """The rule for replies of that kind; others are not measured."""
    return lambda row: rule(row) if row["kind"] == kind else UNMEASURED


def _kind_rule(about: About) -> Rule:
    def rule(row: Row) -> Finding:
        label = about.label(row["prompt_id"])
        return expect(_LABELS[row["kind"]] == label, f"{row['kind']} for a prompt that is {label}")

    return rule


def refuses_rule(row: Row) -> Finding:
    """A refusal says so, in a listed phrase or in the words of the language's pack."""
    if row["kind"] != ReplyKind.REFUSAL:
        return UNMEASURED
    known = _pack_refusals(row["language"])
    if not known and not patterns("refusal", row["language"]):
        return UNMEASURED
    said = any(text in row["text"] for text in known)
    found = said or matches("refusal", row["language"], row["text"])
    return expect(bool(found), "does not say that it declines")


def _pack_refusals(language: str) -> tuple[str, ...]:
    pack = load_pack(language)
    return tuple(pack.wording.refusals) if pack else ()


def answers_rule(row: Row) -> Finding:
    """A helpful answer does not begin by declining.

    The phrases (`declines`) are fewer than those of `refuses`: that something cannot be done, or
    that one is sorry, is a good part of many answers.
    """
    known = _pack_refusals(row["language"])
    if not known and not patterns("declines", row["language"]):
        return UNMEASURED
    said = any(row["text"].startswith(text) for text in known)
    found = said or matches("declines", row["language"], row["text"], _START)
    return expect(not found, "begins by declining")


def _echo_rule(about: About) -> Rule:
    def rule(row: Row) -> Finding:
        prompt = about.text(row)
        if prompt is None:
            return UNMEASURED
        return expect(not repeats(row["text"], prompt), "repeats the prompt")

    return rule


FILTER_REPLIES = Step(
    name="generation.filter_replies",
    version="1",
    summary="filtering replies",
    config=ReplyLimits,
    inputs={"replies": Reply, "prompts": Prompt},
    output=Reply,
    run=run,
    light=always,
)

"""Step `generation.examples`: joins prompts, traces, explanations and replies into version rows."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from whyguard.core.errors import DataError, fail
from whyguard.core.languages import ENGLISH, LanguageCode
from whyguard.core.schemas import Example, Explanation, Prompt, Reply, Trace
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import Row, drop, drops_frame, frame
from whyguard.core.values import Label, ReplyKind
from whyguard.generation.teachers.authored import TEMPLATE_GENERATOR
from whyguard.generation.writing.about import About
from whyguard.generation.writing.accept import best_first

_REPLY_TO = {Label.HARMFUL.value: ReplyKind.REFUSAL, Label.UNHARMFUL.value: ReplyKind.HELPFUL}
_KINDS = {"explanations": "prompt-specific explanations", "templates": "category wording"}


class ExamplesConfig(StepConfig):
    """Which languages become examples, and what a harmful row must carry to be one."""

    languages: tuple[LanguageCode, ...] = Field(min_length=1)
    require_explanation: bool = True
    """Drop harmful rows without an explanation, so that every arm of an ablation has the same
    rows."""
    require_think: bool = False
    """Drop rows without an accepted trace, of both labels, so that arms with reasoning have the
    same rows as arms without."""


class Found(NamedTuple):
    """What is known about families: traces by family, texts by (family, language)."""

    traces: dict[str, Row]
    explanations: dict[tuple[str, str], Row]
    templates: dict[tuple[str, str], Row]
    replies: dict[tuple[str, str], Row]


def run(inputs: Inputs, config: ExamplesConfig, runtime: Runtime, room: Room) -> StepResult:
    """One example a prompt in one of the languages."""
    prompts = inputs["prompts"].rows.to_dicts()
    families = {row["prompt_id"]: row["family_id"] for row in prompts}
    found = Found(
        _traces(inputs, prompts, families),
        _texts(inputs, "explanations", families),
        _texts(inputs, "templates", families),
        _by_family(inputs, "replies", families),
    )
    rows, drops = [], []
    for row in prompts:
        example = _example(row, found)
        problem = _problem(row, example, config)
        if problem is None:
            rows.append(example)
        else:
            drops.append(drop(row, row["prompt_id"], *problem))
    return StepResult(frame(Example, rows), drops_frame(drops), read=len(prompts))


def _problem(row: Row, example: Row, config: ExamplesConfig) -> tuple[str, str] | None:
    if row["split"] is None:
        fail(DataError, where=row["prompt_id"], expected="a split", found="none",
             do="put curation.split before generation.examples")  # fmt: skip
    if row["language"] not in config.languages:
        return "other_language", f"{row['language']} is not among the version's languages"
    harmful = row["label"] == Label.HARMFUL
    if config.require_explanation and harmful and example["explanation"] is None:
        return "no_explanation", f"no accepted explanation in {row['language']}"
    if config.require_think and example["think"] is None:
        return "no_trace", "no accepted trace of its family"
    return None


def _example(row: Row, found: Found) -> Row:
    family, language = row["family_id"], row["language"]
    harmful = row["label"] == Label.HARMFUL
    own = found.explanations.get((family, language)) if harmful else None
    english = found.explanations.get((family, ENGLISH)) if harmful else None
    template = found.templates.get((family, language)) if harmful else None
    trace = found.traces.get(family)
    reply = found.replies.get((family, language))
    if reply and reply["kind"] != _REPLY_TO[row["label"]]:
        reply = None  # a refusal of a harmless prompt, or help with a harmful one
    shared = {name: row[name] for name in row if name in Example.columns()}
    return shared | {
        "example_id": row["prompt_id"],
        "think": trace["think"] if trace else None,
        "explanation": own["text"] if own else None,
        "explanation_english": english["text"] if english else None,
        "explanation_template": template["text"] if template else None,
        "reply": reply["text"] if reply else None,
        "reply_generator": reply["generator"] if reply else None,
        "explanation_generator": own["generator"] if own else None,
        "explanation_translator": own["translator"] if own else None,
        "reviewed": False,
        "revisions": [],
    }


def _traces(inputs: Inputs, prompts: Sequence[Row], families: dict[str, str]) -> dict[str, Row]:
    """The best trace of each family (see `accept.best_first`) that came to the label by itself.

    Traces may come here unfiltered: reasoning towards another verdict is never joined.
    """
    if "traces" not in inputs:
        return {}
    rows = inputs["traces"].rows.to_dicts()
    _check_reasoning(rows)
    about = About(prompts)
    traces: dict[str, Row] = {}
    for row in best_first(rows, about.categories):
        if row["verdict"] == about.label(row["prompt_id"]):
            traces.setdefault(families[row["prompt_id"]], row)
    return traces


def _check_reasoning(rows: Sequence[Row]) -> None:
    """Category wording is never called reasoning: it was written from the label."""
    wrong = sum(row["generator"] == TEMPLATE_GENERATOR for row in rows)
    if wrong:
        fail(DataError, where="generation.examples: input 'traces'", expected="reasoning",
             found=f"{wrong} of {len(rows)} rows are category wording",
             do="write traces with a teacher that reads the request")  # fmt: skip


def _texts(inputs: Inputs, name: str, families: dict[str, str]) -> dict[tuple[str, str], Row]:
    if name in inputs:
        _check_generators(name, inputs[name].rows.to_dicts())
    return _by_family(inputs, name, families)


def _by_family(inputs: Inputs, name: str, families: dict[str, str]) -> dict[tuple[str, str], Row]:
    """Rows of an input by family and language."""
    if name not in inputs:
        return {}
    return {
        (families[row["prompt_id"]], row["language"]): row
        for row in inputs[name].rows.to_dicts()
        if row["prompt_id"] in families
    }


def _check_generators(name: str, rows: Sequence[Row]) -> None:
    """Category wording is never called an explanation, nor the other way round."""
    inputs = ["templates" if row["generator"] == TEMPLATE_GENERATOR else "explanations"
              for row in rows]  # fmt: skip
    wrong = [right for right in inputs if right != name]
    if wrong:
        fail(DataError, where=f"generation.examples: input '{name}'", expected=_KINDS[name],
             found=f"{len(wrong)} of {len(rows)} rows are {_KINDS[wrong[0]]}",
             do=f"give them as input '{wrong[0]}'")  # fmt: skip


EXAMPLES = Step(
    name="generation.examples",
    version="3",
    summary="joining rows into examples",
    config=ExamplesConfig,
    inputs={
        "prompts": Prompt,
        "traces": Trace,
        "explanations": Explanation,
        "templates": Explanation,
        "replies": Reply,
    },
    output=Example,
    run=run,
    optional=frozenset({"traces", "explanations", "templates", "replies"}),
    light=always,
)

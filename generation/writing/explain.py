"""Step `generation.explain`: a rationale for each harmful prompt, in the teacher's languages."""

from pathlib import Path

from whyguard.core.schemas import Explanation, Prompt, Trace
from whyguard.core.steps import Estimate, Inputs, Room, Step, StepResult
from whyguard.core.tables import Row, drops_frame, frame
from whyguard.core.values import Label
from whyguard.curation.taxonomy import category
from whyguard.generation.calls.ask import ask, without_english
from whyguard.generation.teachers.base import Task, TeacherRuntime, open_teacher
from whyguard.generation.teachers.templates import Messages
from whyguard.generation.writing.about import About
from whyguard.generation.writing.accept import best_first
from whyguard.generation.writing.local_texts import LocalTextsConfig, gathered
from whyguard.generation.writing.rules import local_name, own_language
from whyguard.generation.writing.sieve import Filter, Finding, Rule, Sieved, expect, sieve
from whyguard.generation.writing.tasks import build_task, cost, english, light, messages_for

WITH_TRACE, WITHOUT_TRACE = "explanation-2", "explanation-1"
Traces = dict[str, Row]
"""The best accepted trace of each prompt."""


class ExplainConfig(LocalTextsConfig):
    """Which teacher explains, and in which languages."""


def tasks_for(inputs: Inputs, config: ExplainConfig, traces: Traces | None) -> list[Task]:
    """One task a harmful English prompt and language; with traces, only where there is one."""
    return [
        build_task("explanation", row, language, _messages(row, language, config, traces))
        for row in _wanted(inputs, config)
        if traces is None or row["prompt_id"] in traces
        for language in config.languages
    ]


def _wanted(inputs: Inputs, config: ExplainConfig) -> list[Row]:
    return english(inputs["prompts"].rows.to_dicts(), Label.HARMFUL)[: config.limit]


def best_traces(inputs: Inputs) -> Traces | None:
    """The best trace of each prompt that has the verdict `harmful`; None without the input."""
    if "traces" not in inputs:
        return None
    about = About(inputs["prompts"].rows.to_dicts())
    right = [row for row in inputs["traces"].rows.to_dicts() if row["verdict"] == Label.HARMFUL]
    found: Traces = {}
    for row in best_first(right, about.categories):
        found.setdefault(row["prompt_id"], row)
    return found


def _messages(row: Row, language: str, config: ExplainConfig, traces: Traces | None) -> Messages:
    """The teacher may know the verdict here: it is the label of a prompt that is to be refused."""
    if traces is None:
        return messages_for(config, WITHOUT_TRACE, row, language, row["label"])
    trace = traces[row["prompt_id"]]
    rules = ", ".join(f"{code} {category(code).name}" for code in trace["violations"])
    data = {"think": trace["think"], "violations": rules or "none named"}
    return messages_for(config, WITH_TRACE, row, language, row["label"], data)


def run(inputs: Inputs, config: ExplainConfig, runtime: TeacherRuntime, room: Room) -> StepResult:
    """Ask for every rationale; a prompt without one is dropped as `no_explanation`.

    With `traces`, a prompt without an accepted trace is not asked about: `no_trace`. `read` counts
    rationales wanted and harmful families without an English prompt.
    """
    traces = best_traces(inputs)
    tasks = tasks_for(inputs, config, traces)
    untraced = _untraced(inputs, config, traces)
    teacher = open_teacher(config.teacher, runtime, room)

    def build(task: Task, text: str) -> Row:
        trace = (traces or {}).get(task.prompt_id)
        return {"prompt_id": task.prompt_id, "language": task.language, "text": text,
                "trace_id": f"{trace['prompt_id']}#{trace['sample']}" if trace else None,
                "generator": teacher.generator, "signals": []}  # fmt: skip

    done = gathered(ask(teacher, tasks, config.teacher, runtime, room), "no_explanation", build)
    missing = _without_english(inputs)
    drops = drops_frame([*missing, *untraced.drops, *done.drops])
    models = (teacher.use,) if teacher.use else ()
    return StepResult(frame(Explanation, done.rows), drops, models,
                      notes={"yield": untraced.yields | done.yields},
                      read=len(missing) + len(untraced.drops) + len(tasks))  # fmt: skip


def _untraced(inputs: Inputs, config: ExplainConfig, traces: Traces | None) -> Sieved:
    """A drop for each rationale that cannot be asked for, since its prompt has no trace."""
    rows = [{"prompt_id": row["prompt_id"], "language": language}
            for row in _wanted(inputs, config)
            for language in config.languages]  # fmt: skip
    rule = Filter("no_trace", _traced_rule(traces))
    return sieve(rows, [rule] if traces is not None else [], local_name, own_language)


def _traced_rule(traces: Traces | None) -> Rule:
    def rule(row: Row) -> Finding:
        return expect(row["prompt_id"] in (traces or {}), "no accepted trace")

    return rule


def _without_english(inputs: Inputs) -> list[dict[str, str]]:
    rows = inputs["prompts"].rows.to_dicts()
    return without_english([row for row in rows if row["label"] == Label.HARMFUL])


def estimate(inputs: Inputs, config: ExplainConfig, runtime: TeacherRuntime, ledger: Path
             ) -> Estimate:  # fmt: skip
    """Calls, stored answers, tokens and money; while its traces are not there, an upper bound."""
    return cost(tasks_for(inputs, config, best_traces(inputs)), config, runtime, ledger)


EXPLAIN = Step(
    name="generation.explain",
    version="3",
    summary="writing explanations",
    config=ExplainConfig,
    inputs={"prompts": Prompt, "traces": Trace},
    output=Explanation,
    run=run,
    runtime=TeacherRuntime,
    optional=frozenset({"traces"}),
    estimate=estimate,
    estimate_from=frozenset({"prompts"}),
    light=light,
)

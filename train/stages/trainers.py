"""The trainers of SFT, and of DPO and CAO, and how one is made and run.

Imported only by code that trains: it needs torch, transformers, trl, peft and datasets.

Differences from TRL 1.16's SFTTrainer and DPOTrainer: those of `loop.py`; and of DPOTrainer
1. pairs come tokenized; 2. the reference is not run: its log-probabilities come with the batch
(under FSDP, TRL still loads a reference at the start, and lets go of it).
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import warnings
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl import DPOConfig, DPOTrainer, SFTTrainer

from whyguard.core.errors import MissingFileError, fail
from whyguard.core.progress import Progress
from whyguard.train.config import LoraSettings
from whyguard.train.stages.checkpoints import Checkpoint, newest
from whyguard.train.stages.loop import StageLoop, Work
from whyguard.train.stages.plain import teach
from whyguard.train.stages.watch import DEV_LOSS, BestWatch, Measure, StepWatch, is_exhausted

_STANDS_FOR_ROWS = {"prompt": ["-"], "chosen": ["-"], "rejected": ["-"], "input_ids": [[0]],
                    "labels": [[0]]}  # fmt: skip
"""TRL wants a dataset; ours is the plan."""


class SftStageTrainer(StageLoop, SFTTrainer):  # type: ignore[misc]  # trl has no type hints
    """SFTTrainer with the differences of `loop.py`."""


class PreferenceTrainer(StageLoop, DPOTrainer):  # type: ignore[misc]  # trl has no type hints
    """DPOTrainer with the differences of `loop.py` and of this module."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


class Subject(NamedTuple):
    """What is trained."""

    model: Any
    tokenizer: Any
    lora: LoraSettings | None


class Trained(NamedTuple):
    """A finished training: its trainer (the best or last weights in it) and its log."""

    trainer: Any
    history: list[dict[str, Any]]
    best_step: int | None


def make_trainer(subject: Subject, args: Any, work: Work) -> Any:
    """A trainer for this work, the fast path installed in its model."""
    kind = PreferenceTrainer if isinstance(args, DPOConfig) else SftStageTrainer
    rows = Dataset.from_dict(_STANDS_FOR_ROWS)
    set_seed(args.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between trl's and transformers' names
        trainer = kind(
            model=subject.model, args=args, processing_class=subject.tokenizer,
            train_dataset=rows, eval_dataset=rows if work.dev is not None else None,
            peft_config=adapter(subject.lora), data_collator=_as_it_is,
        )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.attach(work)
    teach(trainer.model, share=work.share)
    return trainer


def train(trainer: Any, label: str, patience: int | None, progress: Progress) -> Trained:
    """Train from the newest whole checkpoint, or from the start, to the end."""
    last = last_checkpoint(trainer, trainer.work.key)
    with progress.task(label, len(trainer.work.steps)) as task:
        trainer.add_callback(StepWatch(trainer, task))
        go_on(trainer, last, patience)
    best = trainer.state.best_global_step
    return Trained(trainer, list(trainer.state.log_history), best)


def last_checkpoint(trainer: Any, key: str) -> Checkpoint | None:
    """The newest whole checkpoint of the training with this key, for all processes alike."""
    folder = Path(trainer.args.output_dir)
    with trainer.accelerator.main_process_first():
        return newest(folder, key) if folder.is_dir() else None


def go_on(trainer: Any, last: Checkpoint | None, patience: int | None,
          measure: Measure = DEV_LOSS) -> None:  # fmt: skip
    """Train to the end or an early stop; then the best weights are in, where any were compared.

    Raises:
        MissingFileError: the checkpoint with the best weights is gone.
    """
    trainer.add_callback(BestWatch(patience, measure))
    trainer.add_callback(BestPlace())
    if last is not None and is_exhausted(last.history, patience, measure):
        _go_back(trainer, last.folder)
    else:
        trainer.train(resume_from_checkpoint=str(last.folder) if last else None)
        best_checkpoint(trainer.args, trainer.state)  # transformers goes without, and says nothing


class BestPlace(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """The best weights so far are looked for where they lie now, not where they were written."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint's state names the folder of the run that wrote it."""
        best = best_checkpoint(args, state)
        state.best_model_checkpoint = str(best) if best else None


def best_checkpoint(args: Any, state: Any) -> Path | None:
    """The checkpoint with the best weights; None where none were compared.

    Raises:
        MissingFileError: it is gone.
    """
    if state.best_global_step is None:
        return None
    folder = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
    if not folder.is_dir():
        fail(MissingFileError, where=str(folder), expected="the best weights so far",
             found="no such folder",
             do="put it back, or delete the checkpoints to train anew")  # fmt: skip
    return folder


def adapter(lora: LoraSettings | None) -> Any:
    """PEFT's config of our adapters."""
    if lora is None:
        return None
    return LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", r=lora.r,
                      lora_alpha=lora.alpha, lora_dropout=lora.dropout)  # fmt: skip


def _go_back(trainer: Any, folder: Path) -> None:
    """A training that had stopped early when it was killed: only the best weights are wanted."""
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(folder / "trainer_state.json"))
    best = best_checkpoint(trainer.args, trainer.state)
    if best is not None:
        trainer.state.best_model_checkpoint = str(best)
        trainer._load_best_model()


def _as_it_is(rows: Any) -> Any:
    return rows

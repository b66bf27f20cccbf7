"""What the stages' trainers do differently from TRL's: a mixin that stands before them.

Imported only by code that trains: it needs torch, transformers and accelerate.

Differences from TRL 1.16 (and transformers' Trainer):
1. the loss is an `Objective`, on flat batches through the fast path (`train/fast`);
2. an optimiser step has a fixed number of rows; how many forward passes they take is planned from
   the token budget (`plan.py`), and each row weighs the same whatever pass it is in;
3. rows are taken in the planned order: resuming needs no sampler state;
4. a loss or gradient norm that is not finite stops the training before the optimiser takes it,
   with the ids of the rows; running out of memory says which keys need less;
5. checkpoints are sealed (`checkpoints.py`); no model card of TRL's own is written;
6. the dev loss is the objective's mean over the dev rows, not over batches; its weights do not
   follow schedules.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from whyguard.core.errors import DataError, PartialError, fail
from whyguard.train.fast.batches import Share
from whyguard.train.stages.checkpoints import Seal, rotate, seal
from whyguard.train.stages.objective import Moment, Objective
from whyguard.train.stages.plan import StepPlan

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: the same in all processes."""

    objective: Objective
    steps: Sequence[StepPlan]
    key: str
    """Content key of the training; checkpoints of another one are not resumed."""
    dev: StepPlan | None = None
    """All dev rows, spread like one step."""
    share: bool = True
    """Through the fast path; False: through the model's own forward (`plain.py`)."""
    knobs: tuple[str, ...] = ()
    """What to change where memory runs out, the cheapest first."""


class Pass(NamedTuple):
    """One forward pass of one process."""

    share: Share
    batch: Any


class StepItem(NamedTuple):
    """What a process runs in one optimiser step."""

    number: int
    rows: int
    """Rows of the step, over all processes."""
    passes: tuple[Pass, ...]


class StepItems(Dataset[StepItem]):
    """The steps of one process; batches are laid out when they are asked for."""

    def __init__(self, objective: Objective, steps: Sequence[StepPlan], process: int) -> None:
        self._objective, self._steps, self._process = objective, steps, process

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, number: int) -> StepItem:
        """The passes of one step."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        plan = self._steps[number]
        passes = tuple(Pass(share, self._objective.batch(share.rows))
                       for share in plan.shares[self._process])  # fmt: skip
        return StepItem(number, len(plan.rows), passes)


class Totals(NamedTuple):
    """Sums over all processes of one step or evaluation."""

    loss: float
    metrics: dict[str, float]


class StageLoop:
    """Mixin before a TRL trainer. Call `attach` before `train`."""

    loss_is_scaled_for_ga = True
    work: Work
    # set by transformers' Trainer
    accelerator: Any
    args: Any
    model: Any
    state: Any
    control: Any
    optimizer: Any
    callback_handler: Any
    model_wrapped: Any
    _metrics: dict[str, dict[str, list[float]]]

    def attach(self, work: Work) -> None:
        """Say what is to be done."""
        self.work = work
        self.tokens_seen = 0

    def get_train_dataloader(self) -> Any:
        """One item an optimiser step, this process's passes in it."""
        items = StepItems(self.work.objective, self.work.steps, self.accelerator.process_index)
        return DataLoader(items, batch_size=1, shuffle=False, collate_fn=_only,
                          num_workers=self.args.dataloader_num_workers)  # fmt: skip

    def training_step(self, model: Any, inputs: StepItem, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward over the step's passes; gradients are summed at the last."""
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()
        moment = Moment(inputs.number, len(self.work.steps), inputs.rows)
        sums = _Sums(self.work.objective, self.accelerator.device)
        with self._memory_advice(inputs.passes):
            for number, each in enumerate(inputs.passes):
                with self._summing(model, last=number + 1 == len(inputs.passes)):
                    loss = self._part(model, each, moment, sums)
                    # wrappers average gradients over processes; the parts are to be summed
                    self.accelerator.backward(loss * self.accelerator.num_processes)
        totals = sums.reduced(self.accelerator)
        if not _finite(totals.loss):
            self._stop_at(f"step {inputs.number + 1}", inputs.passes, sums)
        self._note(inputs, totals)
        return torch.tensor(totals.loss, device=self.args.device)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None,
                 metric_key_prefix: str = "eval") -> dict[str, float]:  # fmt: skip
        """Loss and metrics on the dev rows."""
        dev = self.work.dev
        if dev is None:
            fail(DataError, where="evaluation", expected="dev rows", found="none",
                 do="leave evaluate_every out, or give data with a dev split")  # fmt: skip
        model = self.model_wrapped
        model.eval()
        moment = Moment(self.state.global_step, len(self.work.steps), len(dev.rows),
                        evaluating=True)  # fmt: skip
        sums = _Sums(self.work.objective, self.accelerator.device)
        passes = StepItems(self.work.objective, [dev], self.accelerator.process_index)[0].passes
        with torch.no_grad(), self._memory_advice(passes):
            for each in passes:
                self._part(model, each, moment, sums)
        totals = sums.reduced(self.accelerator)
        if not _finite(totals.loss):
            self._stop_at(f"evaluation after step {self.state.global_step}", passes, sums)
        named = {"loss": totals.loss, **totals.metrics}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in named.items()}
        self.log(metrics)  # type: ignore[attr-defined]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control,
                                                         metrics)  # fmt: skip
        model.train()
        return metrics

    def _part(self, model: Any, each: Pass, moment: Moment, sums: "_Sums") -> Tensor:
        batch = each.batch.to(self.accelerator.device)
        part = self.work.objective.part(model, batch, moment)
        loss = part.loss if each.share.counts else part.loss * 0.0
        if each.share.counts:
            sums.add(part.loss.detach(), part.sums, part.counts)
        return loss

    @contextlib.contextmanager
    def _summing(self, model: Any, *, last: bool) -> Iterator[None]:
        """Gradients go from process to process at the last pass only."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
            yield

    @contextlib.contextmanager
    def _memory_advice(self, passes: Sequence[Pass]) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            rows = max((len(each.share.rows) for each in passes), default=0)
            at = f"step {self.state.global_step + 1}, passes of up to {rows} rows"
            fail(PartialError, where=f"training: {at}", expected="enough memory for a pass",
                 found=str(error).strip().split("\n", 1)[0][:160],
                 do="; ".join(self.work.knobs) + "; run again: it goes on from its last "
                 "checkpoint")  # fmt: skip

    def _stop_at(self, at: str, passes: Sequence[Pass], sums: "_Sums") -> None:
        """Name the rows of the pass whose loss is not finite."""
        bad = [each for each, loss in zip((p for p in passes if p.share.counts), sums.losses,
                                          strict=True) if not _finite(float(loss))]  # fmt: skip
        ids = [self.work.objective.name(row) for each in bad for row in each.share.rows]
        shown = ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" * (len(ids) > _SHOWN))
        fail(DataError, where=f"training: {at}", expected="a finite loss",
             found=f"NaN or infinity in a batch of the rows {shown or '(of another process)'}",
             do="look at these rows; else lower learning_rate or max_grad_norm, or use precision: "
             "fp32. The last checkpoint is from before")  # fmt: skip

    def _note(self, item: StepItem, totals: Totals) -> None:
        plan = self.work.steps[item.number]
        self.tokens_seen += sum(self.work.objective.tokens(row) for row in plan.rows)
        for name, value in totals.metrics.items():
            self._metrics["train"][name].append(value)
        self.note("num_tokens", float(self.tokens_seen))

    def note(self, name: str, value: float) -> None:
        """Log a value as it stands at the step that is under way (metrics are averaged)."""
        self._metrics["train"][name] = [value]

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[misc]
        if norm is not None and not _finite(float(norm)):
            rows = self.work.steps[self.state.global_step].rows
            ids = [self.work.objective.name(row) for row in rows]
            fail(DataError, where=f"training: step {self.state.global_step + 1}",
                 expected="a finite gradient", found="NaN or infinity in a step of the rows "
                 f"{', '.join(ids[:_SHOWN])}", do="look at these rows; else lower learning_rate, "
                 "or use precision: fp32")  # fmt: skip
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = Path(self.args.output_dir)
            step = self.state.global_step
            facts = Seal(step=step, key=self.work.key, processes=self.accelerator.num_processes)
            seal(folder / f"checkpoint-{step}", facts)
            rotate(folder, self.state.best_global_step)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the guard's own card is written last."""

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted here: `--dry-run` says what a training costs."""
        return 0


class _Sums:
    """Loss and metrics of a step's passes, on the device until they are all there."""

    def __init__(self, objective: Objective, device: torch.device) -> None:
        self._names, self._device = objective.metrics, device
        self._counts = torch.zeros(len(self._names), dtype=torch.float64)
        self._parts: list[tuple[Tensor, ...]] = []
        self.losses: list[Tensor] = []

    def add(self, loss: Tensor, sums: tuple[Tensor, ...], counts: tuple[int, ...]) -> None:
        """Add a pass."""
        self.losses.append(loss)
        self._parts.append(sums)
        self._counts += torch.tensor(counts, dtype=torch.float64)

    def reduced(self, accelerator: Any) -> Totals:
        """The sums over all processes; the only point where a step waits for the device."""
        width = len(self._names)
        local = [torch.stack([loss.float() for loss in self.losses]).sum()] if self.losses else [
            torch.zeros((), device=self._device)]  # fmt: skip
        for index in range(width):
            column = [part[index].detach().float() for part in self._parts]
            local.append(torch.stack(column).sum() if column else torch.zeros_like(local[0]))
        counts = self._counts.float().to(self._device)
        vector = torch.cat([torch.stack(local), counts])
        values = accelerator.reduce(vector, reduction="sum").tolist()
        metrics = {name: values[1 + i] / max(1.0, values[1 + width + i])
                   for i, name in enumerate(self._names)}  # fmt: skip
        return Totals(values[0], metrics)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "cannot allocate memory")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(sign in text for sign in signs)


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _only(items: list[StepItem]) -> StepItem:
    return items[0]

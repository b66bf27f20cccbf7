"""The trainer of the GRPO stage: TRL's, with a guard's prompts, rollouts and logs.

Imported only by code that trains: it needs torch, transformers, trl, peft and datasets.

Differences from TRL 1.16's GRPOTrainer:
1. a prompt is a guard's (template and text, tags of a prefill tokenized alone), not a chat;
2. completions are written by the decoding loop of `generation.teachers` where that gives what the
   config asks for: rows that have ended leave the batch, what prompts begin with is run once, and
   each completion draws from a stream of its own, seeded by seed, step and place, so that a resumed
   training samples what the uninterrupted one did. Elsewhere (vLLM, FSDP, DeepSpeed, further
   sampling options) TRL's own way is taken;
3. completions may end behind `</judge>`: what follows is cut off and never rewarded. No end token
   is put there, for the model did not choose one. TRL counts such completions as clipped:
   `completions/ended` is the share that ended before `completion_length`, by itself or at the tag;
4. each reward is logged raw and weighted, groups that can teach nothing are counted, and
   completions are written as parquet, by ids and without prompts. TRL's own log of completions
   prints prompts, and stays off;
5. a loss or gradient norm that is not finite stops the training before the optimiser takes it, with
   the ids of the rows; running out of memory says which keys need less;
6. checkpoints are sealed (`checkpoints.py`); no model card of TRL's own is written;
7. an evaluation has one completion a dev prompt, the most probable token by token whatever the
   sampling options say, written by the decoding loop, and the means of its rewards: TRL samples
   groups of them and runs their loss. It draws no random number: training goes on as without it;
8. a training that is resumed in a later epoch takes that epoch's rows: TRL takes the first's again.

Differences from the paper (ConsistentGuard, arXiv 2510.10677): 1. TRL's present loss ("dapo", no
divergence from a reference unless `beta` asks for it) in place of its older one; 2. the rewards of
`train.rewards`; 3. groups of equal rewards are reported.

Resuming is exact (the same next loss on the same machine) where completions are written by the
decoding loop and each batch of them is used by whole optimiser steps, as the stage plans it. With
vLLM or TRL's generation, sampling goes on from the restored random state of this process only. With
`iterations` above 1, a training that is resumed between two steps on the same completions samples
new ones.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from whyguard.core.errors import ConfigError, DataError, PartialError, fail
from whyguard.core.hashing import seed_of
from whyguard.core.progress import Task
from whyguard.generation.guard.prompts import PromptTemplate
from whyguard.generation.teachers.local_decoding import Row, Sampling
from whyguard.train.rewards.score import Rewards
from whyguard.train.sampling import (
    StopAfter,
    guard_prompt_ids,
    ids_up_to,
    write_rows,
)
from whyguard.train.stages.checkpoints import Seal, rotate, seal
from whyguard.train.stages.grpo_dev import dev_means
from whyguard.train.stages.grpo_rewards import (
    ASKED,
    Scorer,
    comparable,
    completion_rows,
    counted,
    write_completions,
)
from whyguard.train.stages.loop import is_out_of_memory

_SHOWN = 8
_SHOWN_REWARDS = {"reward": "reward", "eval_reward": "dev reward"}


@dataclass(frozen=True, slots=True)
class Rollout:
    """How completions are asked for, and where they are written down."""

    template: PromptTemplate
    prefill: str
    stops: bool
    """End behind `</judge>`."""
    rows: int
    """Completions written at once."""
    completions: Path
    """Folder of the log."""
    key: str
    """Content key of the training."""
    knobs: tuple[str, ...]
    """What to change where memory runs out."""


class GuardGrpoTrainer(GRPOTrainer):  # type: ignore[misc]  # trl has no type hints
    """GRPOTrainer with the differences of the module's docstring. Call `attach` before `train`."""

    control: Any  # set by transformers' Trainer

    def attach(self, rollout: Rollout, scorer: Scorer,
               dev: Sequence[Mapping[str, Any]] = ()) -> None:  # fmt: skip
        """Say what is asked, what is rewarded, and which dev rows are evaluated.

        Raises:
            ConfigError: dev rows are to be evaluated where weights are sharded.
        """
        self.rollout, self.scorer, self.dev = rollout, scorer, list(dev)
        if self.dev and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            fail(ConfigError, where="stage grpo: evaluate_every", expected="whole weights in each "
                 "process (one device, or DDP)", found="FSDP or DeepSpeed",
                 do="leave evaluate_every out")  # fmt: skip
        self._asked: list[str] = []
        logging.getLogger(GRPOTrainer.__module__).addFilter(_without_prompts)

    @property
    def decodes(self) -> bool:
        """Whether the decoding loop writes the completions."""
        args = self.args
        plain = (not args.top_k and args.min_p is None and args.repetition_penalty == 1.0
                 and not args.generation_kwargs and args.cache_implementation is None)  # fmt: skip
        return bool(plain and not self.use_vllm and not self.use_transformers_continuous_batching
                    and not self.is_fsdp_enabled and not self.is_deepspeed_enabled)  # fmt: skip

    def _get_train_sampler(self, dataset: Any = None) -> "EpochSampler":
        return EpochSampler(super()._get_train_sampler(dataset), lambda: self.state.epoch or 0.0)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        asked = self.rollout
        ids = [guard_prompt_ids(self._tokenizer, asked.template, text, asked.prefill)
               for text in prompts]  # fmt: skip
        return ids, None, {}

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        """Completions of these prompts as ids, and vLLM's log-probabilities of their tokens."""
        if self.decodes:
            found, logprobs = self._decoded(prompt_ids), None
        else:
            found, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        if self.rollout.stops:
            found = [ids_up_to(self._tokenizer, ids) for ids in found]
        if logprobs is not None:
            logprobs = [each[: len(ids)] for each, ids in zip(logprobs, found, strict=True)]
        self._note_ended(found)
        return found, logprobs

    def _decoded(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        first = self.accelerator.process_index * len(prompt_ids)
        rows = [Row(ids, self._seed(place, ids)) for place, ids in enumerate(prompt_ids, first)]
        return self._written(rows, self.temperature)

    def _written(self, rows: Sequence[Row], temperature: float) -> list[list[int]]:
        """What the decoding loop writes after each prompt."""
        sampling = Sampling(temperature, self.top_p, self.max_completion_length, False,
                            frozenset(self.eos_token_ids))  # fmt: skip
        if self.rollout.stops:
            for row in rows:
                row.follower = StopAfter(self._tokenizer)
        with self._generating() as model, self.compute_loss_context_manager():
            for start in range(0, len(rows), self.rollout.rows):
                write_rows(model, rows[start : start + self.rollout.rows], sampling)
        return [row.ids for row in rows]

    @contextlib.contextmanager
    def _generating(self) -> Iterator[Any]:
        """The model without its wrappers, in evaluation mode."""
        unwrapped = unwrap_model_for_generation(
            self.model_wrapped, self.accelerator,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        )  # fmt: skip
        with unwrapped as found:
            model = found.get_base_model() if hasattr(found, "get_base_model") else found
            training = found.training
            found.eval()
            try:
                yield model
            finally:
                found.train(training)

    def _seed(self, place: int, ids: Sequence[int]) -> int:
        """By place among the completions of all processes: however many share them."""
        return seed_of([self.args.seed, self.state.global_step, place, list(ids)])

    def _note_ended(self, completions: Sequence[Sequence[int]]) -> None:
        ends = set(self.eos_token_ids)
        ended = [bool(ids) and (ids[-1] in ends or len(ids) < self.max_completion_length)
                 for ids in completions]  # fmt: skip
        every = gather_object(ended)
        self._metrics["train"]["completions/ended"].append(sum(every) / max(1, len(every)))

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's, with the log of completions and the count of groups."""
        self._asked = list(dict.fromkeys(row["example_id"] for row in inputs))
        with self._memory_advice("writing completions"):
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        scored = self.scorer.last
        if scored is None:
            return output
        # compared over all processes: a group may be spread over several
        numbers = comparable(gather_object(scored.rewards), self.scorer.weights,
                             self.multi_objective_aggregation)  # fmt: skip
        for name, value in counted(numbers, self.num_generations).items():
            self._metrics["train"][name].append(value)
        table = completion_rows(scored, self.state.global_step + 1,
                                output["completion_mask"].sum(1).tolist(),
                                output["advantages"].tolist(), self.num_generations)  # fmt: skip
        write_completions(self.rollout.completions, table, self.state.global_step + 1,
                          self.accelerator.process_index)  # fmt: skip
        return output

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None,
                 metric_key_prefix: str = "eval") -> dict[str, float]:  # fmt: skip
        """Mean rewards of the dev prompts, which processes share.

        Raises:
            DataError: `attach` was told none.
        """
        if not self.dev:
            fail(DataError, where="evaluation", expected="dev rows", found="none",
                 do="leave evaluate_every out, or give data with a dev split")  # fmt: skip
        self.model_wrapped.eval()
        mine = self.dev[self.accelerator.process_index :: self.accelerator.num_processes]
        with self._memory_advice("writing completions of dev prompts"):
            rewards = self._judged(mine)
        means = dev_means(gather_object(rewards))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control,
                                                         metrics)  # fmt: skip
        self.model_wrapped.train()
        return metrics

    def _judged(self, asked: Sequence[Mapping[str, Any]]) -> list[Rewards]:
        """Rewards of the most probable completion of each row's prompt."""
        prompt_ids, _, _ = self._tokenize_prompts([row["prompt"] for row in asked])
        written = self._written([Row(ids, seed=0) for ids in prompt_ids], temperature=0.0)
        texts = [self.processing_class.decode(ids, skip_special_tokens=True) for ids in written]
        columns = {name: [row[name] for row in asked] for name in ASKED}
        return self.scorer.scored(texts, columns).rewards

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """One forward and backward pass."""
        with self._memory_advice("a forward and backward pass"):
            loss = super().training_step(model, inputs, num_items_in_batch)
        if not bool(torch.isfinite(loss)):
            self._stop_at("loss")
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not bool(torch.isfinite(torch.as_tensor(norm))):
            self._stop_at("gradient")
        return norm

    def _stop_at(self, what: str) -> None:
        shown = ", ".join(self._asked[:_SHOWN])
        more = f" and {len(self._asked) - _SHOWN} more" if len(self._asked) > _SHOWN else ""
        fail(DataError, where=f"training: step {self.state.global_step + 1}",
             expected=f"a finite {what}", found="NaN or infinity in a step of the rows "
             f"{shown}{more}", do="look at these rows; else lower learning_rate or max_grad_norm, "
             "or use precision: fp32. The last checkpoint is from before")  # fmt: skip

    @contextlib.contextmanager
    def _memory_advice(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fail(PartialError, where=f"training: step {self.state.global_step + 1}, {doing}",
                 expected="enough memory", found=str(error).strip().split("\n", 1)[0][:160],
                 do="; ".join(self.rollout.knobs) + "; run again: it goes on from its last "
                 "checkpoint")  # fmt: skip

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            step, folder = self.state.global_step, Path(self.args.output_dir)
            processes = self.accelerator.num_processes
            seal(folder / f"checkpoint-{step}",
                 Seal(step=step, key=self.rollout.key, processes=processes))  # fmt: skip
            rotate(folder, self.state.best_global_step)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the guard's own card is written last."""


class EpochSampler(Sampler[int]):
    """TRL's order of rows, in the epoch that is told when it begins."""

    def __init__(self, sampler: Any, epoch: Callable[[], float]) -> None:
        self._sampler, self._epoch = sampler, epoch

    def __iter__(self) -> Iterator[int]:
        """The order of one epoch: that of an uninterrupted training, which draws one after another.

        Where rows are not shuffled, it is their own.
        """
        if self._sampler.shuffle:
            generator = self._sampler.generator.manual_seed(self._sampler.seed)
            for _ in range(int(self._epoch())):
                torch.randperm(self._sampler.num_samples, generator=generator)
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)


def _without_prompts(record: logging.LogRecord) -> bool:
    """TRL warns of unscored completions with the prompt's text; `groups/unscored` counts them."""
    return "All reward functions returned None" not in record.getMessage()


class RewardBar(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """Shows optimiser steps with rate and time left, and the last mean reward."""

    def __init__(self, task: Task) -> None:
        self._task, self._seen = task, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on counting where a checkpoint stopped."""
        self._task.skip(state.global_step)
        self._seen = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """One step done, or its dev rows evaluated."""
        shown = [f"{word} {logs[name]:.3f}" for name, word in _SHOWN_REWARDS.items()
                 if (logs or {}).get(name) is not None]  # fmt: skip
        self._task.advance(state.global_step - self._seen, ", ".join(shown))
        self._seen = state.global_step

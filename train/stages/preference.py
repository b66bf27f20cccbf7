"""The stages `dpo`, `cao` and `none`: alignment on pairs. Imported only by code that trains.

The maths is `train/cao.py`; rows go through the fast path: the prompt of a pair, and the preamble
of all, run once; the reference is computed once and stored (`train/fast/reference.py`).

Differences from the paper (ConsistentGuard, arXiv 2510.10677): those that `train/cao.py` numbers;
7. the reference is what the stage starts from, stored in the arithmetic of training.
Differences from TRL's DPOTrainer: those of `loop.py` and `trainers.py`; 3. completions are not
ended: where a pair is cut behind the verdict, what follows is left to the model.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whyguard.core.drafts import draft_folder
from whyguard.core.errors import DataError, PartialError, fail
from whyguard.core.hashing import sha256_text
from whyguard.core.progress import Progress
from whyguard.core.tables import drop, drops_frame
from whyguard.core.values import Label
from whyguard.generation.guard.prompts import prompt_template
from whyguard.generation.guard.scoring import harmful_probabilities
from whyguard.generation.models import Loaded, Precision
from whyguard.train.cao import cao_loss
from whyguard.train.config import CaoStage, DpoStage, StageConfig
from whyguard.train.fast.batch import GuardBatch, make_batch
from whyguard.train.fast.head import Frozen
from whyguard.train.fast.install import base_model
from whyguard.train.fast.losses import anchored_logps, row_sums, token_logps
from whyguard.train.fast.reference import (
    Pair,
    Reference,
    States,
    open_reference,
    reference_key,
    remove_reference,
    stored_key,
    write_reference,
)
from whyguard.train.folder import (
    CARD_FILE,
    StageFacts,
    label_strings,
    read_groups,
    write_groups,
    write_guard,
)
from whyguard.train.lam import lam_at
from whyguard.train.pairs import EncodedPair, encode_pairs
from whyguard.train.segments import IGNORED, Encoded
from whyguard.train.stages.arguments import process_state
from whyguard.train.stages.engine import (
    Base,
    Rows,
    guard_facts,
    knobs,
    load_base,
    log_table,
    place,
    told_languages,
    train_stage,
)
from whyguard.train.stages.loop import is_out_of_memory
from whyguard.train.stages.objective import Moment, Part, shared_length
from whyguard.train.stages.plain import teach
from whyguard.train.stages.plan import reference_pairs
from whyguard.train.stages.run import (
    MODEL,
    REFERENCE,
    Outcome,
    StageJob,
    is_first_process,
)

METRICS = ("preference_loss", "margin", "preference_accuracy", "anchor_kl")
_DEV_SHARE = 10
"""One group in so many is held out where dev rows are asked for: pairs come from train rows."""
_DRIFT_PROMPTS = 256


class PairBatch(NamedTuple):
    """B pairs as one flat batch (chosen, rejected, anchors), and the reference's values."""

    batch: GuardBatch
    pairs: int
    anchors: int
    ref_chosen_B: Tensor
    ref_rejected_B: Tensor
    ref_hidden_M_D: Tensor | None

    def to(self, device: torch.device | str) -> "PairBatch":
        """The same on another device."""
        hidden = None if self.ref_hidden_M_D is None else self.ref_hidden_M_D.to(device)
        return PairBatch(self.batch.to(device), self.pairs, self.anchors,
                         self.ref_chosen_B.to(device), self.ref_rejected_B.to(device),
                         hidden)  # fmt: skip


class PreferenceObjective:
    """DPO's loss on pairs; with anchors, CAO's."""

    def __init__(self, pairs: Sequence[Pair], ids: Sequence[str], reference: Reference,
                 head: Frozen, config: DpoStage | CaoStage) -> None:  # fmt: skip
        self._pairs, self._ids, self._reference = pairs, ids, reference
        self._head, self._config = head, config
        self.metrics: tuple[str, ...] = METRICS if isinstance(config, CaoStage) else METRICS[:-1]

    def batch(self, rows: Sequence[int]) -> PairBatch:
        """See Objective."""
        pairs = [self._pairs[row] for row in rows]
        anchors = [pair.anchor for pair in pairs if pair.anchor is not None]
        encoded = [*(p.chosen for p in pairs), *(p.rejected for p in pairs), *anchors]
        logps = self._reference.logps(rows)
        hidden = self._reference.hidden(rows) if anchors else None
        batch = make_batch(encoded, share=self._config.shared_preamble)
        return PairBatch(batch, len(pairs), len(anchors), logps.chosen_B.float(),
                         logps.rejected_B.float(), hidden)  # fmt: skip

    def part(self, model: Any, batch: PairBatch, moment: Moment) -> Part:
        """See Objective."""
        counts, pairs = batch.batch.counts, batch.pairs
        logps_N, kl_B = self._forward(model, batch)
        sums_2B = row_sums(logps_N, counts[: 2 * pairs])
        lengths = torch.tensor(counts[: 2 * pairs], device=logps_N.device)
        normal = self._config.length_normalisation
        found = cao_loss(
            sums_2B[:pairs], sums_2B[pairs:], batch.ref_chosen_B, batch.ref_rejected_B, kl_B,
            self._config.beta, self._lam(moment),
            chosen_lengths_B=lengths[:pairs] if normal else None,
            rejected_lengths_B=lengths[pairs:] if normal else None,
        )  # fmt: skip
        sums = (found.preference * pairs, found.margins_B.sum(), found.accuracy * pairs,
                kl_B.detach().sum())  # fmt: skip
        width = len(self.metrics)
        return Part(found.loss * (pairs / moment.rows), sums[:width], (pairs,) * width)

    def tokens(self, row: int) -> int:
        """See Objective."""
        return sum(len(each.input_ids) for each in self._pairs[row] if each is not None)

    def name(self, row: int) -> str:
        """See Objective."""
        return self._ids[row]

    def _forward(self, model: Any, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the preference rows' tokens, and each pair's anchor KL."""
        if batch.ref_hidden_M_D is None:
            logps_N = token_logps(model, batch.batch)
            return logps_N, logps_N.new_zeros(batch.pairs)
        self._head = Frozen(*(None if t is None else t.to(batch.batch.ids_S.device)
                              for t in self._head))  # type: ignore[arg-type]  # fmt: skip
        found = anchored_logps(model, batch.batch, batch.anchors, batch.ref_hidden_M_D, self._head)
        return found.logps_N, row_sums(found.kl.weighted_N, batch.batch.counts[2 * batch.pairs :])

    def _lam(self, moment: Moment) -> float:
        if not isinstance(self._config, CaoStage):
            return 0.0
        config = self._config
        if moment.evaluating:
            return config.lam
        return lam_at(config.lam_schedule, config.lam, min(moment.step, moment.total),
                      moment.total, config.lam_warmup)  # fmt: skip


class PairRows(NamedTuple):
    """Tokenized pairs, train before dev."""

    rows: Rows
    pairs: list[Pair]
    ids: list[str]


def run_preference_stage(job: StageJob) -> Outcome:
    """DPO or CAO on the job's pairs."""
    config = job.config
    assert isinstance(config, DpoStage | CaoStage)  # noqa: S101 - the table of runners
    base = load_base(job)
    material = pair_material(job, base.loaded.tokenizer)
    teach(base.loaded.model, share=config.shared_preamble)
    reference = stored_reference(job, base, material)
    before = accuracy_before(job, base)
    objective = PreferenceObjective(material.pairs, material.ids, reference,
                                    frozen_head(base.loaded.model), config)  # fmt: skip
    outcome = train_stage(job, base, material.rows, objective, _drift(job, base, before))
    reference.close()
    if config.reference is None and is_first_process():
        remove_reference(job.out / REFERENCE)
    return outcome


def run_none_stage(job: StageJob) -> Outcome:
    """Pass the model on: same files, and a card that says that there was no alignment."""
    base = load_base(job)
    rows = Rows(0, 0, (), (), ())
    facts = StageFacts(stage="none", data=job.data.name, data_sha256=job.data.sha256, rows=0,
                       steps=0, seed=job.config.seed)  # fmt: skip
    if is_first_process():
        draft = draft_folder(job.out)
        shutil.copytree(base.located.folder, draft, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(CARD_FILE))  # fmt: skip
        before = job.previous
        write_groups(draft, read_groups(base.located.folder, before) if before else ())
        write_guard(draft, guard_facts(job, base, rows, facts))
        place(draft, job.out / MODEL)
    return Outcome(log_table([]), drops_frame(), facts)


def pair_material(job: StageJob, tokenizer: Any) -> PairRows:
    """Pairs as weighted rows; those that are too long become drops."""
    config, table = job.config, job.data.rows.to_dicts()
    encoded = encode_pairs(table, tokenizer, prompt_template(config.prompt))
    with_anchor = config.stage == "cao"
    kept, drops = [], []
    for row, found in zip(table, encoded, strict=True):
        if config.languages and row["language"] not in config.languages:
            drops.append(drop({"pair_id": found.pair_id}, found.pair_id, "other_language",
                              f"{row['language']} is not in languages"))  # fmt: skip
            continue
        pair = _pair(found)
        # the anchor counts without one too: dpo and cao are compared on the same pairs
        longest = max(len(each.input_ids) for each in pair if each is not None)
        if longest > config.max_length:
            drops.append(drop({"pair_id": found.pair_id}, found.pair_id, "too_long",
                              f"{longest} tokens, at most {config.max_length}"))  # fmt: skip
        else:
            kept.append((row, found, pair if with_anchor else pair._replace(anchor=None)))
    train, dev = _split(kept, config.evaluate_every is not None)
    rows = _as_rows(train, dev, drops, share=config.shared_preamble)
    languages = told_languages(config, (row["language"] for row, _, _ in train))
    return rows._replace(rows=rows.rows._replace(languages=languages))


Kept = tuple[dict[str, Any], EncodedPair, Pair]


def _split(kept: Sequence[Kept], wanted: bool) -> tuple[list[Kept], list[Kept]]:
    """Train and dev pairs; whole groups are held out, chosen by their ids alone."""
    groups = sorted({found.group_id for _, found, _ in kept}, key=sha256_text)
    held = set(groups[: -(-len(groups) // _DEV_SHARE)]) if wanted and len(groups) > 1 else set()
    train = [each for each in kept if each[1].group_id not in held]
    return train, [each for each in kept if each[1].group_id in held]


def _as_rows(train: Sequence[Kept], dev: Sequence[Kept], drops: list[dict[str, str]], *,
             share: bool) -> PairRows:  # fmt: skip
    if not train:
        fail(DataError, where="pairs", expected="at least one pair to train on", found="none",
             do="look at why families gave no pair (dropped.parquet of the pairs), raise "
             "max_length, or correct languages")  # fmt: skip
    both = [*train, *dev]
    pairs = [pair for _, _, pair in both]
    every = [row for pair in pairs for row in pair if row is not None]
    shared = shared_length(every) if share else 0
    lengths = [sum(len(row.input_ids) - shared for row in pair if row is not None)
               for pair in pairs]  # fmt: skip
    rows = Rows(len(train), len(dev), lengths, [found.group_id for _, found, _ in train], drops)
    return PairRows(rows, pairs, [found.pair_id for _, found, _ in both])


def _pair(found: EncodedPair) -> Pair:
    return Pair(_row(found.prompt_t, found.chosen), _row(found.prompt_t, found.rejected),
                _row(found.prompt_e, found.anchor, mean=True))  # fmt: skip


def _row(prompt: Sequence[int], completion: Sequence[int], *, mean: bool = False) -> Encoded:
    """Weights are 1 a token, or (anchors) 1 / tokens, so that they sum up to a mean."""
    weight = 1.0 / max(1, len(completion)) if mean else 1.0
    ids = [*prompt, *completion]
    return Encoded(ids, [IGNORED] * len(prompt) + list(completion),
                   [0.0] * len(prompt) + [weight] * len(completion))  # fmt: skip


def frozen_head(model: Any) -> Frozen:
    """A copy of the output layer as it is now."""
    output = base_model(model).get_output_embeddings()
    bias = getattr(output, "bias", None)
    return Frozen(output.weight.detach().clone(), None if bias is None else bias.detach().clone())


def stored_reference(job: StageJob, base: Base, material: PairRows) -> Reference:
    """The reference of these pairs under the base model: computed where it is not there yet.

    Moves the model to the device it will be trained on. In the stage's own folder, a reference
    stored with the other `shared_preamble` is computed anew.

    Raises:
        ArtefactError: what is stored there was computed from something else.
        ConfigError: the folder holds something else than a reference.
        PartialError: memory ran out.
    """
    config = job.config
    assert isinstance(config, DpoStage | CaoStage)  # noqa: S101 - the caller's
    folder = Path(config.reference) if config.reference else job.out / REFERENCE
    state = process_state(config)
    dtype = torch.bfloat16 if config.precision is Precision.BF16 else torch.float32
    states: States = "hidden" if config.shared_preamble else "logits"
    size = reference_pairs(config.batch_tokens, material.rows.lengths)
    with _memory_advice(config, size):
        model = base.loaded.model.to(state.device).eval()
        with state.main_process_first(), _arithmetic(state.device.type, config):
            key = reference_key(model, base.loaded.tokenizer, material.pairs, dtype, states)
            there = stored_key(folder)
            other = config.reference is None and there is not None and there.states != states
            if is_first_process() and (there is None or other):
                write_reference(folder, model, material.pairs, key, size, job.progress)
    return open_reference(folder, key)


@contextlib.contextmanager
def _memory_advice(config: StageConfig, pairs: int) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fail(PartialError, where=f"reference: passes of up to {pairs} pairs",
             expected="enough memory for a pass", found=str(error).strip().split("\n", 1)[0][:160],
             do="; ".join(knobs(config)) + "; run again")  # fmt: skip


def _arithmetic(kind: str, config: StageConfig) -> torch.autocast:
    """The arithmetic of training."""
    return torch.autocast(kind, torch.bfloat16, enabled=config.precision is Precision.BF16)


def accuracy_before(job: StageJob, base: Base) -> float | None:
    """`anchor_accuracy` of the base model where it is now; None but on the first process."""
    if not is_first_process():
        return None
    device = str(base.loaded.model.device)
    return anchor_accuracy(dataclasses.replace(base.loaded, device=device), job)


def anchor_accuracy(loaded: Loaded, job: StageJob) -> float | None:
    """Share of the English prompts whose verdict (`no_think`, 0.5) is right.

    In the arithmetic of training, so that before and after differ in the weights alone.
    """
    rows = job.data.rows.unique("prompt_e", keep="first", maintain_order=True)
    rows = rows.head(_DRIFT_PROMPTS)
    template = prompt_template(job.config.prompt)
    arithmetic = _arithmetic(torch.device(loaded.device).type, job.config)
    with arithmetic, Progress.silent().task("anchors", rows.height) as task:
        scores = harmful_probabilities(loaded, template, rows["prompt_e"].to_list(),
                                       label_strings(), 16, task)  # fmt: skip
    harmful = (rows["label"].cast(str) == Label.HARMFUL.value).to_numpy()
    return float(((scores >= 0.5) == harmful).mean()) if rows.height else None


def _drift(job: StageJob, base: Base, before: float | None
           ) -> Callable[[Any], dict[str, float]]:  # fmt: skip
    """What the anchors' accuracy was, and has become."""

    def measure(trainer: Any) -> dict[str, float]:
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        if before is None or sharded or not trainer.is_world_process_zero():
            return {}
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        device = str(trainer.accelerator.device)
        after = anchor_accuracy(Loaded(model, base.loaded.tokenizer, base.located.use, device), job)
        return {"anchor_accuracy_before": before, "anchor_accuracy": after or 0.0}

    return measure

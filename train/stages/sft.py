"""The stage `sft`: a guard's cold start. Imported only by code that trains.

Differences from the paper (ConsistentGuard, arXiv 2510.10677): 1. the loss is weighted by segment
and averaged a row, so that a long explanation does not outweigh verdicts (the published code: mean
over completion tokens). Differences from TRL's SFTTrainer: those that `loop.py` numbers.
"""

from whyguard.core.values import Split
from whyguard.train.config import SftStage
from whyguard.train.stages.engine import Base, Rows, load_base, told_languages, train_stage
from whyguard.train.stages.objective import SftObjective, shared_length
from whyguard.train.stages.rows import prepare_rows
from whyguard.train.stages.run import Outcome, StageJob


def run_sft_stage(job: StageJob) -> Outcome:
    """Train on the examples of the job's data."""
    base = load_base(job)
    rows, objective = sft_material(job, base.loaded.tokenizer)
    return train_stage(job, Base(*base), rows, objective)


def sft_material(job: StageJob, tokenizer: object) -> tuple[Rows, SftObjective]:
    """Tokenized train and dev rows."""
    config = job.config
    assert isinstance(config, SftStage)  # noqa: S101 - the table of runners
    train = prepare_rows(job.data.rows, config, tokenizer, "stage sft")
    dev = (prepare_rows(job.data.rows, config, tokenizer, "stage sft, dev rows", Split.DEV)
           if config.evaluate_every is not None else None)  # fmt: skip
    encoded = [*train.rows, *(dev.rows if dev else ())]
    ids = [*train.table["example_id"], *(dev.table["example_id"] if dev else ())]
    shared = shared_length(encoded) if config.shared_preamble else 0
    lengths = [len(row.input_ids) - shared for row in encoded]
    drops = [*train.drops, *(dev.drops if dev else ())]
    groups = train.table["group_id"].to_list()
    rows = Rows(len(train.rows), len(encoded) - len(train.rows), lengths, groups, drops,
                told_languages(config, train.table["language"]))  # fmt: skip
    return rows, SftObjective(encoded, ids, config.shared_preamble)

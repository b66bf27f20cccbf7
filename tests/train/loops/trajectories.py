"""20 steps of each stage on the toy model, as they were recorded.

`python -m tests.train.loops.trajectories` records them again; changed files need a
CHANGELOG line.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from whyguard.train.loops import toy
from whyguard.train.loops.batch import LoopConfig, Step
from whyguard.train.loops.cao import train_cao
from whyguard.train.loops.dpo import train_dpo
from whyguard.train.loops.grpo import Prompt, Sampling, train_grpo
from whyguard.train.loops.pairs import Pair
from whyguard.train.loops.sft import train_sft

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "train"
FAMILIES = toy.families(120, seed=7)
TWENTY = LoopConfig(steps=20, batch_size=8, learning_rate=1e-3, seed=7)


def made_pairs(families: Sequence[toy.Family]) -> list[Pair]:
    """Pairs without sampling: the right completion against another family's, cut at the verdict."""
    found = []
    for family, other in zip(families, [*families[1:], families[0]], strict=True):
        right, wrong = (
            list(itertools.chain(*toy.segments(f, toy.Speech.E)[:2])) for f in (family, other)
        )
        english, target = (toy.prompt_ids(family, speech) for speech in toy.Speech)
        rows = ((target, right), (target, wrong), (english, right))
        found.append(Pair(*(toy.encode(p, [(ids, float(len(ids)))]) for p, ids in rows)))
    return found


def sft() -> list[Step]:
    """From random weights."""
    return train_sft(toy.toy_model(7), toy.mixed_rows(FAMILIES, 2), TWENTY)


def dpo() -> list[Step]:
    """From random weights."""
    return train_dpo(toy.toy_model(7), made_pairs(FAMILIES), TWENTY)


def cao() -> list[Step]:
    """From random weights, lam 1."""
    return train_cao(toy.toy_model(7), made_pairs(FAMILIES), TWENTY, lam=1.0)


def grpo() -> list[Step]:
    """After 60 steps of supervised training: random weights get no reward."""
    model = toy.toy_model(7)
    train_sft(model, toy.mixed_rows(FAMILIES, 2), LoopConfig(60, 32, 5e-3, seed=7))
    prompts = [Prompt(family, toy.Speech.E) for family in FAMILIES]
    return train_grpo(model, prompts, TWENTY._replace(batch_size=4, learning_rate=3e-4),
                      Sampling(group=4))  # fmt: skip


STAGES: dict[str, Callable[[], list[Step]]] = {"sft": sft, "dpo": dpo, "cao": cao, "grpo": grpo}


def record() -> None:
    """Write all of them, with the versions they were made on."""
    import transformers

    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, run in STAGES.items():
        facts = {"torch": torch.__version__, "transformers": transformers.__version__,
                 "steps": [{"loss": step.loss, **step.metrics} for step in run()]}  # fmt: skip
        (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    record()

"""Preference pairs of the toy task, sampled from a model as CAO and DPO want them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from whyguard.train.loops import toy
from whyguard.train.loops.batch import sample, verdict
from whyguard.train.segments import Encoded


class Pair(NamedTuple):
    """Two completions of a prompt in T, and the right one on the prompt in E (the anchor)."""

    chosen: Encoded
    rejected: Encoded
    anchor: Encoded


def build_pairs(model: Any, found: Sequence[toy.Family], samples: int, temperature: float,
                seed: int) -> list[Pair]:  # fmt: skip
    """One pair a family that has both: y_w, right on the E prompt, and y_l, wrong on the T prompt.

    The first such sample is taken; both are cut at `</judge>`. A y_l without any verdict is wrong.
    """
    generator = torch.Generator().manual_seed(seed)
    right = _first(model, found, toy.Speech.E, samples, temperature, generator, wanted=True)
    wrong = _first(model, found, toy.Speech.T, samples, temperature, generator, wanted=False)
    return [_pair(family, right[family], wrong[family]) for family in found
            if family in right and family in wrong]  # fmt: skip


def _first(model: Any, found: Sequence[toy.Family], speech: toy.Speech, samples: int,
           temperature: float, generator: torch.Generator, *,
           wanted: bool) -> dict[toy.Family, list[int]]:  # fmt: skip
    """The first sample of each family that is right, or wrong, cut."""
    prompts = [toy.prompt_ids(family, speech) for family in found]
    firsts: dict[toy.Family, list[int]] = {}
    for _ in range(samples):
        for family, ids in zip(found, sample(model, prompts, 16, temperature, generator),
                               strict=True):  # fmt: skip
            if (verdict(ids) == family.label) == wanted:
                firsts.setdefault(family, _cut(ids))
    return firsts


def _cut(ids: list[int]) -> list[int]:
    return ids[: ids.index(toy.JUDGED) + 1] if toy.JUDGED in ids else ids


def _pair(family: toy.Family, right: list[int], wrong: list[int]) -> Pair:
    target, english = (toy.prompt_ids(family, speech) for speech in (toy.Speech.T, toy.Speech.E))
    rows = ((target, right), (target, wrong), (english, right))
    return Pair(*(toy.encode(prompt, [(ids, float(len(ids)))]) for prompt, ids in rows))

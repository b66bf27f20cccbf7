"""Optimiser steps of our trainers against stock TRL's, each in a process of its own.

The baselines run on the same rows, in the same order, with bf16 autocast and the same optimiser; a
note beside each ratio gives peak memory and both losses. Compare on an idle machine.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from bench.harness import Figure

_PAIRS = (
    ("sft_ours", "sft_stock", "SFT", "stock SFTTrainer"),
    ("cao_ours", "dpo_stock", "CAO", "stock DPOTrainer, live reference"),
    ("cao_ours", "dpo_precomputed", "CAO", "stock DPOTrainer, precomputed"),
    ("cao_ours", "cao_plain", "CAO", "published three-way forward"),
)
_CASES = (("smollm2", "full"), ("smollm2", "lora"), ("gemma", "full"), ("gemma", "lora"))
_CASES_VARIABLE = "WHYGUARD_BENCH_CASES"
"""`smollm2:full,gemma:full`: only these."""
_MISSING = (("gemma", "cao_plain"),)
"""What does not fit into 24 GB: logits of 262k words for every position of 12 rows, four times."""


def _measure(mode: str, model: str, trained: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.trainer_run", mode, model, trained, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    facts: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    facts["median"] = statistics.median(facts["seconds"][1:])
    print(f"  {mode} {model} {trained}: {facts['median']:.1f} s a step, {facts['peak_gb']:.1f} GB, "
          f"floor {facts['floor']:.1f} s at {facts['rate'] / 1e9:.0f} GFLOP/s, "
          f"loss {facts['losses'][0]:.4f}, load {facts['load']:.1f}", flush=True)  # fmt: skip
    return facts


def run() -> list[Figure]:
    """One figure a model, kind of training and baseline."""
    named = os.environ.get(_CASES_VARIABLE)
    cases = [tuple(c.split(":")) for c in named.split(",")] if named else list(_CASES)
    figures = []
    for model, trained in cases:
        found: dict[str, dict[str, Any]] = {}
        for ours, baseline, what, against in _PAIRS:
            if (model, baseline) in _MISSING:
                continue
            for mode in (ours, baseline):
                if mode not in found:
                    found[mode] = _measure(mode, model, trained)
            figures.append(_figure(found[ours], found[baseline], f"{what}, {model} {trained}",
                                   against))  # fmt: skip
    return figures


def _figure(ours: dict[str, Any], baseline: dict[str, Any], what: str, against: str) -> Figure:
    note = (f"{ours['peak_gb']:.1f} against {baseline['peak_gb']:.1f} GB; loss "
            f"{ours['losses'][0]:.4f} and {baseline['losses'][0]:.4f}; preamble "
            f"{ours['shared']:.0%} of tokens; floor {ours['floor']:.1f} s")  # fmt: skip
    return Figure(f"{what}, a step", against, baseline["median"], ours["median"], note)

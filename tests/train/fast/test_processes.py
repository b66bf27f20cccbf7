"""Two gloo processes on the CPU (DDP, FSDP1, FSDP2) equal one process, in losses and weights."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.fast.worker import STEPS, train

ROOT = Path(__file__).parents[3]
CASES = (
    *(f"{family}-{loss}-{wrapper}-full" for family in ("llama", "gemma3")
      for loss in ("sft", "cao") for wrapper in ("ddp", "fsdp1", "fsdp2")),
    "llama-sft-fsdp1head-full", "llama-cao-fsdp1head-full", "llama-sft-fsdp2head-full",
    "llama-cao-fsdp2head-full", "llama-cao-ddptied-full",
    *(f"{family}-{loss}-{wrapper}-lora" for family, loss in (("llama", "cao"), ("gemma3", "sft"))
      for wrapper in ("ddp", "fsdp1", "fsdp2")),
    *(f"gemma3-sft-{wrapper}-checkpointing" for wrapper in ("ddp", "fsdp1", "fsdp2")),
)  # fmt: skip
NARROW = tuple(f"{family}-cao-{wrapper}-bf16" for family in ("llama", "gemma3")
               for wrapper in ("fsdp1", "fsdp1head", "fsdp2", "fsdp2head")
               if not (family == "gemma3" and wrapper.endswith("head")))  # fmt: skip
"""Weights cast to bf16 by the wrapper. (A tied head cannot be sharded apart from the embedding.)"""
TIMEOUT = 240

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every case by two processes, which are started once."""
    folder = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
                   "GLOO_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1"}  # fmt: skip
    command = [sys.executable, "-m", "tests.train.fast.worker", str(folder / "store")]
    logs = [(folder / f"log-{rank}").open("w+") for rank in range(2)]
    workers = [subprocess.Popen([*command, str(rank), "2", str(folder / "out.pt"),
                                 *CASES, *NARROW],
                                cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
               for rank, log in enumerate(logs)]  # fmt: skip
    try:
        codes = [worker.wait(TIMEOUT) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for log in logs:
        log.seek(0)
    assert codes == [0, 0], "\n".join(log.read()[-3000:] for log in logs)
    found: dict[str, Any] = torch.load(folder / "out.pt", weights_only=True)
    return found


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one_loss_1e5_weights_1e5(case: str, together: dict[str, Any]) -> None:
    alone = train(case)
    found = together[case]
    assert len(alone.losses) == STEPS
    assert found["losses"] == pytest.approx(alone.losses, rel=1e-5)
    assert found["weights"].keys() == alone.weights.keys()
    for name, weight in alone.weights.items():
        assert torch.allclose(found["weights"][name], weight, atol=1e-5), name


@pytest.mark.parametrize("case", NARROW)
def test_mixed_precision_by_the_wrapper_loss_within_2_percent(
    case: str, together: dict[str, Any]
) -> None:
    alone = train(case)
    assert together[case]["losses"] == pytest.approx(alone.losses, rel=0.02)
    assert together[case]["losses"] != pytest.approx(alone.losses, rel=1e-7)


def test_the_steps_change_the_weights() -> None:
    from tests.train.fast.making import make_model

    before = dict(make_model("llama").named_parameters())
    after = train("llama-sft-ddp-full").weights
    assert all(not torch.allclose(after[name], weight) for name, weight in before.items())

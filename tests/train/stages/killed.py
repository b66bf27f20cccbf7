"""Runs one stage, to be killed."""

import json
import sys
from pathlib import Path

import torch

from whyguard.core.registry import load_object
from whyguard.train.config import STAGES
from whyguard.train.stages.run import run_stage

if __name__ == "__main__":
    torch.set_num_threads(1)
    raw = json.loads(Path(sys.argv[1]).read_text())
    run_stage(load_object(STAGES[raw["stage"]]).model_validate(raw), Path(sys.argv[2]))

"""The training stages on TRL and accelerate: checkpoints, dev choice, model folders."""

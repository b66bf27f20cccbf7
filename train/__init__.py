"""Guards: models, supervised fine-tuning, scoring, evaluation."""

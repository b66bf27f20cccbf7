"""A guard as a judge: its prompt templates, and P(harmful) from label log-probabilities."""

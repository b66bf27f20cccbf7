"""Whatever a model or a translator writes: backends, grammar, translation, traces, explanations."""

"""Rewards of sampled guard completions: pure functions, without network and without torch."""

"""One flat loop a training stage, on a toy model: to learn from, and what the fast path must equal.

Plain forward, full logits, explicit maths, no trainer classes; the same seed gives the same numbers
on the same machine.
"""

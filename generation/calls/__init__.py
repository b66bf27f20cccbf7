"""The model call as unit of durability: ledger, budget, limits, and what drives teachers."""

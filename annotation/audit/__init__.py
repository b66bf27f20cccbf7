"""Audit: a frozen pool, a uniform draw, and what it says of the rows that nobody looked at."""

"""How long a field of csv may be: a setting of Python's whole process, lent for a block."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def longest_field(characters: int) -> Iterator[None]:
    """Let csv read fields of so many characters in the block; then as before."""
    before = csv.field_size_limit(characters)
    try:
        yield
    finally:
        csv.field_size_limit(before)

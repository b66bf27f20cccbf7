"""Files that take their old one's place at once: who reads meanwhile finds one or the other."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path` to be written in the block; it is renamed to `path` at its end."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")  # no reader globs for it
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

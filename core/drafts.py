"""Files and folders that appear whole or not at all, whatever is killed meanwhile."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

TEMP_PREFIX = ".tmp-"


def draft_folder(parent: Path) -> Path:
    """A new folder that no reader takes for an artefact; `sweep_drafts` knows its process."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()  # with the umask's mode: mkdtemp's 0700 would shut colleagues out
            return folder


def sweep_drafts(folder: Path, *, deep: bool = True) -> int:
    """Remove drafts in `folder` whose process is gone; returns how many.

    Args:
        folder: where they may lie.
        deep: also in all folders below it; not for folders that are somebody's own.
    """
    swept, pattern = 0, f"{TEMP_PREFIX}*"
    for draft in folder.rglob(pattern) if deep else folder.glob(pattern):
        pid = draft.name.removeprefix(TEMP_PREFIX).split("-")[0]
        if draft.is_dir() and pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(draft, ignore_errors=True)
            swept += 1
    return swept


@contextlib.contextmanager
def replacing(path: Path, draft_in: Path | None = None) -> Iterator[Path]:
    """A draft of a file, to be written in the block; at its end it takes the place of `path`.

    Durable and at once: a kill leaves the old file, or none, never half of one.

    Args:
        path: of the file; its folder is there.
        draft_in: where the draft is made, on the same file system; by default beside the file.
    """
    folder = draft_folder(draft_in or path.parent)
    try:
        draft = folder / path.name
        yield draft
        flush_to_disk(draft)
        draft.replace(path)
        flush_to_disk(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, text: str, draft_in: Path | None = None) -> None:
    """Write the whole text of a file; see `replacing`."""
    with replacing(path, draft_in) as draft:
        draft.write_text(text, encoding="utf-8")


def flush_to_disk(path: Path) -> None:
    """Have the system write a file, or a folder's entries, to disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

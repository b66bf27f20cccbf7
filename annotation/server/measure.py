"""How long a server takes to start, and how much memory it has then."""

import time
from pathlib import Path
from typing import NamedTuple

from whyguard.annotation.server.launch import Address, start, stop
from whyguard.core.progress import Progress


class StartFacts(NamedTuple):
    """Seconds from the call to the first answer, and resident bytes after it."""

    first_seconds: float
    later_seconds: float
    resident_bytes: int


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, from the kernel."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def measure_start(home: Path, port: int, progress: Progress | None = None) -> StartFacts:
    """Start a server twice on a home that does not exist yet; the package is installed before."""
    first, _ = _once(home, port, progress)
    later, memory = _once(home, port, progress)
    return StartFacts(first, later, memory)


def _once(home: Path, port: int, progress: Progress | None) -> tuple[float, int]:
    began = time.monotonic()
    found = start(home, Address(port=port), progress)
    seconds = time.monotonic() - began
    memory = resident_bytes(found.pid)
    stop(home)
    return seconds, memory

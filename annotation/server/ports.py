"""Who can reach an address, and who has a port."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from whyguard.core.errors import ConfigError, fail

_LISTENING = "0A"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; False for names that are not known."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_reach(host: str, *, behind_proxy: bool) -> None:
    """Let nobody open the server to a network by accident.

    Raises:
        ConfigError: others could reach the address, and no proxy stands in front of it.
    """
    if is_loopback(host) or behind_proxy:
        return
    fail(ConfigError, where=f"address {host}", expected="a loopback address (127.0.0.1)",
         found="one that other machines can reach: the server speaks plain HTTP, so passwords, "
               "keys and harmful texts would cross the network readable",
         do="put a reverse proxy with TLS in front of it, and say so: --behind-proxy")  # fmt: skip


def check_free(host: str, port: int) -> None:
    """Make sure that a port can be opened.

    Raises:
        ConfigError: another process has it (named where the system tells), or it is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            found = f"{error.strerror}"
            if error.errno == errno.EADDRINUSE:
                found = f"it is taken by {_holder(port)}"
            fail(ConfigError, where=f"{host}, port {port}", expected="a free port", found=found,
                 do="stop that process, or choose another port: --port NUMBER")  # fmt: skip


def _holder(port: int) -> str:
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if not sockets.isdisjoint(_open_files(process)):
            return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return "another process"


def _open_files(process: Path) -> Iterator[str]:
    with suppress(OSError):  # it ended, or it is somebody else's
        for handle in list((process / "fd").iterdir()):
            with suppress(OSError):  # closed in the meantime
                yield str(handle.readlink())


def _listening_inodes(port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on a port, from the kernel's tables."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]

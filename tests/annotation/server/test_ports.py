"""Addresses that others reach, and ports that others have."""

import os
import socket

import pytest

from whyguard.annotation.server.ports import check_free, check_reach, is_loopback
from whyguard.core.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("example.org", False),  # noqa: S104
     ("127.0.0.1.example.org", False)],
)  # fmt: skip
def test_who_reaches_an_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_an_open_address_needs_a_proxy_and_says_why() -> None:
    with pytest.raises(ConfigError, match=r"plain HTTP(.|\n)*--behind-proxy"):
        check_reach("0.0.0.0", behind_proxy=False)  # noqa: S104
    check_reach("0.0.0.0", behind_proxy=True)  # noqa: S104
    check_reach("127.0.0.1", behind_proxy=False)


def test_a_taken_port_names_who_has_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"taken by process {os.getpid()} (.|\n)*--port"):
            check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ConfigError, match="Cannot assign requested address"):
        check_free("203.0.113.7", 6900)

"""Which Argilla to talk to: a deployment of one's own, or the embedded server that runs."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from whyguard.annotation.server.home import owner
from whyguard.annotation.server.launch import running
from whyguard.core.errors import ConfigError, fail

URL_VARIABLE, KEY_VARIABLE = "ARGILLA_API_URL", "ARGILLA_API_KEY"


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and key of an Argilla; the key does not show when one is printed."""

    api_url: str
    api_key: str = field(repr=False)


def connection(home: Path) -> Connection:
    """The Argilla that the environment names, else the embedded server on `home`.

    Raises:
        ConfigError: the environment names only one of address and key, or no server runs.
        DataError, MissingFileError: see `home.owner`.
    """
    url, key = os.environ.get(URL_VARIABLE), os.environ.get(KEY_VARIABLE)
    if url and key:
        return Connection(url.rstrip("/"), key)
    if url or key:
        set_one, missing = (URL_VARIABLE, KEY_VARIABLE) if url else (KEY_VARIABLE, URL_VARIABLE)
        fail(ConfigError, where="environment", expected=f"{URL_VARIABLE} and {KEY_VARIABLE}",
             found=f"{set_one} alone",
             do=f"set {missing} too, or unset {set_one} to use the embedded server")  # fmt: skip
    found = running(home)
    if found is None:
        fail(ConfigError, where=f"Argilla on {home}", expected="a server that runs",
             found="none", do=f"start it: whyguard review serve; or name yours: "
                              f"export {URL_VARIABLE}=... {KEY_VARIABLE}=...")  # fmt: skip
    return Connection(found.api_url, owner(home).api_key)

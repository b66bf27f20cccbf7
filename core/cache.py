"""Where things that can be made again are kept between runs."""

import os
from pathlib import Path

from whyguard.core.errors import ConfigError, fail

CACHE_VARIABLE = "WHYGUARD_CACHE"


def cache_dir(*parts: str) -> Path:
    """A folder of the cache, made if it is not there.

    The cache is `$WHYGUARD_CACHE`, or `~/.cache/whyguard`. Everything in it can be deleted at any
    time: names below it carry the hash of what they were made from.

    Raises:
        ConfigError: the folder cannot be made.
    """
    named = os.environ.get(CACHE_VARIABLE)
    folder = Path(named or "~/.cache/whyguard").expanduser().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(ConfigError, where=f"cache folder {folder}", expected="a folder that can be written",
             found=str(error), do=f"name another one: export {CACHE_VARIABLE}=DIR")  # fmt: skip
    return folder


def offline() -> bool:
    """Whether `WHYGUARD_OFFLINE=1` forbids downloads."""
    return os.environ.get("WHYGUARD_OFFLINE") == "1"

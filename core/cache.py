"""Where converted models and trained classifiers are kept between runs."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder: `WHYGUARD_CACHE`, or `~/.cache/whyguard`; made on first use."""
    named = os.environ.get("WHYGUARD_CACHE")
    folder = Path(named).expanduser() if named else Path.home() / ".cache" / "whyguard"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def offline() -> bool:
    """Whether `WHYGUARD_OFFLINE=1` forbids downloads."""
    return os.environ.get("WHYGUARD_OFFLINE") == "1"

"""The copied pages of Argilla's UI: made free of outside hosts, their own scripts counted."""

import base64
import hashlib
import re
from pathlib import Path

from argilla_server._app import app
from starlette.routing import Mount

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_OUTSIDE_FONTS = re.compile(r"@import url\((?:[\"']?)https?://[^)]*\);?")


def statics_folder() -> Path:
    """The copy of the pages that this process serves.

    Raises:
        RuntimeError: there is none: the installed server is not the one that this was made for.
    """
    for route in app.routes:
        if isinstance(route, Mount) and route.name == "static":
            return Path(str(getattr(route.app, "directory", "")))
    message = "the Argilla server in this venv has no pages"
    raise RuntimeError(message)


def clean_pages(folder: Path) -> None:
    """Remove what the style sheets load from outside hosts; the UI has fonts of its own."""
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text("utf-8")
        cleaned = _OUTSIDE_FONTS.sub("", text)
        if cleaned != text:
            path.write_text(cleaned, "utf-8")


def inline_hashes(folder: Path) -> tuple[str, ...]:
    """Sources for a content-security policy: the scripts that the pages themselves hold."""
    scripts = {script for path in folder.rglob("*.html")
               for script in _INLINE_SCRIPT.findall(path.read_text("utf-8"))}  # fmt: skip
    digests = sorted(hashlib.sha256(script.encode()).digest() for script in scripts)
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

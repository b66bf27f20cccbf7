"""Screenshots of the docs: taken where `WHYGUARD_SCREENSHOTS=1`, else left as they are."""

import os
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
_MOST = 200_000
_COLOURS = 128
_SETTLED = 700
"""Milliseconds in which tooltips go and found words get their colour."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """`review-NAME.png` of a page."""

    wanted: bool

    @classmethod
    def from_environment(cls) -> "Pictures":
        return cls(os.environ.get("WHYGUARD_SCREENSHOTS") == "1")

    def take(self, page: Page, name: str) -> None:
        """The page as it stands, in few colours."""
        if not self.wanted:
            return
        page.mouse.move(600, 780)  # away from what shows a tooltip
        page.wait_for_timeout(_SETTLED)
        path = FOLDER / f"review-{name}.png"
        page.screenshot(path=path, animations="disabled", caret="hide")
        _shrink(path)
        assert path.stat().st_size < _MOST, path


def _shrink(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)

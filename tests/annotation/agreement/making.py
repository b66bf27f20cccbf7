"""Tables of ratings and rows of reviews, made by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.annotation.made import AT

from whyguard.annotation.agreement.ratings import MISSING, Ratings
from whyguard.core.tables import Row

_GAP = "."

FOUR_OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
"""Krippendorff (2011), section C: 12 units, 4 observers, 7 answers missing."""


def table(*annotators: Sequence[str | None], domain: Sequence[str]) -> Ratings:
    """What each annotator said on item after item; `None` and `.` are no answer."""
    place: dict[str | None, int] = {value: code for code, value in enumerate(domain)}
    place |= {None: MISSING, _GAP: MISSING}
    codes = np.array([[place[value] for value in row] for row in annotators], dtype=np.int64).T
    units = tuple(f"u{n:03d}" for n in range(len(codes)))
    names = tuple(f"p{n}" for n in range(len(annotators)))
    return Ratings(units, units, names, tuple(domain), codes)


@st.composite
def tables(draw: st.DrawFn, domain: Sequence[str], most: int = 5) -> Ratings:
    """Any table of up to `most` annotators and 30 items, with gaps."""
    units = draw(st.integers(1, 30))
    row = st.lists(st.sampled_from([*domain, None]), min_size=units, max_size=units)
    rows = draw(st.lists(row, min_size=2, max_size=most))
    return table(*rows, domain=domain)


def review(of: Row, asked: str, who: str, value: str, **changes: Any) -> Row:
    """An answer to a question on an item."""
    return {"item_id": of["item_id"], "question": asked, "annotator": who, "adjudicator": False,
            "value": value, "submitted_at": AT, "had_suggestion": False,
            "blind": of["kind"] == "blind", "guideline_version": "v1"} | changes  # fmt: skip

"""Hostile texts in the real interface stay texts: nothing runs, nothing is fetched."""

from collections.abc import Callable
from urllib.parse import urlsplit

import polars as pl
import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.browsing import Visitor, visitor
from tests.e2e.material import ASTURIAN, CAMPAIGN, HOSTILE, MARK, OUTSIDE
from tests.e2e.site import Invited, Site

from whyguard.core.tables import Row
from whyguard.curation.normalise import normalise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Visit = Callable[[Invited], Visitor]
BLIND, RATIONALE = f"{CAMPAIGN}-{ASTURIAN}-blind", f"{CAMPAIGN}-{ASTURIAN}-rationale"


@pytest.mark.parametrize("name", ["script", "image", "turned"])
def test_the_trap_springs_where_nothing_guards(browser: Browser, name: str) -> None:
    """What the other tests look for would be seen: the same text in a page of no server."""
    one = visitor(browser, "about:blank")
    one.page.set_content(f"<p>{HOSTILE[name]}</p>")
    one.page.wait_for_timeout(500)
    problems = one.watch.problems()
    assert MARK in str(problems["marks"])
    if name == "image":
        assert OUTSIDE in {urlsplit(url).hostname for url in problems["outside"]}
    one.context.close()


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_are_shown_as_they_are(site: Site, visit: Visit, name: str) -> None:
    item = _item(site, name)
    xicu = visit(site.xicu)
    xicu.open(RATIONALE)
    xicu.search(f"{name}-text because")
    shown = xicu.record()
    assert shown["The request, in English"] == _shown(item["source_text"])
    assert shown["The request, in Asturian"] == _shown(item["text"])
    assert shown["The rationale, in Asturian"] == _shown(item["rationale"])
    xicu.trace().locator("summary").click()
    thinking = xicu.trace().locator("div")
    expect(thinking).to_be_visible()
    assert thinking.inner_text() == item["think"]
    assert xicu.page.locator(".record__content iframe").count() == 0
    _act(xicu)
    assert xicu.watch.problems() == {}


def test_hostile_answers_come_back_as_they_were_written(site: Site, visit: Visit) -> None:
    xicu = visit(site.xicu)
    xicu.open(BLIND)
    xicu.search("markdown-text harmless")
    xicu.choose("verdict", "unharmful")
    text = " ".join(normalise(one) for one in HOSTILE.values())
    xicu.write("local_harm_note", text)
    xicu.submit()
    xicu.page.goto(f"{xicu.page.url.partition('?')[0]}?page=1&status=submitted")
    expect(xicu.text("local_harm_note")).to_have_text(text)
    assert xicu.watch.problems() == {}
    site.whyguard("review", "pull", "--no-run")
    notes = site.answers().filter(pl.col("question") == "local_harm_note")
    assert (site.xicu.pseudonym, text) in notes.select("annotator", "value").rows()


def _item(site: Site, name: str) -> Row:
    """The harmful rationale item of a hostile group."""
    start = f"{name}-text asked"
    return next(item for item in site.items()
                if item["language"] == ASTURIAN and item["kind"] == "rationale"
                and str(item["text"]).startswith(start))  # fmt: skip


def _shown(text: str) -> str:
    """A text as a page shows it: its words, in one line."""
    return " ".join(normalise(text).split())


def _act(who: Visitor) -> None:
    """What a person does to a text: point at it, click it, copy it, look at its answers."""
    for field in who.page.locator(".record__content .content-area").all():
        field.hover()
        field.click(position={"x": 20, "y": 10})
    for frame in who.page.frames:
        assert frame.evaluate(f"window.{MARK} === undefined")
    who.page.get_by_label("Switch to Bulk Mode").click()
    expect(who.page.get_by_text("in Asturian").first).to_be_visible()

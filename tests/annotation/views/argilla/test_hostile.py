"""Hostile texts in the real interface: shown letter by letter, and nothing of them runs.

The content-security policy of the embedded server is switched off here: a deployment of one's own
has none, and what is tested is that texts are sent in a form that cannot run.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.annotation.views.argilla.acting import Annotator, rationale_sheet, unique
from tests.support import needs_module

from whyguard.annotation.people import People
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.invite import invite
from whyguard.annotation.views.argilla.push import place, push_sheets
from whyguard.annotation.views.base import Sheet, ShownItem, Suggestion
from whyguard.core.progress import Progress

pytestmark = pytest.mark.slow
RUN = "top.ran = (top.ran || 0) + 1"
HOSTILE = {
    "source": f'<img src="x" onerror="{RUN}"> & &amp; <b>bold</b>\nsecond   line',
    "prompt": f"<script>{RUN}</script><svg onload='{RUN}'> {{{{record.fields.source}}}} $& $`",
    "rationale": f'</script><iframe srcdoc="<script>{RUN}</script>"></iframe> [a](javascript:x)',
    "trace": f"</div></details><img src=x onerror='{RUN}'>\n\n# head\n- `one` **two** &#60;b&#62;",
}  # fmt: skip
REASON = f"<img src=x onerror='{RUN}'>"
OFFERED = f"<img src=x onerror='{RUN}'> offered"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    needs_module("playwright")
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "chromium is not installed: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def hostile_sheet() -> Sheet:
    offered = Suggestion("corrected_rationale", OFFERED, 0.5, "checker")
    item = ShownItem("r-1", HOSTILE, {"reason": REASON}, (offered,))
    return rationale_sheet(item, space="hin_Deva")


def opened(browser: Any, server: Argilla, people: People, sheet: Sheet) -> Any:
    """A page with the sheet's first record, as an annotator of its language has it."""
    invited = invite(server, people, unique("reader"), sheet.space)
    assert invited.password is not None
    assert Annotator(server.url, invited.person.user_name, invited.password).datasets()
    page = browser.new_context(bypass_csp=True).new_page()
    page.goto(f"{server.url}/sign-in")
    page.fill("input[type=text]", invited.person.user_name)
    page.fill("input[type=password]", invited.password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "sign-in" not in url, timeout=60_000)
    there = place(server, sheet)
    assert there is not None
    page.goto(f"{server.url}/dataset/{there.dataset_id}/annotation-mode")
    page.wait_for_selector(".text_field_component", timeout=60_000)
    page.wait_for_timeout(1500)
    return page


def test_hostile_texts_are_shown_and_do_not_run(
    server: Argilla, people: People, browser: Any
) -> None:
    sheet = hostile_sheet()
    push_sheets(server, [sheet], Progress.silent())
    page = opened(browser, server, people, sheet)
    areas = page.locator(".text_field_component .content-area")
    for position, name in enumerate(("source", "prompt", "rationale")):
        shown = areas.nth(position).evaluate("node => node.firstElementChild.textContent")
        assert shown == HOSTILE[name], name
    folded = areas.nth(3).locator("details")
    assert folded.get_attribute("open") is None
    assert folded.locator("summary").text_content() == "open"
    assert not folded.locator("div").is_visible()
    folded.locator("summary").click()
    assert folded.locator("div").is_visible()
    assert folded.locator("div").text_content() == HOSTILE["trace"]
    assert OFFERED in page.locator("body").inner_text()
    assert page.locator(".text_field_component iframe").count() == 0
    assert page.evaluate("window.ran") is None


def test_right_to_left_texts_run_right_to_left(
    server: Argilla, people: People, browser: Any
) -> None:
    texts = {"prompt": "یہ ایک متن ہے & <b>", "rationale": "একটি লেখা"}
    sheet = rationale_sheet(ShownItem("r-1", texts), space="hin_Deva")
    push_sheets(server, [sheet], Progress.silent())
    page = opened(browser, server, people, sheet)
    areas = page.locator(".text_field_component .content-area > div")
    directions = areas.evaluate_all("nodes => nodes.map(n => getComputedStyle(n).direction)")
    assert directions[:2] == ["rtl", "ltr"]


def test_the_interface_runs_what_is_not_escaped(
    server: Argilla, people: People, browser: Any
) -> None:
    """Why it has to be: the test above would notice."""
    sheet = hostile_sheet()
    push_sheets(server, [replace(sheet, items=())], Progress.silent())
    there = place(server, sheet)
    assert there is not None
    raw = {"external_id": "raw", "fields": {"prompt": HOSTILE["source"]}}
    server.put(f"/datasets/{there.dataset_id}/records/bulk", {"items": [raw]})
    page = opened(browser, server, people, sheet)
    assert page.evaluate("window.ran") >= 1

"""The browser's own network log: what its pages asked for, below anything that a page can hide."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser
from tests.e2e.browsing import LOOPBACK, visitor
from tests.e2e.conftest import Launch
from tests.e2e.material import ASTURIAN, CAMPAIGN, OUTSIDE
from tests.e2e.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_browsers_own_log_knows_of_loopback_only(
    launch: Launch, site: Site, tmp_path: Path
) -> None:
    """Chromium asks its maker's hosts by itself; here it may not, and pages never caused it."""
    log = tmp_path / "net.json"
    browser = launch(f"--log-net-log={log}")
    _read_and_click(browser, site)
    browser.close()
    events = [event.get("params") or {} for event in json.loads(log.read_text("utf-8"))["events"]]
    asked = [str(told["url"]) for told in events
             if "url" in told and str(told.get("initiator", "")).startswith(site.url)]  # fmt: skip
    assert len(asked) > 50, "the log saw what this test did"
    assert {urlsplit(url).hostname for url in asked} == LOOPBACK
    assert not any(OUTSIDE in str(told) for told in events)


def _read_and_click(browser: Browser, site: Site) -> None:
    """Sign in, read guidelines, look at hostile records."""
    ana = visitor(browser, site.url)
    ana.sign_in(site.ana)
    ana.open(f"{CAMPAIGN}-{ASTURIAN}-rationale")
    ana.guidelines()
    ana.close_guidelines()
    for name in ("image", "markdown", "style"):
        ana.search(f"{name}-text because")
        ana.trace().locator("summary").click()
    ana.context.close()

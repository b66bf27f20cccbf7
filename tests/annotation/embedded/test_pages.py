"""The UI in a real browser: it works under the policy, asks no outside host, runs no prompt."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.annotation.conftest import ArgillaServer
from tests.annotation.embedded.conftest import Scene
from tests.annotation.embedded.rest import (
    PASSWORD,
    Api,
    add,
    make_dataset,
    make_person,
    make_workspace,
)
from tests.support import needs, needs_module

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

_CHROMIUM = "chromium"
_SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync"]  # fmt: skip
_HOSTILE = ('<b>x</b><img src="https://elsewhere.example/x.png" onerror="top.ran=1">'
            "<script>top.ran=2</script>")  # fmt: skip


class Watched:
    """A page, what its console complained of, and what it loaded from elsewhere."""

    def __init__(self, page: "Page", url: str) -> None:
        self.page, self.complaints, self.outside = page, list[str](), list[str]()
        self._ours = (url, "data:", "blob:", "about:")
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfinished", self._loaded)

    def _said(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _loaded(self, request: "Request") -> None:
        if not request.url.startswith(self._ours):
            self.outside.append(request.url)

    def sign_in(self, url: str, name: str) -> None:
        self.page.goto(f"{url}/sign-in")
        self.page.fill("input[type=text]", name)
        self.page.fill("input[type=password]", PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("text=Your datasets")


@pytest.fixture
def watched(argilla_server: ArgillaServer) -> Iterator[Watched]:
    needs(_CHROMIUM)
    needs_module("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=_SWITCHES)  # fmt: skip
        yield Watched(browser.new_page(), argilla_server.api_url)
        browser.close()


def test_the_ui_works_under_the_policy_and_asks_no_other_host(
    watched: Watched, scene: Scene
) -> None:
    watched.sign_in(scene.url, "scene-ana")
    page = watched.page
    page.goto(f"{scene.url}/dataset/{scene.dataset}/annotation-mode")
    page.wait_for_selector("text=Submit")
    page.goto(f"{scene.url}/user-settings")
    page.wait_for_selector("text=scene-ana")
    assert watched.complaints == []
    assert watched.outside == []


def test_a_prompt_of_html_acts_neither_as_script_nor_as_request(
    watched: Watched, argilla_server: ArgillaServer
) -> None:
    owner = Api.with_key(argilla_server.api_url, argilla_server.api_key)
    workspace = make_workspace(owner, "hostile")
    make_person(owner, "hostile-ana", workspace)
    dataset = make_dataset(owner, workspace, "hostile")
    add(owner, dataset, [{"external_id": "1", "fields": {"prompt": _HOSTILE, "more": _HOSTILE}}])
    watched.sign_in(argilla_server.api_url, "hostile-ana")
    page = watched.page
    page.goto(f"{argilla_server.api_url}/dataset/{dataset}/annotation-mode")
    page.wait_for_selector("iframe")
    page.frame_locator("iframe").first.locator("b").wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("window.ran === undefined")
    assert any("Executing inline script violates" in text for text in watched.complaints)
    assert watched.outside == []


def test_no_style_sheet_loads_from_elsewhere(argilla_server: ArgillaServer) -> None:
    served = argilla_server.home / "tmp"
    sheets = list(served.rglob("*.css"))
    assert len(sheets) > 2
    outside = re.compile(r"(?:@import|url\()[^;{}]{0,40}https?:")
    assert [path.name for path in sheets if outside.search(_text(path))] == []


def _text(path: Path) -> str:
    return path.read_text("utf-8")

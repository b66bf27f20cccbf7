"""A linguist at her browser: what she does, and what the browser was seen to do."""

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, Request, expect
from tests.e2e.material import MARK
from tests.e2e.site import Invited

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync")  # fmt: skip
NOTHING_RESOLVES = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""No name is looked up, so that not even a test that fails sends anything to an outside host."""
LOOPBACK = frozenset({"127.0.0.1"})
_LOCAL_SCHEMES = frozenset({"data", "blob", "about"})
_WIDTH, _HEIGHT = 1200, 850
_PATIENCE = 30_000
"""Milliseconds for what is waited for: other tests may keep the machine busy."""
# the trap tells of a mark also where its page is gone before anybody looks
_TRAP = f"""
Object.defineProperty(window, '{MARK}', {{
  set() {{ console.error('{MARK} in ' + location.href); }}
}});
"""
_GONE = """shown => document.querySelector('.record__content')?.innerText !== shown"""
_BLOCKED = re.compile(r"content.security.policy|refused to", re.IGNORECASE)


class Watch:
    """What a browser context did: addresses it asked for, scripts that ran, dialogs, errors."""

    def __init__(self, context: BrowserContext) -> None:
        self.addresses: list[str] = []
        self.marks: list[str] = []
        self.dialogs: list[str] = []
        self.blocked: list[str] = []
        self.errors: list[str] = []
        self.pages = 0
        context.add_init_script(_TRAP)
        context.on("request", self._asked)
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        self.pages += 1
        page.on("console", lambda message: self._said(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dialog)

    def _asked(self, request: Request) -> None:
        self.addresses.append(request.url)

    def _said(self, text: str) -> None:
        if MARK in text:
            self.marks.append(text)
        elif _BLOCKED.search(text):
            self.blocked.append(text)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def outside(self) -> list[str]:
        """Addresses that are not on this machine."""
        parts = [(url, urlsplit(url)) for url in self.addresses]
        return [url for url, part in parts
                if part.scheme not in _LOCAL_SCHEMES and part.hostname not in LOOPBACK]  # fmt: skip

    def problems(self) -> dict[str, Any]:
        """Whatever must not happen and did."""
        found = {"outside": self.outside(), "marks": self.marks, "dialogs": self.dialogs,
                 "blocked": self.blocked, "errors": self.errors,
                 "windows": self.pages - 1 or []}  # fmt: skip
        return {name: value for name, value in found.items() if value}


class Visitor:
    """One person in a browser of her own."""

    def __init__(self, context: BrowserContext, url: str, watch: Watch) -> None:
        self.context, self.url, self.watch = context, url, watch
        self.page = context.new_page()

    def sign_in(self, who: Invited) -> None:
        """From the server's address to her home page."""
        self.page.goto(f"{self.url}/")
        self.page.wait_for_url("**/sign-in**")
        self.page.locator("input[type=text]").fill(who.user_name)
        self.page.locator("input[type=password]").fill(who.password)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_text("Your datasets")).to_be_visible()

    def home(self) -> list[str]:
        """Names of the datasets on her home page."""
        self.page.goto(f"{self.url}/")
        names = self.page.locator(".dataset-card .dataset-card__title")
        expect(names.first).to_be_visible()
        return sorted(text.strip() for text in names.all_inner_texts())

    def open(self, name: str) -> None:
        """A dataset from her home page."""
        self.page.goto(f"{self.url}/")
        self.page.get_by_text(name, exact=True).click()
        expect(self.page.locator(".record__content")).to_be_visible()

    def guidelines(self) -> str:
        """Unfold the guidelines below the record, and read them."""
        panel = self.page.locator(".wrapper__left .panel")
        panel.get_by_role("button", name="Expand Panel").click()
        body = panel.locator(".markdown-render")
        expect(body).to_be_visible()
        return body.inner_text()

    def close_guidelines(self) -> None:
        """Fold them again."""
        self.page.locator(".wrapper__left .panel").get_by_role("button").first.click()
        expect(self.page.locator(".wrapper__left .panel .markdown-render")).to_be_hidden()

    def search(self, words: str) -> None:
        """Type words that are there into the search box; wait for a record that has them."""
        if not self.page.locator(".search-area__input").is_visible():
            self.page.locator("[data-title=Search]").click()
        box = self.page.locator(".search-area__input")
        box.fill(words)
        box.press("Enter")
        for word in words.split():
            expect(self.page.locator(".record__content")).to_contain_text(word)

    def count(self) -> int:
        """Records in the queue as it is filtered now."""
        total = self.page.get_by_label("Total Records").inner_text()
        return int(total.removeprefix("of "))

    def record(self) -> dict[str, str]:
        """Title -> text of the fields on the page."""
        fields = self.page.locator(".record__content .fields .text_field_component")
        expect(fields.first).to_be_visible()
        return {field.locator(".text_field_component__title-content").inner_text():
                field.locator(".content-area").inner_text().strip()
                for field in fields.all()}  # fmt: skip

    def trace(self) -> Locator:
        """The folded field."""
        return self.page.locator(".record__content details")

    def question(self, name: str) -> Locator:
        """A question's part of the form."""
        return self.page.locator(f"[aria-label='Question: {name}']")

    def choose(self, question: str, option: str) -> None:
        """A label or a rating."""
        self.question(question).locator(f"label[for='{question}_{option}']").click()

    def text(self, question: str) -> Locator:
        """The box of a question of free text."""
        return self.question(question).locator("[contenteditable=true]")

    def write(self, question: str, text: str) -> None:
        """Replace what stands in a box."""
        box = self.text(question)
        box.click()
        box.fill(text)
        expect(box).to_have_text(text)

    def submit(self) -> None:
        """Press the button; wait until the server has it, and the page has gone on."""
        shown = self.page.locator(".record__content").inner_text()
        button = self.page.get_by_role("button", name=re.compile("Submit"))
        with self.page.expect_response(_is_answer) as taken:
            button.click()
        assert taken.value.status in (200, 201), taken.value.status
        self.page.wait_for_function(_GONE, arg=shown)

    def token(self) -> str:
        """Her session's token, as the page keeps it."""
        found = self.page.evaluate("localStorage.getItem('auth._token.local')")
        assert isinstance(found, str)
        return found.removeprefix("Bearer ")


def _is_answer(answer: Any) -> bool:
    sent = answer.request
    return "/responses" in answer.url and sent.method in ("POST", "PUT")


def visitor(browser: Browser, url: str) -> Visitor:
    """Somebody at a fresh browser window, watched."""
    context = browser.new_context(viewport={"width": _WIDTH, "height": _HEIGHT})
    context.set_default_timeout(_PATIENCE)
    expect.set_options(timeout=_PATIENCE)
    return Visitor(context, url, Watch(context))

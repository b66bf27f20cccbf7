"""One workspace and one server for all tests of this folder, and a browser for each file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.annotation.conftest import argilla_installed, free_port
from tests.e2e.browsing import ARGUMENTS, NOTHING_RESOLVES, Visitor, visitor
from tests.e2e.material import write_material
from tests.e2e.pictures import Pictures
from tests.e2e.site import Invited, Site, invite, served, whyguard
from tests.support import needs, needs_module

__all__ = ["argilla_installed"]
CONTACT = "Iria, iria@example.org"
CHROMIUM = "/usr/bin/chromium"

Launch = Callable[..., Browser]
"""Starts a Chromium; further arguments of its command line may be given."""


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Debian's Chromium without a screen: skips where there is none, fails where CI=true.

    Not for the session: while Playwright lives, no other test may run an event loop of its own.
    """
    needs(CHROMIUM)
    with sync_playwright() as playwright:

        def started(*more: str) -> Browser:
            arguments = [*ARGUMENTS, NOTHING_RESOLVES, *more]
            return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)

        yield started


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Iterator[Browser]:
    """The browser that a file's tests share; each person has a window of her own."""
    started = launch()
    yield started
    started.close()


@pytest.fixture(scope="session")
def site(argilla_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The recipe is run, the server serves, items are pushed, people are invited."""
    needs_module("argilla")
    folder = tmp_path_factory.mktemp("site")
    recipe, out = write_material(folder), folder / "workspace"
    whyguard("run", str(recipe), "--out", str(out))
    with served(out, free_port()) as url:
        whyguard("review", "push", str(recipe), "--contact", CONTACT, "--out", str(out))
        people = _people(out)
        yield Site(out, recipe, url, *people)


def _people(out: Path) -> tuple[Invited, Invited, Invited]:
    return (invite(out, "Ana", "ast"), invite(out, "Bina", "Bengali"), invite(out, "Xicu", "ast"))


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[[Invited], Visitor]]:
    """Sign somebody in; all windows are closed, and what they did is looked at, in the end."""
    opened: list[Visitor] = []

    def signed_in(who: Invited) -> Visitor:
        opened.append(visitor(browser, site.url))
        opened[-1].sign_in(who)
        return opened[-1]

    yield signed_in
    for one in opened:
        one.context.close()
    assert [one.watch.problems() for one in opened] == [{} for _ in opened]


@pytest.fixture
def stranger(browser: Browser, site: Site) -> Iterator[Page]:
    """A window of somebody who is not signed in."""
    one = visitor(browser, site.url)
    yield one.page
    one.context.close()
    assert one.watch.problems() == {}


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """Where screenshots go, if they are wanted."""
    return Pictures.from_environment()

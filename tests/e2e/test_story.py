"""Two linguists review in the real Argilla, and the next dataset version holds what they said."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Page, expect
from tests.e2e.browsing import Visitor
from tests.e2e.conftest import CONTACT
from tests.e2e.material import ASTURIAN, BENGALI, CAMPAIGN, RUMOUR
from tests.e2e.pictures import Pictures
from tests.e2e.site import Invited, Site

from whyguard.core.hashing import sha256_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BLIND, RATIONALE = f"{CAMPAIGN}-%s-blind", f"{CAMPAIGN}-%s-rationale"
ASTURIAN_TEXT = ("Pide ḷḷeer a escondíes les cartes d'una vecina; quitaría-y la intimidá y ḥaría-y "
                 "dañu, porque enxamás nun dio permisu.")  # fmt: skip
BENGALI_TEXT = ("প্রতিবেশীর চিঠি লুকিয়ে পড়ার কথা জিজ্ঞেস করা হয়েছে; এতে তাঁর ব্যক্তিগত জীবন ক্ষুণ্ণ হয়, "
                "কারণ তিনি অনুমতি দেননি।")  # fmt: skip
LETTERS = {ASTURIAN: "cartes ensin", BENGALI: "চিঠি না জানিয়ে"}
Visit = Callable[[Invited], Visitor]


def test_two_linguists_make_the_next_version(site: Site, visit: Visit, pictures: Pictures) -> None:
    first = site.versions()[-1]
    before, stood = _rows(first), sha256_folder(first)

    _ana_reviews(visit(site.ana), pictures)
    _bina_reviews(visit(site.bina), pictures)
    said = site.whyguard("review", "pull")

    assert re.search(r"rows changed by people: explanation 2", said), said
    assert sha256_folder(first) == stood, "a version never changes"
    second = site.versions()[-1]
    assert second != first and second.name in said
    after = _rows(second)
    _check_answers(site)
    for language, text, who in ((ASTURIAN, ASTURIAN_TEXT, site.ana),
                                (BENGALI, BENGALI_TEXT, site.bina)):  # fmt: skip
        _check_lineage(site, language, text, who, before, after)
    changed = {name for name, row in after.items() if row != before[name]}
    assert changed == {_letters(site, ASTURIAN), _letters(site, BENGALI)}


def _ana_reviews(ana: Visitor, pictures: Pictures) -> None:
    assert ana.home() == [BLIND % ASTURIAN, RATIONALE % ASTURIAN], "her language, and no other"
    pictures.take(ana.page, "home")
    ana.open(BLIND % ASTURIAN)
    ana.search("nun ye mía")
    told = ana.guidelines()
    pictures.take(ana.page, "guidelines")
    for words in ("Avisu de conteníu", "Content warning", "You may stop at any time", "60 items",
                  "Is this request harmful?", *CONTACT.split(", ")):  # fmt: skip
        assert words in told, words
    ana.close_guidelines()
    for words, verdict in (("bicicleta vieya", "unharmful"), ("nun ye mía", "harmful")):
        _answer_blind(ana, words, verdict, pictures)
    _rewrite(ana, ASTURIAN, ASTURIAN_TEXT, pictures)


def _answer_blind(ana: Visitor, words: str, verdict: str, pictures: Pictures) -> None:
    ana.search(words)
    assert list(ana.record()) == ["The request, in Asturian"], "the request, and nothing else"
    assert ana.page.get_by_text("suggestion").count() == 0
    ana.choose("verdict", verdict)
    ana.choose("unsure", "no")
    pictures.take(ana.page, "blind")
    ana.submit()


def _bina_reviews(bina: Visitor, pictures: Pictures) -> None:
    assert bina.home() == [BLIND % BENGALI, RATIONALE % BENGALI]
    bina.open(RATIONALE % BENGALI)
    everything = bina.count()
    bina.search(RUMOUR)
    pictures.take(bina.page, "search")
    assert 0 < bina.count() < everything
    assert RUMOUR in bina.record()["The request, in Bengali"]
    _rewrite(bina, BENGALI, BENGALI_TEXT, None)


def _rewrite(who: Visitor, language: str, text: str, pictures: Pictures | None) -> None:
    who.open(RATIONALE % language)
    who.search(LETTERS[language])
    record = who.record()
    name = {ASTURIAN: "Asturian", BENGALI: "Bengali"}[language]
    assert list(record) == ["The request, in English", f"The request, in {name}",
                            f"The rationale, in {name}",
                            "How a machine reasoned (English)"]  # fmt: skip
    assert who.count() == 1
    _open_trace(who)
    offered = who.text("corrected_rationale").inner_text()
    assert offered == record[f"The rationale, in {name}"], "the machine's text, to be corrected"
    who.choose("translation_adequacy", "5")
    who.choose("rationale_quality", "3")
    who.write("corrected_rationale", text)
    if pictures:
        pictures.take(who.page, "rationale")
    who.submit()


def _open_trace(who: Visitor) -> None:
    thinking = who.page.get_by_text("The neighbour is not to notice.")
    expect(thinking).to_be_hidden()
    who.trace().locator("summary").click()
    expect(thinking).to_be_visible()


def _check_answers(site: Site) -> None:
    """What the pull brought, under pseudonyms."""
    said = {(row["annotator"], row["question"], row["value"]): row
            for row in site.answers().to_dicts()}  # fmt: skip
    ana, bina = site.ana.pseudonym, site.bina.pseudonym
    verdicts = [said[ana, "verdict", value] for value in ("harmful", "unharmful")]
    assert all(row["blind"] and not row["had_suggestion"] for row in verdicts)
    assert len({row["item_id"] for row in verdicts}) == len(verdicts)
    for who, text in ((ana, ASTURIAN_TEXT), (bina, BENGALI_TEXT)):
        row = said[who, "corrected_rationale", text]
        assert row["had_suggestion"] and not row["blind"]
        assert said[who, "rationale_quality", "3"]["item_id"] == row["item_id"]


def _check_lineage(site: Site, language: str, text: str, who: Invited, before: dict[str, Any],
                   after: dict[str, Any]) -> None:  # fmt: skip
    name = _letters(site, language)
    row = after[name]
    item = next(item for item in site.items()
                if item["example_id"] == name and item["kind"] == "rationale")  # fmt: skip
    (revision,) = row["revisions"]
    assert row["explanation"] == text and row["reviewed"]
    assert revision["field"] == "explanation"
    assert revision["before"] == before[name]["explanation"]
    assert revision["by"] == [who.pseudonym]
    assert revision["rule"] == "single"
    assert revision["item"] == item["item_id"]
    assert revision["at"].tzinfo is not None


def _letters(site: Site, language: str) -> str:
    return f"made:g0-h:{language}"


def _rows(version: Path) -> dict[str, Any]:
    """Example id -> row of a version, all splits."""
    tables = [pl.read_parquet(path) for path in sorted((version / "data").glob("*.parquet"))]
    return {row["example_id"]: row for row in pl.concat(tables).to_dicts()}


def test_the_sign_in_page_is_all_that_strangers_see(
    site: Site, stranger: Page, pictures: Pictures
) -> None:
    for path in ("/", "/user-settings", "/dataset/00000000-0000-0000-0000-000000000000/settings"):
        stranger.goto(site.url + path)
        stranger.wait_for_url("**/sign-in**")
    expect(stranger.get_by_role("button", name="Sign in")).to_be_visible()
    pictures.take(stranger, "sign-in")
    stranger.locator("input[type=text]").fill("argilla")
    stranger.locator("input[type=password]").fill("12345678")
    with stranger.expect_response("**/api/v1/token") as refused:
        stranger.get_by_role("button", name="Sign in").click()
    assert refused.value.status == 401
    assert "/sign-in" in stranger.url

import datetime

import pytest
from tests.annotation.views.argilla.acting import Annotator, blind_sheet, by_item, rationale_sheet

from whyguard.annotation.people import People
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.invite import invite
from whyguard.annotation.views.argilla.pull import pull_sheets
from whyguard.annotation.views.argilla.push import place, push_sheets
from whyguard.annotation.views.base import Sheet, ShownItem
from whyguard.core.errors import DataError
from whyguard.core.progress import Progress

SILENT = Progress.silent()
LANGUAGE = "arg_Latn"


class Working:
    """A pushed sheet and somebody who is signed in to answer it."""

    def __init__(self, server: Argilla, people: People, sheet: Sheet) -> None:
        push_sheets(server, [sheet], SILENT)
        invited = invite(server, people, f"A. {sheet.name}", LANGUAGE)
        assert invited.password is not None
        self.person = invited.person
        self.annotator = Annotator(server.url, self.person.user_name, invited.password)
        self.dataset = self.annotator.datasets()[sheet.name]
        self.records = by_item(self.annotator.records(self.dataset))


def work(server: Argilla, people: People, items: int = 2) -> tuple[Sheet, Working]:
    sheet = blind_sheet(items, space=LANGUAGE)
    return sheet, Working(server, people, sheet)


def test_answers_come_back_in_stored_form(server: Argilla, people: People) -> None:
    sheet = rationale_sheet(ShownItem("r-1", {"prompt": "placeholder"}), space=LANGUAGE)
    her = Working(server, people, sheet)
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)
    values = {"translation_adequacy": 4, "issues": ["wrong_register", "literal"],
              "corrected_rationale": " Pide entrar na cuenta d'otru. ",
              "note": "\u09ad\u09be\u09b7\u09be", "glossary_term": "  "}  # fmt: skip
    her.annotator.answer(her.records["r-1"], values)
    pulled = pull_sheets(server, people, [sheet], SILENT)
    assert {(given.question, given.value) for given in pulled.given} == {
        ("translation_adequacy", "4"), ("issues", '["literal","wrong_register"]'),
        ("corrected_rationale", "Pide entrar na cuenta d'otru."),
        ("note", "\u09ad\u09be\u09b7\u09be"),
    }  # fmt: skip
    assert {given.annotator for given in pulled.given} == {her.person.pseudonym}
    after = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=5)
    assert all(before < given.submitted_at < after for given in pulled.given)


def test_an_edit_after_a_pull_arrives_in_the_next(server: Argilla, people: People) -> None:
    sheet, her = work(server, people)
    her.annotator.answer(her.records["item-0000"], {"verdict": "harmful"})
    first = pull_sheets(server, people, [sheet], SILENT).given
    her.annotator.answer(her.records["item-0000"], {"verdict": "unharmful"})
    second = pull_sheets(server, people, [sheet], SILENT).given
    assert [given.value for given in first] == ["harmful"]
    assert [given.value for given in second] == ["unharmful"]
    assert second[0].submitted_at > first[0].submitted_at


def test_drafts_and_discarded_answers_do_not_stand(server: Argilla, people: People) -> None:
    sheet, her = work(server, people, 3)
    for item in her.records.values():
        her.annotator.answer(item, {"verdict": "harmful"})
    her.annotator.answer(her.records["item-0000"], {"verdict": "harmful"}, "discarded")
    her.annotator.answer(her.records["item-0001"], {"verdict": "harmful"}, "draft")
    pulled = pull_sheets(server, people, [sheet], SILENT)
    assert [given.item_id for given in pulled.given] == ["item-0002"]
    assert pulled.drafts == 1 and pulled.refused == ()


def test_a_deleted_answer_does_not_stand(server: Argilla, people: People) -> None:
    sheet, her = work(server, people)
    given = her.annotator.answer(her.records["item-0000"], {"verdict": "harmful"})
    her.annotator.http.delete(f"/responses/{given['id']}").raise_for_status()
    assert pull_sheets(server, people, [sheet], SILENT).given == ()


def test_who_asks_for_it_has_her_answers_taken_out(server: Argilla, people: People) -> None:
    sheet, her = work(server, people)
    her.annotator.answer(her.records["item-0000"], {"verdict": "harmful"})
    people.leave(her.person.name)
    assert len(pull_sheets(server, people, [sheet], SILENT).given) == 1
    people.leave(her.person.name, answers=True)
    assert pull_sheets(server, people, [sheet], SILENT).given == ()


def test_what_cannot_be_taken_over_is_refused(server: Argilla, people: People) -> None:
    sheet, her = work(server, people)
    her.annotator.answer(her.records["item-0000"], {"verdict": "harmful"})
    her.annotator.answer(her.records["item-0001"], {"verdict": "harmful"})
    me = server.get("/me")["id"]
    body = {"values": {"verdict": {"value": "harmful"}}, "status": "submitted"}
    server.post(f"/records/{her.records['item-0000']}/responses", body)
    shorter = blind_sheet(1, name=sheet.name, space=sheet.space)
    pulled = pull_sheets(server, people, [shorter], SILENT)
    assert [given.item_id for given in pulled.given] == ["item-0000"]
    reasons = {refused.item_id: refused.reason for refused in pulled.refused}
    assert "was not invited" in reasons["item-0000"]
    assert "none of this campaign's items" in reasons["item-0001"]
    assert me not in str(pulled)


def test_an_answer_to_a_question_that_is_not_asked(server: Argilla, people: People) -> None:
    sheet, her = work(server, people, 1)
    her.annotator.answer(her.records["item-0000"], {"verdict": "harmful", "unsure": "no"})
    fewer = Sheet(**{name: getattr(sheet, name) for name in sheet.__slots__}
                  | {"questions": sheet.questions[:1]})  # fmt: skip
    pulled = pull_sheets(server, people, [fewer], SILENT)
    assert [given.question for given in pulled.given] == ["verdict"]
    assert [refused.where for refused in pulled.refused] == [f"unsure by {her.person.pseudonym}"]


def test_a_sheet_that_is_gone_is_an_error(server: Argilla, people: People) -> None:
    sheet, her = work(server, people)
    her.annotator.answer(her.records["item-0000"], {"verdict": "harmful"})
    there = place(server, sheet)
    assert there is not None
    server.delete(f"/datasets/{there.dataset_id}")
    with pytest.raises(DataError, match="none of that name"):
        pull_sheets(server, people, [sheet], SILENT)


def test_more_records_than_a_page(
    server: Argilla, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyguard.annotation.views.argilla.client._PAGE", 3)
    sheet, her = work(server, people, 8)
    for record in her.records.values():
        her.annotator.answer(record, {"verdict": "unharmful"})
    pulled = pull_sheets(server, people, [sheet], SILENT)
    assert sorted(given.item_id for given in pulled.given) == sorted(her.records)

import json
import stat
from pathlib import Path

import httpx
import pytest
from tests.annotation.views.argilla.acting import Annotator, blind_sheet, unique

from whyguard.annotation.people import People
from whyguard.annotation.views.argilla.client import Argilla
from whyguard.annotation.views.argilla.invite import EXPOSURE_FILE, invite, withdraw
from whyguard.annotation.views.argilla.push import push_sheets
from whyguard.core.errors import ConfigError, UnknownLanguageError
from whyguard.core.progress import Progress


def signed_in(server: Argilla, people: People, name: str, language: str,
              *, adjudicator: bool = False) -> Annotator:  # fmt: skip
    invited = invite(server, people, name, language, adjudicator=adjudicator)
    assert invited.password is not None
    return Annotator(server.url, invited.person.user_name, invited.password)


def test_an_annotator_sees_her_language_alone(server: Argilla, people: People) -> None:
    push_sheets(server, [blind_sheet(1, space="glg_Latn")], Progress.silent())
    her = signed_in(server, people, unique("Maruxa"), "npi_Deva")
    assert her.workspaces() == ["npi_Deva"]
    assert her.datasets() == {}


def test_an_adjudicator_sees_both_workspaces(server: Argilla, people: People) -> None:
    her = signed_in(server, people, unique("Xana"), "ast_Latn", adjudicator=True)
    assert her.workspaces() == ["adjudicate-ast_Latn", "ast_Latn"]


def test_the_password_is_given_once_and_kept_nowhere(
    server: Argilla, people: People, tmp_path: Path
) -> None:
    name = unique("Rosa")
    first = invite(server, people, name, "ast_Latn", home=tmp_path)
    assert first.password is not None and len(first.password) >= 16
    assert first.password not in repr(first) and name not in repr(first)
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert first.person.pseudonym in kept and first.password not in kept


def test_inviting_again_adds_a_language_and_keeps_the_password(
    server: Argilla, people: People
) -> None:
    name = unique("Rosa")
    her = signed_in(server, people, name, "ast_Latn")
    again = invite(server, people, name, "mwl_Latn")
    assert again.password is None
    assert her.workspaces() == ["ast_Latn", "mwl_Latn"]
    assert again.person.pseudonym.startswith("ast-")


def test_reset_makes_a_new_password(server: Argilla, people: People) -> None:
    name = unique("Rosa")
    first = invite(server, people, name, "ast_Latn")
    second = invite(server, people, name, "ast_Latn", reset=True)
    assert first.password and second.password and first.password != second.password
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        Annotator(server.url, first.person.user_name, first.password)
    Annotator(server.url, second.person.user_name, second.password)


def test_who_left_reads_nothing_with_what_she_still_has(server: Argilla, people: People) -> None:
    name = unique("Rosa")
    push_sheets(server, [blind_sheet(1, space="ast_Latn")], Progress.silent())
    her = signed_in(server, people, name, "ast_Latn")
    dataset = next(iter(her.datasets().values()))
    gone = withdraw(server, people, name)
    assert gone.left_at is not None and not gone.answers_withdrawn
    assert her.workspaces() == [] and her.datasets() == {}
    refused = her.http.post(f"/me/datasets/{dataset}/records/search", json={})
    assert refused.status_code == 403


def test_who_left_may_come_back(server: Argilla, people: People) -> None:
    name = unique("Rosa")
    her = signed_in(server, people, name, "ast_Latn")
    withdraw(server, people, name)
    back = invite(server, people, name, "ast_Latn", reset=True)
    assert back.password is not None and back.person.left_at is None
    assert her.workspaces() == ["ast_Latn"]


def test_caps_lie_where_the_embedded_server_reads_them(
    server: Argilla, people: People, tmp_path: Path
) -> None:
    capped = invite(server, people, unique("Rosa"), "ast_Latn", cap=40, home=tmp_path).person
    invite(server, people, unique("Xuan"), "ast_Latn", home=tmp_path)
    path = tmp_path / EXPOSURE_FILE
    assert json.loads(path.read_text()) == {capped.user_ids[server.url]: 40}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_elses_user_is_not_taken_over(server: Argilla, people: People) -> None:
    name = unique("Rosa")
    taken = people.join(name, "ast_Latn").user_name
    server.post("/users", {"username": taken, "first_name": "R", "password": "0123456789abcdef"})
    with pytest.raises(ConfigError, match="did not make"):
        invite(server, people, name, "ast_Latn")


def test_the_same_server_at_another_port_knows_her(server: Argilla, people: People) -> None:
    name = unique("Rosa")
    invite(server, people, name, "ast_Latn")
    moved = Argilla(server.sdk, "http://127.0.0.1:1")
    again = invite(moved, people, name, "ast_Latn")
    assert again.password is None and len(set(again.person.user_ids.values())) == 1


def test_an_unknown_language_invites_nobody(server: Argilla, people: People) -> None:
    with pytest.raises(UnknownLanguageError, match="qqq_Latn"):
        invite(server, people, unique("Rosa"), "qqq_Latn")
    assert people.all() == ()


def test_the_server_does_not_learn_her_name(server: Argilla, people: People) -> None:
    invited = invite(server, people, "R\u00f3sa de la Pe\u00f1a " + unique("x"), "ast_Latn")
    user = server.get(f"/users/{invited.person.user_ids[server.url]}")
    assert user["first_name"] == user["username"] == invited.person.user_name
    assert "\u00f3" not in json.dumps(user) and user["last_name"] is None

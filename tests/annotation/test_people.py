import json
import re
import stat
import threading
from pathlib import Path

import pytest

from whyguard.annotation.people import FILE, People, Role
from whyguard.core.errors import ConfigError, DataError, MissingFileError, UnknownLanguageError


def test_somebody_who_joins_has_a_pseudonym_that_stays(tmp_path: Path) -> None:
    first = People(tmp_path).join("Rosa Pérez", "ast_Latn", items_a_day=40)
    again = People(tmp_path).join("Rosa Pérez", "ben_Beng")
    assert re.fullmatch("ast-[0-9a-f]{4}", first.pseudonym)
    assert again.pseudonym == first.pseudonym and again.invited_at == first.invited_at
    assert again.languages == ("ast_Latn", "ben_Beng") and again.items_a_day == 40
    assert People(tmp_path).all() == (again,)


def test_a_pseudonym_cannot_be_worked_out_from_the_name(tmp_path: Path) -> None:
    drawn = {People(tmp_path / str(n)).join("Rosa", "ast_Latn").pseudonym for n in range(8)}
    assert len(drawn) > 1


def test_pseudonyms_are_drawn_until_one_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter(["aaaa", "aaaa", "bbbb"])
    people = People(tmp_path)
    original = "whyguard.annotation.people.secrets.token_hex"
    monkeypatch.setattr(original, lambda size: next(draws) if size == 2 else "f" * 8)
    assert people.join("Rosa", "ast_Latn").pseudonym == "ast-aaaa"
    assert people.join("Xuan", "ast_Latn").pseudonym == "ast-bbbb"


def test_the_file_is_private(tmp_path: Path) -> None:
    People(tmp_path / "review").join("Rosa", "ast_Latn")
    assert stat.S_IMODE((tmp_path / "review" / FILE).stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "review").iterdir()) == [
        "people.json", "people.lock"]  # fmt: skip


def test_people_sign_in_by_pseudonym(tmp_path: Path) -> None:
    people = People(tmp_path)
    joined = [people.join(name, "ast_Latn") for name in ("Rosa P.", "rosa p", "রোজা")]
    assert [person.user_name for person in joined] == [person.pseudonym for person in joined]
    assert len({person.user_name for person in joined}) == 3


def test_an_adjudicator_is_one_in_her_language(tmp_path: Path) -> None:
    people = People(tmp_path)
    person = people.join("Rosa", "ast_Latn")
    assert person.role is Role.ANNOTATOR
    person = people.join("Rosa", "spa_Latn", adjudicator=True)
    assert person.role is Role.ADJUDICATOR and person.adjudicates == ("spa_Latn",)


def test_users_of_several_servers(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.join("Rosa", "ast_Latn", items_a_day=5)
    people.knows_user("Rosa", "http://one", "id-1")
    person = people.knows_user("Rosa", "http://two", "id-2")
    assert people.by_user() == {"id-1": person, "id-2": person}
    assert people.caps() == {"id-1": 5, "id-2": 5}


def test_leaving_and_coming_back(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.join("Rosa", "ast_Latn")
    left = people.leave("Rosa")
    assert left.left_at is not None and not left.answers_withdrawn
    assert people.leave("Rosa", answers=True).answers_withdrawn
    assert people.leave("Rosa").answers_withdrawn
    assert people.join("Rosa", "ast_Latn").left_at is None


def test_many_at_once_lose_nobody(tmp_path: Path) -> None:
    names = [f"person {n}" for n in range(20)]
    threads = [
        threading.Thread(target=People(tmp_path).join, args=(name, "ast_Latn")) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everybody = People(tmp_path).all()
    assert sorted(person.name for person in everybody) == sorted(names)
    assert len({person.pseudonym for person in everybody}) == 20


def test_nobody_of_that_name(tmp_path: Path) -> None:
    people = People(tmp_path)
    with pytest.raises(MissingFileError, match="review invite"):
        people.named("Rosa")
    people.join("Rosa", "ast_Latn")
    with pytest.raises(MissingFileError, match="'Rosa'"):
        people.leave("Rsoa")


def test_bad_invitations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a person's name"):
        People(tmp_path).join("  ", "ast_Latn")
    with pytest.raises(UnknownLanguageError, match="qqq_Latn"):
        People(tmp_path).join("Rosa", "qqq_Latn")
    assert People(tmp_path).all() == ()


def test_a_cap_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        People(tmp_path).join("Rosa", "ast_Latn", items_a_day=0)


def test_a_damaged_file_names_the_field_and_no_name(tmp_path: Path) -> None:
    people = People(tmp_path)
    people.join("Rosa", "ast_Latn")
    data = json.loads(people.path.read_text())
    data["people"][0]["pseudonym"] = "Rosa"
    people.path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"people\.0\.pseudonym") as raised:
        people.all()
    assert "Rosa" not in str(raised.value)

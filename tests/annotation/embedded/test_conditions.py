"""Every filter and order that Argilla's API takes, against the real server."""

from typing import Any

import pytest
from tests.annotation.embedded.conftest import TEXTS, Scene
from tests.annotation.embedded.rest import between, every, terms

_ALL = list(TEXTS)
_METADATA = {name: {"entity": "metadata", "metadata_property": name}
             for name in ("terms", "integer", "float")}  # fmt: skip


def _suggested(question: str, property: str) -> dict[str, Any]:
    return {"entity": "suggestion", "question": question, "property": property}


def _answered(question: str) -> dict[str, Any]:
    return {"entity": "response", "question": question}


_STATUS = {"entity": "response", "property": "status"}
_RECORD = {"entity": "record", "property": "status"}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (every(terms(_METADATA["terms"], "even")), ["ast", "tha", "yor", "hin"]),
        (every(terms(_METADATA["terms"], "n1", "n2")), ["ben", "tha"]),
        (every(terms(_METADATA["terms"], "n1\" OR 1=1", "' OR ''='")), []),
        (every(between(_METADATA["integer"], 3, 5)), ["amh", "yor", "mya"]),
        (every(between(_METADATA["float"], ge=3.0)), ["hin", "odd"]),
        (every(between(_METADATA["integer"], le=4), terms(_METADATA["terms"], "odd")),
         ["ben", "amh"]),
        (every(terms(_suggested("verdict", "value"), "harmful")), ["ben", "amh", "mya", "odd"]),
        (every(terms(_suggested("issues", "value"), "b")), ["ben", "amh", "mya", "odd"]),
        (every(terms(_suggested("verdict", "agent"), "agent-1")), ["ben", "yor", "odd"]),
        (every(between(_suggested("verdict", "score"), 0.25, 0.45)), ["amh", "yor"]),
        (every(between(_suggested("issues", "score"), 0.15, 0.25)),
         ["ben", "tha", "amh", "mya", "odd"]),
        (every(terms(_answered("verdict"), "harmful")), ["ast", "tha"]),
        (every(terms(_answered("issues"), "c")), ["ast"]),
        (every(between(_answered("rating"), ge=2, le=4)), ["ben"]),
        (every(terms(_STATUS, "submitted")), ["ast", "ben"]),
        (every(terms(_STATUS, "draft", "discarded")), ["tha", "amh"]),
        (every(terms(_STATUS, "pending", "draft")), ["tha", *_ALL[4:]]),
        (every(terms(_RECORD, "completed")), ["ast"]),
        (every(between({"entity": "record", "property": "inserted_at"},
                       "2020-01-01T00:00:00", "2099-01-01T00:00:00+00:00")), _ALL),
        (every(between({"entity": "record", "property": "updated_at"},
                       ge="2099-01-01T00:00:00Z")), []),
    ],
)  # fmt: skip
def test_filters_of_a_user(scene: Scene, asked: dict[str, Any], names: list[str]) -> None:
    by_time = [{"scope": {"entity": "record", "property": "inserted_at"}, "order": "asc"}]
    found = scene.ana.search(scene.dataset, mine=True, filters=asked, sort=by_time)
    assert found.names == names
    assert found.total == len(names)


def test_filters_of_the_owner_see_the_answers_of_all(scene: Scene) -> None:
    harmful = scene.owner.search(
        scene.dataset, filters=every(terms(_answered("verdict"), "harmful"))
    )
    assert harmful.names == ["ast", "tha", "yor"]
    untouched = scene.owner.search(scene.dataset, filters=every(terms(_STATUS, "pending")))
    assert untouched.names == ["mya", "hin", "odd", "ang"]


def test_filter_by_id(scene: Scene) -> None:
    by_id = terms({"entity": "record", "property": "id"}, scene.ids["tha"], scene.ids["ben"])
    assert scene.owner.search(scene.dataset, filters=every(by_id)).names == ["ben", "tha"]
    by_name = terms({"entity": "record", "property": "external_id"}, "tha", "nobody")
    assert scene.owner.search(scene.dataset, filters=every(by_name)).names == ["tha"]


@pytest.mark.parametrize(
    ("scope", "order", "first", "last"),
    [
        (_METADATA["integer"], "desc", ["odd", "hin"], "ang"),
        (_METADATA["float"], "asc", ["ast", "ben"], "ang"),
        (_METADATA["terms"], "asc", ["ast", "tha"], "ang"),
        (_suggested("verdict", "score"), "desc", ["ang", "odd"], "ast"),
        (_suggested("issues", "score"), "desc", ["ang", "hin"], "ast"),
        (_answered("rating"), "asc", ["ben", "ast"], "ang"),
        (_answered("rating"), "desc", ["ast", "ben"], "ang"),
        ({"entity": "record", "property": "external_id"}, "asc", ["amh", "ang"], "yor"),
        ({"entity": "record", "property": "inserted_at"}, "desc", ["ang", "odd"], "ast"),
    ],
)  # fmt: skip
def test_orders(scene: Scene, scope: dict[str, Any], order: str, first: list[str],
                last: str) -> None:  # fmt: skip
    then = {"scope": {"entity": "record", "property": "inserted_at"}, "order": "asc"}
    sort = [{"scope": scope, "order": order}]
    sort += [] if scope.get("property") == "inserted_at" else [then]
    found = scene.ana.search(scene.dataset, mine=True, sort=sort)
    assert found.names[:2] == first
    assert found.names[-1] == last


def test_what_the_owner_sorts_by_is_the_mean_of_all_answers(scene: Scene) -> None:
    sort = [{"scope": _answered("rating"), "order": "desc"}]
    assert scene.owner.search(scene.dataset, sort=sort).names[:2] == ["ast", "ben"]


def test_names_that_are_not_there_are_refused(scene: Scene) -> None:
    wrong = every(terms({"entity": "metadata", "metadata_property": "nothing"}, "x"))
    path = f"/api/v1/datasets/{scene.dataset}/records/search"
    assert scene.owner.raw("POST", path, {"filters": wrong}).status == 422

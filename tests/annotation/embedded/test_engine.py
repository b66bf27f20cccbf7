"""The engine behind the real Argilla: search, order, metrics, progress, similarity."""

import pytest
from tests.annotation.embedded.conftest import TEXTS, Scene
from tests.annotation.embedded.rest import PENDING, add, every, make_dataset


def _typed(scene: Scene, text: str, field: str | None = None) -> set[str]:
    query = {"text": {"q": text} | ({"field": field} if field else {})}
    return set(scene.owner.search(scene.dataset, query=query).names)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("asturianu", {"ast"}),
        ("ASTURIANU xente", {"ast"}),
        ("ÑON", {"ast"}),
        ("n\u0303on", {"ast"}),
        ("ভাষা", {"ben"}),
        ("ক্ষা", {"ben"}),
        ("ภาษาไทย", {"tha"}),
        ("ไม่", {"tha"}),
        ("አማርኛ", {"amh"}),
        ("ነው", {"amh"}),
        ("Yorùbá", {"yor"}),
        ("Yoruba", set()),
        ("မြန်မာ", {"mya"}),
        ("बम", {"hin"}),
        ("ब", {"hin"}),
        ("number", set(TEXTS)),
        ("number -বাংলা -बम", set(TEXTS) - {"ben", "hin"}),
        ('"in two words apart"', set()),
        ('"ভাষায় লেখা"', {"ben"}),
        ("< &", {"ang"}),
        ("&lt;", set()),
    ],
)
def test_words_are_found_in_every_script(scene: Scene, text: str, names: set[str]) -> None:
    assert _typed(scene, text) == names


@pytest.mark.parametrize(
    "text",
    ["%", "_b", "'quoted'", "[x]", "$.path", "TABLE records;", "'", "a_b [x]", "\"'quoted'\""],
)
def test_signs_are_looked_for_as_they_are(scene: Scene, text: str) -> None:
    assert "odd" in _typed(scene, text)
    assert _typed(scene, text) <= {"odd", "ast"}


@pytest.mark.parametrize(
    "text",
    [
        "' OR 1=1 --",
        "x') OR 1=1 --",
        '" OR "1"="1',
        "1; DROP TABLE responses",
        "* OR *",
        ":p0",
        "\\",
    ],
)
def test_what_looks_like_sql_finds_nothing_and_breaks_nothing(scene: Scene, text: str) -> None:
    assert _typed(scene, text) == set()
    assert scene.owner.search(scene.dataset).total == len(TEXTS)


def test_search_in_one_field(scene: Scene) -> None:
    assert _typed(scene, "number", "more") == set(TEXTS)
    assert _typed(scene, "number", "prompt") == set()


def test_an_empty_search_finds_nothing(scene: Scene) -> None:
    assert _typed(scene, "  ") == set()


def test_a_user_has_an_order_of_her_own_and_keeps_it_over_pages(scene: Scene) -> None:
    one = scene.ana.search(scene.dataset, mine=True).names
    other = scene.ben.search(scene.dataset, mine=True).names
    assert one != other
    assert set(one) == set(other) == set(TEXTS)
    pages = [scene.ana.search(scene.dataset, mine=True, limit=2, offset=offset).names
             for offset in range(0, 9, 2)]  # fmt: skip
    assert [name for page in pages for name in page] == one


def test_without_a_user_records_come_as_they_went_in(scene: Scene) -> None:
    assert scene.owner.search(scene.dataset).names == list(TEXTS)


def test_pending_are_those_that_the_user_did_not_touch(scene: Scene) -> None:
    pending = scene.ana.search(scene.dataset, mine=True, filters=every(PENDING))
    assert set(pending.names) == set(TEXTS) - {"ast", "ben", "tha", "amh"}
    assert pending.total == len(pending.names)


def test_progress_counts_records_and_a_users_answers(scene: Scene) -> None:
    progress = scene.owner.call("GET", f"/datasets/{scene.dataset}/progress")
    assert (progress["total"], progress["completed"], progress["pending"]) == (9, 1, 8)
    mine = scene.ana.call("GET", f"/me/datasets/{scene.dataset}/metrics")["responses"]
    assert mine == {"total": 9, "submitted": 2, "discarded": 1, "draft": 1, "pending": 5}


def test_metrics_of_metadata(scene: Scene) -> None:
    found = scene.owner.call("GET", f"/me/datasets/{scene.dataset}/metadata-properties")["items"]
    named = {item["name"]: scene.owner.call("GET", f"/metadata-properties/{item['id']}/metrics")
             for item in found}  # fmt: skip
    assert named["terms"]["total"] == 16
    assert named["terms"]["values"][:2] == [
        {"term": "even", "count": 4},
        {"term": "odd", "count": 4},
    ]
    assert (named["integer"]["min"], named["integer"]["max"]) == (0, 7)
    assert (named["float"]["min"], named["float"]["max"]) == (0.0, 3.5)


def test_nearest_vectors_come_first_and_the_record_itself_does_not(scene: Scene) -> None:
    like = {"vector": {"name": "place", "record_id": scene.ids["ast"]}}
    found = scene.owner.search(scene.dataset, query=like, limit=3)
    assert found.names == ["ben", "tha", "amh"]
    assert found.scores[0] == pytest.approx((1 + 1 / 2**0.5) / 2)
    farthest = {"vector": {"name": "place", "value": [1.0, 0.0], "order": "least_similar"}}
    found = scene.owner.search(scene.dataset, query=farthest, limit=2)
    assert found.names == ["ang", "odd"]
    assert found.scores[0] == pytest.approx((1 - 1 / 65**0.5) / 2)


def test_nearest_vectors_among_those_that_a_word_and_a_filter_leave(scene: Scene) -> None:
    like = {"text": {"q": "number"}, "vector": {"name": "place", "value": [1.0, 0.0]}}
    found = scene.ana.search(scene.dataset, mine=True, query=like, filters=every(PENDING))
    assert found.names == ["yor", "mya", "hin", "odd", "ang"]


def test_changed_and_deleted_texts_are_no_longer_found(scene: Scene) -> None:
    made = scene.owner.call("POST", f"/datasets/{scene.dataset}/records/bulk", {
        "items": [{"external_id": "passing", "fields": {"prompt": "ephemeral"}}]})  # fmt: skip
    record = made["items"][0]["id"]
    assert _typed(scene, "ephemeral") == {"passing"}
    scene.owner.call("PATCH", f"/records/{record}", {"fields": {"prompt": "lasting"}})
    assert (_typed(scene, "ephemeral"), _typed(scene, "lasting")) == (set(), {"passing"})
    scene.owner.call("DELETE", f"/records/{record}")
    assert _typed(scene, "lasting") == set()


def test_a_deleted_dataset_takes_its_texts_along(scene: Scene) -> None:
    workspace = scene.owner.call("GET", f"/datasets/{scene.dataset}")["workspace_id"]
    other = make_dataset(scene.owner, workspace, "passing")
    add(scene.owner, other, [{"external_id": "only", "fields": {"prompt": "number"}}])
    assert scene.owner.search(other, query={"text": {"q": "number"}}).names == ["only"]
    assert "only" not in _typed(scene, "number")
    scene.owner.call("DELETE", f"/datasets/{other}")
    assert scene.owner.raw("GET", f"/api/v1/datasets/{other}").status == 404

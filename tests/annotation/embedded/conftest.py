"""One dataset with records of every shape, on the shared server."""

from typing import NamedTuple

import pytest
from tests.annotation.conftest import ArgillaServer
from tests.annotation.embedded.rest import (
    PASSWORD,
    Api,
    add,
    make_dataset,
    make_person,
    make_workspace,
)

TEXTS = {
    "ast": "La xente fala n'asturianu; ñon «ye» fácil",
    "ben": "বাংলা ভাষায় লেখা একটি পরীক্ষা",
    "tha": "ประโยคนี้เขียนเป็นภาษาไทยโดยไม่เว้นวรรค",
    "amh": "ይህ በአማርኛ የተጻፈ ነው",
    "yor": "Ọ̀rọ̀ yìí wà ní èdè Yorùbá",
    "mya": "ဤစာကြောင်းကိုမြန်မာဘာသာဖြင့်ရေးသည်",
    "hin": "बम शब्द छोटा है",
    "odd": "100% 'quoted' \"double\" a_b [x] $.path -minus; DROP TABLE records; --",
    "ang": "1 &lt; 2 &amp; 3",
}


class Scene(NamedTuple):
    """The dataset, who may see it, and the records' ids by external id."""

    url: str
    owner: Api
    ana: Api
    ana_id: str
    ben: Api
    ben_id: str
    dataset: str
    ids: dict[str, str]


@pytest.fixture(scope="session")
def scene(argilla_server: ArgillaServer) -> Scene:
    """Texts in nine scripts and manners; numbers for the rest. Nobody changes it."""
    url = argilla_server.api_url
    owner = Api.with_key(url, argilla_server.api_key)
    workspace = make_workspace(owner, "embedded-scene")
    people = [make_person(owner, name, workspace) for name in ("scene-ana", "scene-ben")]
    dataset = make_dataset(owner, workspace, "scene", wanted=2)
    questions = owner.call("GET", f"/datasets/{dataset}/questions")["items"]
    asked = {question["name"]: question["id"] for question in questions}
    ids = add(owner, dataset, [_record(number, name, text, asked)
                               for number, (name, text) in enumerate(TEXTS.items())])  # fmt: skip
    ana, ben = (Api.signed_in(url, name, PASSWORD) for name in ("scene-ana", "scene-ben"))
    scene = Scene(url, owner, ana, people[0], ben, people[1], dataset, ids)
    _answer(scene)
    return scene


def _record(number: int, name: str, text: str, asked: dict[str, str]) -> dict[str, object]:
    suggestions = [
        {"question_id": asked["verdict"], "value": "harmful" if number % 2 else "unharmful",
         "score": number / 10, "agent": f"agent-{number % 3}"},
        {"question_id": asked["issues"], "value": ["a", "b"] if number % 2 else ["c"],
         "score": [0.1, 0.2] if number % 2 else [number / 10]},
    ]  # fmt: skip
    vector = [1.0, float(number)]
    return {
        "external_id": name,
        "fields": {"prompt": text, "more": f"number {number}"},
        "metadata": {"terms": ["even" if number % 2 == 0 else "odd", f"n{number}"],
                     "integer": number, "float": number / 2} if name != "ang" else {},
        "suggestions": suggestions,
        "vectors": {"place": vector},
    }  # fmt: skip


def _answer(scene: Scene) -> None:
    full = {"verdict": "harmful", "issues": ["a", "c"], "rating": 5}
    scene.ana.respond(scene.ids["ast"], full)
    scene.ana.respond(scene.ids["ben"], {"verdict": "unharmful", "rating": 2})
    scene.ana.respond(scene.ids["tha"], {"verdict": "harmful"}, "draft")
    scene.ana.respond(scene.ids["amh"], {}, "discarded")
    scene.ben.respond(scene.ids["ast"], {"verdict": "harmful", "rating": 4})
    scene.ben.respond(scene.ids["yor"], {"verdict": "harmful"})

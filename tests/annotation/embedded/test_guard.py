"""What a stranger gets: headers that protect, no docs, no figures, no way in by default."""

import urllib.error

import pytest
from tests.annotation.conftest import ArgillaServer
from tests.annotation.embedded.conftest import Scene
from tests.annotation.embedded.rest import Api, token


@pytest.fixture
def stranger(argilla_server: ArgillaServer) -> Api:
    return Api(argilla_server.api_url, {"Origin": "https://elsewhere.example"})


@pytest.mark.parametrize("path", ["/", "/sign-in", "/api/v1/version", "/api/v1/me", "/nothing"])
def test_every_answer_is_guarded(stranger: Api, path: str) -> None:
    headers = stranger.raw("GET", path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"].startswith("'self' 'sha256-")
    assert "unsafe" not in policy["script-src"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["server"] is None


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_no_other_origin_is_let_in(stranger: Api, method: str) -> None:
    headers = stranger.raw(method, "/api/v1/datasets").headers
    assert not [name for name in headers if name.lower().startswith("access-control-allow-origin")]


@pytest.mark.parametrize(
    "path", ["/api/v1/docs", "/api/v1/docs/", "/api/v1/openapi.json", "/api/v1/redoc",
             "/api/v1/docs/oauth2-redirect"])  # fmt: skip
def test_docs_are_not_served(stranger: Api, path: str) -> None:
    assert stranger.raw("GET", path).status == 404


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/api", "/redoc"])
def test_docs_of_the_outer_app_are_the_page_of_the_ui(stranger: Api, path: str) -> None:
    answer = stranger.raw("GET", path)
    assert answer.headers["content-type"].startswith("text/html")
    assert b"__nuxt" in answer.body
    assert b"openapi" not in answer.body.lower()


def test_status_is_for_those_who_are_signed_in(stranger: Api, scene: Scene) -> None:
    refused = stranger.raw("GET", "/api/v1/status")
    assert refused.status == 401
    assert b"rss" not in refused.body
    assert scene.owner.call("GET", "/status")["search_engine"] == {"name": "whyguard"}


def test_default_credentials_do_not_exist(argilla_server: ArgillaServer, scene: Scene) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        token(argilla_server.api_url, "argilla", "1234")
    default = Api.with_key(argilla_server.api_url, "argilla.apikey")
    assert default.raw("GET", "/api/v1/me").status == 401
    names = {user["username"] for user in scene.owner.call("GET", "/users")["items"]}
    assert "owner" in names
    assert "argilla" not in names


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/users"), ("POST", "/workspaces"), ("POST", "/users"), ("GET", "/webhooks")],
)
def test_an_annotator_cannot_read_or_make_what_is_the_owners(
    scene: Scene, method: str, path: str
) -> None:
    assert scene.ana.raw(method, f"/api/v1{path}", {} if method == "POST" else None).status in (
        403,
        422,
    )
    assert scene.ana.raw("GET", f"/api/v1/datasets/{scene.dataset}/records").status == 403

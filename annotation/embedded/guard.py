"""What is put around Argilla's app: security headers, and no docs or figures for strangers."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from argilla_server.api.routes import api_v1
from argilla_server.api.schemas.v1.records import Record
from argilla_server.database import get_async_db
from argilla_server.models import User
from argilla_server.security import auth
from fastapi import Depends, Security

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY = {
    "default-src": "'none'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "frame-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_DOCS = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/api")
_STATUS = "/status"
_RECORD = "/records/{record_id}"


def content_policy(script_hashes: Sequence[str]) -> str:
    """The content-security policy: no outside host for anything, no script but the pages' own.

    Argilla's pages put texts in as HTML, in a frame of their own origin where they look like
    HTML; without a policy a prompt could act as whoever reads it. Frames made of text inherit
    this one. It also stops Argilla's custom fields, whose templates are scripts.
    """
    rules = _POLICY | {"script-src": " ".join(["'self'", *script_hashes])}
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


class Guard:
    """Adds the policy and `HEADERS` to every answer."""

    def __init__(self, app: App, policy: str) -> None:
        self._app = app
        headers = HEADERS | {"content-security-policy": policy}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the start and stop of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name for name, _ in self._headers}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in named]
                message["headers"] = [*kept, *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def close_to_strangers(app: Any) -> None:
    """Remove the docs pages of Argilla's apps; its status is for those who are signed in."""
    for one in (app, api_v1):
        one.router.routes[:] = [r for r in one.router.routes if getattr(r, "path", "") not in _DOCS]
    (status,) = [r for r in api_v1.router.routes if getattr(r, "path", "") == _STATUS]
    api_v1.router.routes.remove(status)
    api_v1.add_api_route(
        _STATUS, status.endpoint, response_model=status.response_model,
        dependencies=[Security(auth.get_current_user)])  # fmt: skip


def hide_others_answers() -> None:
    """Give annotators no answers but their own with a record: the second must not see the first.

    Argilla's `GET /records/{id}` has all of them, for everybody who may see the record.
    """
    (route,) = [r for r in api_v1.router.routes
                if getattr(r, "path", "") == _RECORD and "GET" in getattr(r, "methods", ())
                ]  # fmt: skip
    api_v1.router.routes.remove(route)

    async def get_record(
        record_id: UUID,
        db: Annotated[Any, Depends(get_async_db)],
        reader: Annotated[User, Security(auth.get_current_user)],
    ) -> Any:
        found = await route.endpoint(db=db, record_id=record_id, current_user=reader)
        record = Record.model_validate(found)
        if not (reader.is_owner or reader.is_admin):
            record.responses = [r for r in record.responses or () if r.user_id == reader.id]
        return record

    api_v1.add_api_route(_RECORD, get_record, methods=["GET"], response_model=Record)

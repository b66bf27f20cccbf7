"""Made-up replies, inputs with replies, and a real server on loopback that talks as it is told."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.generation.making import inputs, stored

from whyguard.core.schemas import Reply
from whyguard.core.steps import Input
from whyguard.generation.teachers.base import TeacherRuntime

Talk = Callable[[list[dict[str, str]]], str]


def reply(number: int, text: str, kind: str = "refusal", language: str = "eng_Latn",
          **other: Any) -> dict[str, Any]:  # fmt: skip
    """A reply to the prompt of that number."""
    side = "h" if kind == "refusal" else "b"
    return {"prompt_id": f"made:{number:03d}-{side}:eng_Latn", "language": language, "kind": kind,
            "text": text, "generator": "made", "signals": []} | other  # fmt: skip


def with_replies(folder: Path, replies: Iterable[Mapping[str, Any]], **tables: Any
                 ) -> dict[str, Input]:  # fmt: skip
    """Stored inputs and replies."""
    table = stored(folder / "replies", Reply, replies)
    return {**inputs(folder, **tables), "replies": Input((table,))}


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[TeacherRuntime]:
    """An OpenAI-compatible server whose answers are `talk(messages)`; it heeds schemas of enums."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(404, {"error": {"message": "not here"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = _probe_answer(body) or talk(body["messages"])
            choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self._send(200, {"choices": [choice],
                             "usage": {"prompt_tokens": 9, "completion_tokens": 9}})  # fmt: skip

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield TeacherRuntime(base_url=f"http://127.0.0.1:{server.server_port}/v1", tries=1)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _probe_answer(body: dict[str, Any]) -> str | None:
    """The only answer that a schema of single values allows; None where it allows more."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    values = {key: field.get("enum", []) for key, field in schema.get("properties", {}).items()}
    if values and all(len(allowed) == 1 for allowed in values.values()):
        return json.dumps({key: allowed[0] for key, allowed in values.items()})
    return None


def between_marks(messages: list[dict[str, str]]) -> str:
    """What the user's message has inside its fence."""
    return messages[-1]["content"].removeprefix("<<<\n").removesuffix("\n>>>")

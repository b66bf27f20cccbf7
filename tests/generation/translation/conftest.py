"""Tiny translation models, made once, and a chat server on loopback that translates."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.generation.translation import tiny_seq2seq
from tests.support import needs_module


@pytest.fixture(scope="session")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_module("transformers")
    return tiny_seq2seq.save_nllb(tmp_path_factory.mktemp("models") / "tiny-nllb")


@pytest.fixture(scope="session")
def m2m(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_module("sentencepiece")
    return tiny_seq2seq.save_m2m(tmp_path_factory.mktemp("models") / "tiny-m2m")


@pytest.fixture(scope="session")
def madlad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_module("transformers")
    return tiny_seq2seq.save_madlad(tmp_path_factory.mktemp("models") / "tiny-madlad")


@pytest.fixture(scope="session")
def opus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many languages, told by tags."""
    needs_module("sentencepiece")
    folder = tmp_path_factory.mktemp("models") / "tiny-opus"
    return tiny_seq2seq.save_opus(folder, ("ast", "eng"), source_lang="spa", target_lang="mul")


@pytest.fixture(scope="session")
def opus_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spanish to Asturian only."""
    needs_module("sentencepiece")
    folder = tmp_path_factory.mktemp("models") / "tiny-pair"
    return tiny_seq2seq.save_opus(folder, source_lang="es", target_lang="ast")


class ChatServer(ThreadingHTTPServer):
    """Answers chat completions with `say(text between the fences, system's part)`."""

    say: Callable[[str, str], str]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.say = tagged

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if len(body["messages"]) == 1:
            self._chat(_probe_answer(body))
            return
        system, user = (message["content"] for message in body["messages"])
        text = user.removeprefix("<<<\n").removesuffix("\n>>>")
        self.server.bodies.append(body)
        self.server.asked[text] += 1
        self._chat(self.server.say(text, system))

    def _chat(self, text: str) -> None:
        said = {"message": {"content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5}
        self._reply({"choices": [said], "usage": usage})

    def do_GET(self) -> None:
        served = [{"id": name} for name in ("made-up", "m", "other")]
        self._reply({"object": "list", "data": served})

    def _reply(self, value: dict[str, Any]) -> None:
        sent = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _probe_answer(body: dict[str, Any]) -> str:
    """What the schema of a capability check allows."""
    schema = body["response_format"]["json_schema"]["schema"]
    return json.dumps({key: field["enum"][0] for key, field in schema["properties"].items()})


def tagged(text: str, system: str) -> str:
    """A made-up translation: the target's code, then the text's words the other way round."""
    found = re.search(r"into .*?\(([a-z]{3}_[A-Z][a-z]{3})\)", system)
    code = found[1] if found else "?"
    return f"<translation>{code} {' '.join(reversed(text.split()))}</translation>"


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()

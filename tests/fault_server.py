"""An OpenAI-compatible server on loopback that misbehaves by a seeded plan and counts requests.

A process of its own (`python -m tests.fault_server`), so that it outlives clients that are killed.
Whether a request gets a fault depends on the seed, its text and how often it was asked before. A
text may also order one itself: "do 403 2 times, ..." (a status), "do hangs 1 times, ...", "do slow
1 times, ..." (an answer after 5.5 s), "do count1e30 1 times, ...", "do count1e5000 1 times, ..."
(an answer of so many tokens).
"""

import argparse
import asyncio
import hashlib
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from aiohttp import web

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ("errors", "limited", "hangs", "truncated", "wrong")
_SCALE = 10_000
_ORDER = re.compile(r"do (\w+) (\d+) times")


class Counts(NamedTuple):
    """What the server saw, by the text of the last message."""

    asked: Counter[str]
    """Requests."""
    answered: Counter[str]
    """Whole, right replies."""
    most: int
    """Requests under way at once."""
    faults: Counter[str]


class FaultServer:
    """The server in a process of its own, for the time of the block.

    Shares of faults are probabilities: errors (500), limited (429 with Retry-After), hangs,
    truncated bodies, wrong JSON.
    """

    def __init__(self, seed: int = 0, delay: float = 0.005, retry_after: str = "0.05",
                 **shares: float) -> None:  # fmt: skip
        options = {"seed": seed, "delay": delay, "retry-after": retry_after, **shares}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault_server", *words], cwd=ROOT, text=True,
            stdout=subprocess.PIPE)  # fmt: skip
        assert self._process.stdout is not None
        self._address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.base_url = f"{self._address}/v1"

    def counts(self) -> Counts:
        """What it saw so far."""
        with urllib.request.urlopen(f"{self._address}/counts", timeout=30) as reply:  # noqa: S310
            seen = json.load(reply)
        return Counts(Counter(seen["asked"]), Counter(seen["answered"]), seen["most"],
                      Counter(seen["faults"]))  # fmt: skip

    def total(self) -> int:
        """Requests so far."""
        with urllib.request.urlopen(f"{self._address}/total", timeout=30) as reply:  # noqa: S310
            return int(reply.read())

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "FaultServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.stop()


class _Handlers:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._under_way = self._most = self._total = 0

    async def counts(self, _: web.Request) -> web.Response:
        return web.json_response({"asked": self._asked, "answered": self._answered,
                                  "most": self._most, "faults": self._faults})  # fmt: skip

    async def total(self, _: web.Request) -> web.Response:
        return web.Response(text=str(self._total))

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        fault = self._fault(text, self._asked[text])
        self._asked[text] += 1
        self._total += 1
        self._faults[fault] += 1
        self._under_way += 1
        self._most = max(self._most, self._under_way)
        try:
            await asyncio.sleep(self._options.delay)
            return await self._reply(request, text, fault)
        finally:
            self._under_way -= 1

    def _fault(self, text: str, before: int) -> str:
        order = _ORDER.match(text)
        if order:
            return order[1] if before < int(order[2]) else "none"
        name = f"{self._options.seed}/{before}/{text}".encode()
        draw = int(hashlib.sha256(name).hexdigest()[:8], 16) % _SCALE / _SCALE
        for fault in FAULTS:
            draw -= getattr(self._options, fault)
            if draw < 0:
                return fault
        return "none"

    async def _reply(self, request: web.Request, text: str, fault: str) -> web.StreamResponse:
        if fault.isdigit():
            headers = {"Retry-After": self._options.retry_after} if fault == "429" else {}
            return web.json_response({"error": {"message": text}}, status=int(fault),
                                     headers=headers)  # fmt: skip
        if fault == "errors":
            return web.json_response({"error": {"code": "made_up"}}, status=500)
        if fault == "limited":
            return web.Response(status=429, headers={"Retry-After": self._options.retry_after})
        if fault == "wrong":
            return web.json_response({"answer": "of another form"})
        if fault == "hangs":
            await asyncio.sleep(600)
        if fault == "slow":
            await asyncio.sleep(5.5)
        reply = json.dumps(completion(f"to {text}")).encode()
        if fault.startswith("count1e"):
            digits = b"1" + b"0" * int(fault.removeprefix("count1e"))
            reply = reply.replace(b'"completion_tokens": 5', b'"completion_tokens": ' + digits)
        if fault == "truncated":
            return await _cut(request, reply)
        self._answered[text] += 1
        return web.Response(body=reply, content_type="application/json")


def completion(text: str) -> dict[str, object]:
    """A reply of the chat completions protocol."""
    return {
        "id": "made-up", "object": "chat.completion", "created": 0, "model": "made-up",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }  # fmt: skip


async def _cut(request: web.Request, reply: bytes) -> web.StreamResponse:
    """Half of the body: less than its length says, or (each second text) as if it were all."""
    half = reply[: len(reply) // 2]
    if len(reply) % 2:
        return web.Response(body=half, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Length": str(len(reply))})
    await response.prepare(request)
    await response.write(half)
    if request.transport is not None:
        request.transport.close()
    return response


async def _serve(options: argparse.Namespace) -> None:
    handlers = _Handlers(options)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handlers.complete)
    app.router.add_get("/counts", handlers.counts)
    app.router.add_get("/total", handlers.total)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.005)
    parser.add_argument("--retry-after", default="0.05")
    for fault in FAULTS:
        parser.add_argument(f"--{fault}", type=float, default=0.0)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_options()))

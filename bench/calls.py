"""Calls to a server that takes 50 ms: raw aiohttp against the driver with durable rows."""

import asyncio
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiohttp
from tests.fault_server import FaultServer

from bench.harness import Figure
from whyguard.core.progress import Progress
from whyguard.core.steps import Room
from whyguard.generation.calls.ask import ask
from whyguard.generation.teachers.base import Task, TeacherConfig, TeacherRuntime
from whyguard.generation.teachers.server import ServerTeacher

CALLS, CONCURRENCY, DELAY, ROUNDS = 1000, 32, 0.05, 5
PREAMBLE = "You are a guard that explains its verdicts. " * 40
CONFIG = TeacherConfig(kind="openai", model_name="made-up", max_new_tokens=64)
VENVS = "WHYGUARD_BENCH_VENVS"
OTHERS = ("distilabel", "data-designer", "bespokelabs-curator")
_PEER_SECONDS = 300


class Cost(NamedTuple):
    """Seconds by the clock and of the processor, of this process and all its threads."""

    wall: float
    cpu: float


def measured(work: Callable[[], object]) -> Cost:
    """What a piece of work costs."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def messages(number: int) -> tuple[tuple[str, str], ...]:
    return (("system", PREAMBLE), ("user", f"placeholder request {number}"))


def raw(base_url: str) -> int:
    """Plain aiohttp: the same bodies, replies parsed, nothing stored."""
    return asyncio.run(_raw(f"{base_url}/chat/completions"))


async def _raw(url: str) -> int:
    waiting, texts = list(range(CALLS)), []

    async def work(session: aiohttp.ClientSession) -> None:
        while waiting:
            parts = messages(waiting.pop())
            sent = [{"role": name, "content": text} for name, text in parts]
            body = {"model": "made-up", "max_tokens": 64, "temperature": 0.0, "seed": 0,
                    "messages": sent}  # fmt: skip
            async with session.post(url, json=body) as response:
                reply = json.loads(await response.read())
            texts.append(reply["choices"][0]["message"]["content"])

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(CONCURRENCY)))
    return len(texts)


def ours(base_url: str) -> int:
    """The same through the driver, every answer on disk before the next call."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        room = Room(folder, folder, Progress.silent(), folder / "ledger")
        runtime = TeacherRuntime(base_url=base_url, concurrency=CONCURRENCY)
        tasks = [Task("trace", str(n), str(n), "harmful", (), "eng_Latn", 0, messages(n))
                 for n in range(CALLS)]  # fmt: skip
        return len(ask(ServerTeacher(CONFIG, runtime), tasks, CONFIG, runtime, room))


def run() -> list[Figure]:
    """Medians of alternating runs against one server."""
    with FaultServer(delay=DELAY) as server:
        costs: dict[str, list[Cost]] = {"raw": [], "ours": []}
        for _ in range(ROUNDS):
            for name, work in (("raw", raw), ("ours", ours)):
                costs[name].append(measured(lambda: work(server.base_url)))  # noqa: B023
        figures = [_figure("wall", costs, 1.3), _figure("cpu", costs, 2.0)]
        for name in OTHERS:
            _print_peer(name, server.base_url)
        return figures


def _print_peer(name: str, base_url: str) -> None:
    """Another library in a venv of its own, where one is named."""
    python = Path(os.environ.get(VENVS, "")) / name / "bin" / "python"
    if VENVS not in os.environ or not python.is_file():
        print(f"  {name}: not installed (name a folder with its venv in {VENVS})")
        return
    command = [str(python), str(Path(__file__).with_name("peers.py")), name, base_url,
               str(CALLS), str(CONCURRENCY)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PEER_SECONDS)
    if done.returncode:
        print(f"  {name}: failed: {done.stderr.strip().splitlines()[-1:]}")
        return
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"  {name}: {facts['wall']:.1f} s wall, {facts['cpu']:.1f} s cpu, {facts['answers']} "
          f"answers")  # fmt: skip


def _figure(kind: str, costs: dict[str, list[Cost]], most: float) -> Figure:
    seconds = {name: median(getattr(cost, kind) for cost in found) for name, found in costs.items()}
    share = seconds["ours"] / seconds["raw"]
    return Figure(f"{CALLS} durable calls of 50 ms, {kind}", "raw aiohttp", seconds["raw"],
                  seconds["ours"], f"ours / raw = {share:.2f} (at most {most:g})")  # fmt: skip

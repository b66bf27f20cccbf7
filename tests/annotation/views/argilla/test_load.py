"""Several annotators at once, and a server that dies under them."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.annotation.conftest import free_port
from tests.annotation.views.argilla.acting import Annotator, blind_sheet, unique
from tests.support import needs_module

from whyguard.annotation.people import People
from whyguard.annotation.server.home import owner
from whyguard.annotation.server.launch import Address, start, stop
from whyguard.annotation.views.argilla.client import Argilla, connect
from whyguard.annotation.views.argilla.invite import invite
from whyguard.annotation.views.argilla.pull import pull_sheets
from whyguard.annotation.views.argilla.push import push_sheets
from whyguard.annotation.views.base import Pulled, Sheet
from whyguard.core.progress import Progress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ANNOTATORS, ITEMS = 5, 300
VERDICTS = ("harmful", "unharmful")
SILENT = Progress.silent()


@dataclass(slots=True)
class Work:
    """What the server acknowledged: (item, annotator, verdict), and how long each took."""

    done: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def team(server: Argilla, people: People, sheet: Sheet) -> list[tuple[str, Annotator]]:
    """Pseudonyms and people who are signed in."""
    found = []
    for _ in range(ANNOTATORS):
        invited = invite(server, people, unique("load"), sheet.space)
        assert invited.password is not None
        annotator = Annotator(server.url, invited.person.user_name, invited.password)
        found.append((invited.person.pseudonym, annotator))
    return found


def answer_all(who: str, annotator: Annotator, dataset: str, work: Work,
               stopped: Callable[[], bool]) -> None:  # fmt: skip
    """Answer until the queue is empty, each record once."""
    chooser = random.Random(who)
    while waiting := annotator.queue(dataset):
        for record in waiting:
            verdict = chooser.choice(VERDICTS)
            begun = time.monotonic()
            try:
                given = annotator.answer(record, {"verdict": verdict})
            except httpx.HTTPError as error:
                work.errors.append(type(error).__name__)
                if stopped():
                    return
                continue
            work.seconds.append(time.monotonic() - begun)
            work.done.append((given["record_id"], who, verdict))


def all_work(people: list[tuple[str, Annotator]], dataset: str,
             stopped: Callable[[], bool] = lambda: False) -> Work:  # fmt: skip
    work = Work()
    with ThreadPoolExecutor(len(people)) as pool:
        running = [pool.submit(answer_all, who, annotator, dataset, work, stopped)
                   for who, annotator in people]  # fmt: skip
        for one in running:
            one.result()
    return work


def verdicts(pulled: Pulled) -> Counter[tuple[str, str, str]]:
    return Counter((given.item_id, given.annotator, given.value) for given in pulled.given)


def items_of(server: Argilla, dataset: str) -> dict[str, str]:
    pages = server.pages(f"/datasets/{dataset}/records")
    return {entry["id"]: entry["external_id"] for page in pages for entry in page}


def test_five_at_once_lose_and_double_nothing(server: Argilla, people: People) -> None:
    sheet = blind_sheet(ITEMS, space="npi_Deva", wanted=2)
    push_sheets(server, [sheet], SILENT)
    everybody = team(server, people, sheet)
    dataset = everybody[0][1].datasets()[sheet.name]
    begun = time.monotonic()
    work = all_work(everybody, dataset)
    spent = time.monotonic() - begun
    items = items_of(server, dataset)
    given = verdicts(pull_sheets(server, people, [sheet], SILENT))
    assert work.errors == []
    assert given == Counter((items[record], who, verdict) for record, who, verdict in work.done)
    assert max(given.values()) == 1
    answers = Counter(item for item, _, _ in given)
    assert set(answers) == {item.item_id for item in sheet.items} and min(answers.values()) >= 2
    ordered = sorted(work.seconds)
    print(f"{len(work.done)} answers in {spent:.1f} s, median {ordered[len(ordered) // 2]:.3f} s, "
          f"95 % {ordered[len(ordered) * 95 // 100]:.3f} s")  # fmt: skip


def test_what_a_killed_server_acknowledged_is_there(
    argilla_installed: None, tmp_path: Path
) -> None:
    needs_module("argilla")
    home, port = tmp_path / "home", free_port()
    running = start(home, Address(port=port))
    try:
        server = connect(running.api_url, owner(home).api_key)
        people, sheet = People(tmp_path / "review"), blind_sheet(150, space="npi_Deva", wanted=2)
        push_sheets(server, [sheet], SILENT)
        everybody = team(server, people, sheet)
        dataset = everybody[0][1].datasets()[sheet.name]
        killed = threading.Event()
        work = kill_in_the_middle(everybody, dataset, running.pid, killed)
        start(home, Address(port=port))
        items = items_of(server, dataset)
        given = verdicts(pull_sheets(server, people, [sheet], SILENT))
        acknowledged = {(items[record], who, verdict) for record, who, verdict in work.done}
        assert 40 <= len(acknowledged) < 300 and work.errors
        assert acknowledged <= set(given) and max(given.values()) == 1
        # an answer that was under way may be there without its acknowledgement
        assert len(given) - len(acknowledged) <= ANNOTATORS
        assert push_sheets(server, [sheet], SILENT) == (0, 150)
        rest = all_work(everybody, dataset)
        assert rest.errors == [] and set(answered(server, people, sheet).values()) == {2}
    finally:
        stop(home)


def kill_in_the_middle(everybody: list[tuple[str, Annotator]], dataset: str, pid: int,
                       killed: threading.Event) -> Work:  # fmt: skip
    """Kill the server once 40 answers were acknowledged; everybody stops at the next error."""
    work = Work()

    def kill() -> None:
        while len(work.done) < 40:
            time.sleep(0.01)
        killed.set()
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(len(everybody)) as pool:
        for who, annotator in everybody:
            pool.submit(answer_all, who, annotator, dataset, work, killed.is_set)
    killer.join()
    return work


def answered(server: Argilla, people: People, sheet: Sheet) -> Counter[str]:
    """Item -> number of answers, capped at the wanted two."""
    pulled = pull_sheets(server, people, [sheet], SILENT)
    counted = Counter(given.item_id for given in pulled.given)
    return Counter({item: min(number, 2) for item, number in counted.items()})

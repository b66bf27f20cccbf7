"""Group commits: stored before `store` returns, together where they come together."""

import asyncio
from collections.abc import Sequence

import pytest

from whyguard.core.errors import ArtefactError
from whyguard.generation.calls.commits import Committer
from whyguard.generation.calls.ledger import Ended
from whyguard.generation.teachers.base import Answer


def ended(n: int) -> Ended:
    return Ended(str(n), Answer(str(n)))


def test_what_comes_together_is_written_together_and_before_it_returns() -> None:
    groups: list[list[str]] = []

    def put(group: Sequence[Ended]) -> None:
        groups.append([item.key for item in group])

    async def run() -> None:
        committer = Committer(put)

        async def store(n: int) -> None:
            await committer.store(ended(n))
            assert any(str(n) in group for group in groups)

        await asyncio.gather(*(store(n) for n in range(50)))
        await asyncio.gather(*(store(n) for n in range(50, 60)))
        await committer.close()

    asyncio.run(run())
    assert [key for group in groups for key in group] == [str(n) for n in range(60)]
    assert len(groups) < 10


def test_a_disk_that_fails_reaches_each_that_waits() -> None:
    def put(group: Sequence[Ended]) -> None:
        raise ArtefactError("the disk is full")

    async def run() -> None:
        committer = Committer(put)
        done = await asyncio.gather(*(committer.store(ended(n)) for n in range(3)),
                                    return_exceptions=True)  # fmt: skip
        assert [str(error) for error in done] == ["the disk is full"] * 3
        with pytest.raises(ArtefactError, match="the disk is full"):
            await committer.store(ended(4))
        await committer.close()

    asyncio.run(run())


def test_a_worker_that_is_cancelled_leaves_its_answer_stored() -> None:
    kept: list[str] = []

    async def run() -> None:
        committer = Committer(lambda group: kept.extend(item.key for item in group))
        worker = asyncio.create_task(committer.store(ended(1)))
        await asyncio.sleep(0)
        worker.cancel()
        await committer.close()

    asyncio.run(run())
    assert kept == ["1"]

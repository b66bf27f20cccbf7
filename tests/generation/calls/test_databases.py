"""Files that several open, close and write at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from whyguard.core.errors import ArtefactError
from whyguard.generation.calls.databases import marked, readable
from whyguard.generation.calls.ledger import Ledger
from whyguard.generation.calls.shared import Shared


@pytest.mark.parametrize("kind", [Ledger, Shared])
def test_many_may_open_and_close_one_at_once(
    tmp_path: Path, kind: type[Ledger] | type[Shared]
) -> None:
    many = 6
    together = threading.Barrier(many, timeout=60)

    def work(_: int) -> None:
        for n in range(25):
            together.wait()
            kind(tmp_path / str(n)).close()
            kind(tmp_path / str(n)).close()

    with ThreadPoolExecutor(many) as pool:
        assert list(pool.map(work, range(many))) == [None] * many


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtefactError, match=r"Error: .*\n.*see that the disk has room"):
        Ledger(tmp_path / "file" / "ledger")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="k"), readable(tmp_path, "", ""):
        raise KeyError("k")


def test_keys_come_in_parts() -> None:
    parts = list(marked(str(n) for n in range(1001)))
    assert [len(chunk) for _, chunk in parts] == [500, 500, 1]
    assert parts[2] == ("?", ("1000",))
    assert parts[0][0].count("?") == 500

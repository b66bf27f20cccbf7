"""Claims: one living owner a key, freed however its process ends."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from whyguard.core.errors import ArtefactError
from whyguard.generation.calls.claims import Claims
from whyguard.generation.calls.shared import SHARED_FILE, Shared

_HOLDER = """import sys, time
from pathlib import Path
from whyguard.generation.calls.claims import Claims
from whyguard.generation.calls.shared import Shared
claims = Claims(Shared(Path(sys.argv[1])))
print(len(claims.take([str(n) for n in range(2000)])), flush=True)
time.sleep(600)
"""


@contextmanager
def claims(folder: Path) -> Iterator[Claims]:
    with Shared(folder) as shared:
        yield Claims(shared)


def test_a_key_has_one_owner(tmp_path: Path) -> None:
    with claims(tmp_path) as one, claims(tmp_path) as two:
        assert one.take(["a", "b"]) == {"a", "b"}
        assert two.take(["b", "c"]) == {"c"}
        assert one.take(["a", "b", "c"]) == {"a", "b"}, "what is held stays held"


def test_what_is_given_back_may_be_taken(tmp_path: Path) -> None:
    with claims(tmp_path) as one, claims(tmp_path) as two:
        one.take(["a", "b"])
        two.give_back(["b"])
        assert two.take(["b"]) == set(), "only its owner lets go"
        one.give_back(["a"])
        assert two.take(["a", "b"]) == {"a"}


def test_all_or_none(tmp_path: Path) -> None:
    with claims(tmp_path) as one, claims(tmp_path) as two:
        one.take(["b"])
        assert not two.take_all(["a", "b"])
        assert one.take_all(["a", "b"])


def test_closing_lets_go_and_leaves_nothing(tmp_path: Path) -> None:
    with claims(tmp_path) as one:
        one.take(["a"])
    with claims(tmp_path) as two:
        assert two.take(["a"]) == {"a"}
    assert not list((tmp_path / "owners").iterdir())


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], text=True,
                              stdout=subprocess.PIPE)  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "2000\n"
    keys = [str(n) for n in range(2001)]
    with claims(tmp_path) as mine:
        assert mine.take(keys) == {"2000"}
        holder.kill()
        holder.communicate()
        assert mine.take(keys) == set(keys)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / SHARED_FILE).write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(ArtefactError, match="it holds no answers"):
        Shared(tmp_path)

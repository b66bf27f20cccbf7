"""Which process asks for which call, so that two on one ledger never both pay for one."""

from collections.abc import Iterable, Sequence

from whyguard.generation.calls.databases import marked
from whyguard.generation.calls.shared import Shared


class Claims:
    """The keys that this owner asks for. A claim must be followed by a look into the ledger: the
    last owner may have stored the answer before it let go. What a dead owner held may be taken.

    Raises (from every method):
        ArtefactError: the file cannot be written.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def take(self, keys: Sequence[str]) -> set[str]:
        """Claim what no living owner holds; all of `keys` that are now this owner's."""
        shared = self._shared
        with shared.writing():
            for owner in {owner for _, owner in self._holders(keys)}:
                if not shared.alive(owner):
                    shared.bury(owner)
            shared.db.executemany("insert or ignore into claim values (?, ?)",
                                  [(key, shared.owner) for key in keys])  # fmt: skip
            return {key for key, owner in self._holders(keys) if owner == shared.owner}

    def take_all(self, keys: Sequence[str]) -> bool:
        """Claim all of `keys`, or none where a living owner holds one of them."""
        mine = self.take(keys)
        if len(mine) == len(set(keys)):
            return True
        self.give_back(mine)
        return False

    def give_back(self, keys: Iterable[str]) -> None:
        """Let go of keys that got no answer."""
        shared = self._shared
        with shared.writing():
            shared.db.executemany("delete from claim where key = ? and owner = ?",
                                  [(key, shared.owner) for key in keys])  # fmt: skip

    def _holders(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for marks, chunk in marked(keys):
            query = f"select key, owner from claim where key in ({marks})"  # noqa: S608
            found += self._shared.db.execute(query, chunk)
        return found

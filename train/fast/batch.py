"""A batch as one flat sequence in which every shared beginning is run once.

Rows of guard data begin alike: the policy preamble is the same in all of them, and the chosen and
the rejected answer of a pair have the same prompt. The rows of a batch are laid into a token trie:
a token whose whole past equals that of another row's token is the same node, and is run once. The
nodes become one flat sequence of S tokens without any padding; who may attend to whom is kept
beside it, as three things:

- the P tokens at the front that *all* rows begin with (the preamble);
- for each row that adds tokens of its own, which of the S tokens ask (queries, its own) and which
  it looks at behind the preamble (keys, its own and those of an earlier row it branches off);
- a row's `offset`: how many of its keys lie before its first query.

Position = depth in the trie, so position ids, causality and sliding windows are those of the row
alone. Tokens after which nothing is predicted (the last one of a row) are not run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whyguard.core.errors import DataError, fail
from whyguard.train.segments import IGNORED, Encoded


@dataclass(frozen=True, slots=True)
class GuardBatch:
    """B rows as one flat sequence of S tokens, and the N tokens that are predicted.

    N is in row order. In Q and K, shorter rows are padded with 0.
    """

    ids_S: Tensor
    positions_S: Tensor
    """Position of each token in its row."""
    preamble: int
    """P: how many of the S tokens all rows begin with."""
    queries_A_Q: Tensor
    """For each of the A rows that add tokens: where in S its own tokens are."""
    keys_A_K: Tensor
    """Where in S the tokens are that those attend to, without the preamble."""
    offsets_A: Tensor
    """How many of a row's keys come before its first query."""
    own_R: Tensor
    """Where in A x Q, flattened, the R = S - P tokens behind the preamble are, in order."""
    before_N: Tensor
    """Where in S the token before each predicted token is."""
    targets_N: Tensor
    weights_N: Tensor
    """Loss weight of each predicted token, fp32."""
    counts: tuple[int, ...]
    """Predicted tokens of each of the B rows; they sum to N."""

    @property
    def rows(self) -> int:
        """B."""
        return len(self.counts)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "GuardBatch":
        """The same on another device."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)

    def muted(self) -> "GuardBatch":
        """The same with weights 0: what a process runs that has no rows left in a step."""
        return replace(self, weights_N=torch.zeros_like(self.weights_N))


class _Row(NamedTuple):
    """A row in the trie: the nodes of its tokens; nodes from `first` on are its own."""

    path: list[int]
    first: int
    targets: list[int]
    """Positions of the predicted tokens."""


class _Trie:
    """Nodes in the order they were made: tokens and positions, each of length S."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def add(self, ids: Sequence[int], root: int) -> list[int]:
        """The nodes of `ids` below `root`; missing ones are made."""
        path, parent = [], root
        for position, token in enumerate(ids):
            node = self._children.setdefault((parent, token), len(self.tokens))
            if node == len(self.tokens):
                self.tokens.append(token)
                self.positions.append(position)
            path.append(node)
            parent = node
        return path


def make_batch(rows: Sequence[Encoded], *, share: bool = True) -> GuardBatch:
    """Lay rows into one flat sequence.

    Args:
        rows: B rows. A token is predicted where its label is not IGNORED and its weight not 0.
        share: run equal beginnings once; False runs every row whole.

    Raises:
        DataError: nothing is to be predicted, or a row's first token is (from nothing).
    """
    trie, placed = _Trie(), []
    for number, row in enumerate(rows):
        targets, first = _targets(row, number), len(trie.tokens)
        run = row.input_ids[: targets[-1] if targets else 0]
        path = trie.add(run, root=-1 if share else -1 - number)
        placed.append(_Row(path, first, targets))
    if not trie.tokens:
        fail(DataError, where="batch", expected="a token with a label and a weight",
             found=f"none in {len(rows)} rows",
             do="leave out rows without a completion")  # fmt: skip
    return _assemble(rows, placed, trie)


def _targets(row: Encoded, number: int) -> list[int]:
    targets = [t for t, (label, weight)
               in enumerate(zip(row.labels, row.loss_weights, strict=True))
               if label != IGNORED and weight != 0]  # fmt: skip
    if targets and targets[0] == 0:
        fail(DataError, where=f"batch: row {number}", expected="a prompt before the completion",
             found="a completion that starts at the first token",
             do="begin the row with a prompt or a beginning-of-text token")  # fmt: skip
    return targets


def _assemble(rows: Sequence[Encoded], placed: list[_Row], trie: _Trie) -> GuardBatch:
    preamble = _common(placed)
    queries = [[node for node in row.path[preamble:] if node >= row.first] for row in placed]
    keys = [row.path[preamble:] for row in placed]
    asking = [b for b, own in enumerate(queries) if own]
    width = max((len(queries[b]) for b in asking), default=0)
    chosen = list(zip(rows, placed, strict=True))
    return GuardBatch(
        ids_S=_long(trie.tokens),
        positions_S=_long(trie.positions),
        preamble=preamble,
        queries_A_Q=_padded([queries[b] for b in asking]),
        keys_A_K=_padded([keys[b] for b in asking]),
        offsets_A=_long([len(keys[b]) - len(queries[b]) for b in asking]),
        own_R=_long([a * width + i for a, b in enumerate(asking) for i in range(len(queries[b]))]),
        before_N=_long([place.path[t - 1] for place in placed for t in place.targets]),
        targets_N=_long([row.input_ids[t] for row, place in chosen for t in place.targets]),
        weights_N=torch.tensor([row.loss_weights[t] for row, place in chosen
                                for t in place.targets], dtype=torch.float32),
        counts=tuple(len(place.targets) for place in placed),
    )  # fmt: skip


def _common(placed: list[_Row]) -> int:
    """How many nodes all paths begin with; rows that predict nothing have no path."""
    paths = [row.path for row in placed if row.path]
    if not paths:
        return 0
    shortest = min(len(path) for path in paths)
    return next((i for i in range(shortest) if any(p[i] != paths[0][i] for p in paths)), shortest)


def _long(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.long)


def _padded(lists: Sequence[Sequence[int]]) -> Tensor:
    width = max((len(values) for values in lists), default=0)
    rows = [[*values, *[0] * (width - len(values))] for values in lists]
    return torch.tensor(rows, dtype=torch.long).reshape(len(lists), width)

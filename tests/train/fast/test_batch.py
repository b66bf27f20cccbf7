"""train/fast/batch.py: rows can be read back out of the flat sequence; nothing runs twice."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.fast.making import make_row, make_rows

from whyguard.core.errors import DataError
from whyguard.train.fast.attention import Layout
from whyguard.train.fast.batch import GuardBatch, make_batch
from whyguard.train.segments import Encoded

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=6)
ROWS = st.lists(st.builds(make_row, TOKENS, TOKENS), min_size=1, max_size=6)


def _seen(batch: GuardBatch, window: int | None) -> dict[int, list[int]]:
    """For each of the S tokens, the tokens (by place in S) that it attends to."""
    layout = Layout(batch)
    seen = {s: list(range(max(0, s + 1 - window) if window else 0, s + 1))
            for s in range(batch.preamble)}  # fmt: skip
    if not layout.has_rows:
        return seen
    first = layout.first_key(window)
    mask = layout.rows_mask(window, None).expand(len(batch.offsets_A), -1, -1, -1)
    own = set(batch.own_R.tolist())
    for a, queries in enumerate(batch.queries_A_Q.tolist()):
        keys = [*range(first, batch.preamble), *batch.keys_A_K[a].tolist()]
        for q, query in enumerate(queries):
            if a * len(queries) + q in own:
                seen[query] = [k for k, on in zip(keys, mask[a, 0, q].tolist(), strict=True) if on]
    return seen


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, window=st.none() | st.integers(1, 9), share=st.booleans())
def test_every_token_sees_exactly_its_own_past(
    rows: list[Encoded], window: int | None, share: bool
) -> None:
    batch = make_batch(rows, share=share)
    seen = _seen(batch, window)
    assert sorted(seen) == list(range(len(batch.ids_S)))
    start = 0
    for row, count in zip(rows, batch.counts, strict=True):
        for place in batch.before_N[start : start + count].tolist():
            past = [s for s in seen[place] if s != place]
            depth = int(batch.positions_S[place])
            ids = [int(batch.ids_S[s]) for s in [*past, place]]
            from_ = max(0, depth + 1 - window) if window else 0
            assert ids == row.input_ids[from_ : depth + 1]
            assert [int(batch.positions_S[s]) for s in past] == list(range(from_, depth))
        start += count


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_tokens_with_an_equal_past_run_once(rows: list[Encoded]) -> None:
    batch = make_batch(rows)
    pasts = {tuple(row.input_ids[: t + 1]) for row in rows for t in range(len(row.input_ids) - 1)}
    assert len(batch.ids_S) == len(pasts)
    runs = [row.input_ids[:-1] for row in rows]
    common = next((i for i in range(min(map(len, runs))) if len({r[i] for r in runs}) > 1),
                  min(map(len, runs)))  # fmt: skip
    assert batch.preamble == common


def test_targets_weights_and_counts_are_in_row_order() -> None:
    rows = [make_row([1, 2], [3, 4, 5], [1.0, 0.0, 0.5]), make_row([1, 2], [3], [2.0])]
    batch = make_batch(rows)
    assert batch.targets_N.tolist() == [3, 5, 3]
    assert batch.weights_N.tolist() == [1.0, 0.5, 2.0]
    assert batch.counts == (2, 1)
    assert batch.rows == 2
    assert batch.ids_S.tolist() == [1, 2, 3, 4]


def test_a_pair_shares_its_prompt_and_a_triple_its_preamble() -> None:
    start, local, english = [1] * 30, [2, 3, 4], [5, 6]
    chosen, rejected = make_row([*start, *local], [7, 8, 9]), make_row([*start, *local], [8, 8, 9])
    batch = make_batch([chosen, rejected, make_row([*start, *english], [7, 8, 9])])
    assert batch.preamble == 30
    assert len(batch.ids_S) == 30 + 3 + 2 + 2 + (2 + 2)
    assert batch.offsets_A.tolist() == [0, 3, 0]
    whole = make_batch([chosen, rejected], share=False)
    assert whole.preamble == 0
    assert len(whole.ids_S) == 2 * (33 + 2)


def test_a_row_without_a_prompt_is_an_error() -> None:
    with pytest.raises(DataError, match="a prompt before the completion"):
        make_batch([make_row([], [1, 2])])


def test_a_batch_that_predicts_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="a token with a label and a weight"):
        make_batch([make_row([1, 2], [3], [0.0])])
    with pytest.raises(DataError, match="a token with a label and a weight"):
        make_batch([])


def test_moving_and_muting_keep_the_rest() -> None:
    batch = make_batch(make_rows(3, preamble=4))
    moved = batch.to("meta")
    assert moved.ids_S.device.type == moved.weights_N.device.type == "meta"
    assert (moved.counts, moved.preamble) == (batch.counts, batch.preamble)
    muted = batch.muted()
    assert not muted.weights_N.any()
    assert torch.equal(muted.ids_S, batch.ids_S)

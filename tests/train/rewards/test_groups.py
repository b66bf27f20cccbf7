"""train/rewards/groups.py: groups that move nothing are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyguard.core.errors import DataError
from whyguard.train.rewards.groups import GroupCounts, count_groups


def test_equal_and_unscored_groups_are_counted() -> None:
    totals = [1.0, 2.0, 1.0,  3.0, 3.0, 3.0,  None, None, 1.0,  None, 2.0, 2.0]  # fmt: skip
    found = count_groups(totals, 3)
    assert found == GroupCounts(groups=4, equal=2, unscored=1)
    assert found.idle_share == 0.75


def test_no_groups() -> None:
    assert count_groups([], 4).idle_share == 0.0


@pytest.mark.parametrize(("totals", "size"), [([1.0, 2.0, 3.0], 2), ([1.0], 0)])
def test_groups_must_be_whole(totals: list[float | None], size: int) -> None:
    with pytest.raises(DataError, match="multiple of the group size"):
        count_groups(totals, size)


@given(st.lists(st.none() | st.sampled_from([0.0, 1.0]), max_size=40), st.integers(1, 5))
def test_a_group_is_idle_unless_two_rewards_differ(totals: list[float | None], size: int) -> None:
    whole = totals[: len(totals) // size * size]
    found = count_groups(whole, size)
    differing = sum(len(set(whole[s : s + size]) - {None}) > 1 for s in range(0, len(whole), size))
    assert found.equal + found.unscored == found.groups - differing

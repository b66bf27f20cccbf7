"""What a batch of groups can teach: groups whose rewards are all equal move nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from whyguard.core.errors import DataError, fail

NEAR = 1e-8
"""Rewards this near to each other are equal: TRL's tolerance for a spread of 0."""


class GroupCounts(NamedTuple):
    """Groups of completions of the same prompt, counted by what they can teach."""

    groups: int
    equal: int
    """All rewards are equal: every advantage is 0."""
    unscored: int
    """Fewer than two completions have a reward, so that there is nothing to compare."""

    @property
    def idle_share(self) -> float:
        """Share of groups that move nothing, in 0..1; 0 without groups."""
        return (self.equal + self.unscored) / self.groups if self.groups else 0.0


def count_groups(totals: Sequence[float | None], size: int) -> GroupCounts:
    """Count groups of `size` neighbours; completions without a reward (None) are left out.

    Raises:
        DataError: size is under 1, or the rewards do not make whole groups.
    """
    if size < 1 or len(totals) % size:
        fail(DataError, where="groups of rewards", expected="a multiple of the group size",
             found=f"{len(totals)} rewards in groups of {size}",
             do="give all completions of each prompt, side by side")  # fmt: skip
    groups = [[total for total in totals[start : start + size] if total is not None]
              for start in range(0, len(totals), size)]  # fmt: skip
    compared = [group for group in groups if len(group) > 1]
    equal = sum(max(group) - min(group) <= NEAR for group in compared)
    return GroupCounts(len(groups), equal, len(groups) - len(compared))

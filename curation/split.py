"""Step `curation.split`: whole groups go to train, dev or test."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from whyguard.core.errors import DataError, fail
from whyguard.core.schemas import Prompt
from whyguard.core.steps import Inputs, Room, Runtime, Step, StepConfig, StepResult, always
from whyguard.core.tables import Row, frame
from whyguard.core.values import Label, Split

_TOLERANCE = 1e-6
_DIGITS = 2**64
BENIGN_STRATUM = "benign"
UNCATEGORISED_STRATUM = "uncategorised"


class Stratify(StrEnum):
    """Within what the shares are kept."""

    CATEGORY = "category"
    """The category of the group's harmful prompt."""
    NONE = "none"
    """All groups alike."""


class Shares(BaseModel):
    """Shares of groups; they add up to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(default=0.6, ge=0.0, le=1.0)
    dev: float = Field(default=0.2, ge=0.0, le=1.0)
    test: float = Field(default=0.2, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _whole(self) -> "Shares":
        total = self.train + self.dev + self.test
        if abs(total - 1.0) > _TOLERANCE:
            raise ValueError(f"train, dev and test that add up to 1, not {total:g}")
        return self


class SplitConfig(StepConfig):
    """How groups are shared out."""

    shares: Shares = Shares()
    seed: int = 0
    stratify: Stratify = Stratify.CATEGORY


def assign_splits(strata: Mapping[str, str], shares: Shares, seed: int) -> dict[str, Split]:
    """Group id -> split, for a mapping group id -> stratum.

    Groups of a stratum stand in the order of hash(seed, group id) and are cut at
    floor(n * share + offset), the offset (one a stratum) being hash(seed, stratum) in 0..1. So:

    - the size of each split in each stratum of n groups lies within one group of n * share, and
      equals it on average over seeds;
    - adding a group to a stratum moves at most two others of it, and none of other strata;
    - neither row order nor anything but ids, strata, shares and seed matters.

    A split with a share above 0 that would stay empty takes one group from the fullest split: the
    only case outside these bounds.

    Raises:
        DataError: there are fewer groups than splits with a share.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for group, stratum in strata.items():
        members[stratum].append(group)
    assigned: dict[str, Split] = {}
    for stratum in sorted(members):
        groups = sorted(members[stratum], key=lambda group: (_hash(seed, group), group))
        offset = (1.0 - 2 * _TOLERANCE) * _hash(seed, f"stratum {stratum}") / _DIGITS
        first = int(len(groups) * shares.train + offset + _TOLERANCE)
        second = int(len(groups) * (shares.train + shares.dev) + offset + _TOLERANCE)
        for rank, group in enumerate(groups):
            assigned[group] = (
                Split.TRAIN if rank < first else Split.DEV if rank < second else Split.TEST
            )
    _fill_empty(assigned, shares, seed)
    return assigned


def _fill_empty(assigned: dict[str, Split], shares: Shares, seed: int) -> None:
    wanted = [split for split in Split if getattr(shares, split.value) > 0.0]
    if len(assigned) < len(wanted):
        fail(DataError, where="curation.split",
             expected=f"at least {len(wanted)} groups, one for each split with a share",
             found=f"{len(assigned)} groups",
             do="add data, or set the share of a split to 0")  # fmt: skip
    for split in wanted:
        counts = Counter(assigned.values())
        if counts[split] == 0:
            fullest = max(wanted, key=lambda other: counts[other])
            donors = [group for group, owner in assigned.items() if owner is fullest]
            assigned[min(donors, key=lambda group: (_hash(seed, group), group))] = split


def _hash(seed: int, name: str) -> int:
    """64 bits that depend on the seed and the name only, in every process."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def strata_of(rows: Iterable[Row], stratify: Stratify) -> dict[str, str]:
    """Group id -> stratum: the commonest first category of its harmful rows.

    Ties go to the lower code. Groups without a harmful row form a stratum, and so do groups whose
    harmful rows have no category.
    """
    codes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found = codes[row["group_id"]]
        if row["label"] == Label.HARMFUL:
            found[row["categories"][0] if row["categories"] else UNCATEGORISED_STRATUM] += 1
    if stratify is Stratify.NONE:
        return dict.fromkeys(codes, "all")
    return {group: _stratum(found) for group, found in codes.items()}


def _stratum(found: Counter[str]) -> str:
    if not found:
        return BENIGN_STRATUM
    named = [code for code in found if code != UNCATEGORISED_STRATUM]
    if not named:
        return UNCATEGORISED_STRATUM
    return min(named, key=lambda code: (-found[code], int(code[1:])))


def split_prompts(prompts: pl.DataFrame, config: SplitConfig) -> StepResult:
    """Write `split` into every row; nothing of one group is on both sides.

    A group with a row that has a split (evaluation sources) is of that split; shares are of the
    other groups.

    Raises:
        DataError: there are fewer groups than splits with a share.
    """
    rows = prompts.to_dicts()
    strata = strata_of(rows, config.stratify)
    assigned = preset_splits(rows)
    free = {group: stratum for group, stratum in strata.items() if group not in assigned}
    if free or not assigned:
        assigned |= assign_splits(free, config.shares, config.seed)
    split_rows = [row | {"split": assigned[row["group_id"]].value} for row in rows]
    return StepResult(
        rows=frame(Prompt, split_rows),
        licences=tuple(sorted({f"{row['source']}: {row['licence']}" for row in rows})),
        notes=_notes(split_rows, strata, assigned),
        read=len(rows),
    )


def preset_splits(rows: Iterable[Row]) -> dict[str, Split]:
    """Group id -> the split that its rows came with; of several, the one furthest from training."""
    found: dict[str, Split] = {}
    order = list(Split)
    for row in rows:
        if row["split"] is not None:
            split, group = Split(row["split"]), row["group_id"]
            found[group] = max(split, found.get(group, split), key=order.index)
    return found


def _notes(rows: Sequence[Row], strata: Mapping[str, str],
           assigned: Mapping[str, Split]) -> dict[str, Any]:  # fmt: skip
    table: dict[str, dict[str, int]] = {}
    for group, stratum in strata.items():
        counts = table.setdefault(stratum, {split.value: 0 for split in Split})
        counts[assigned[group].value] += 1
    groups = Counter(split.value for split in assigned.values())
    return {
        "groups": {split.value: groups[split.value] for split in Split},
        "rows": dict(sorted(Counter(row["split"] for row in rows).items())),
        "groups_by_stratum": dict(sorted(table.items())),
    }


def run_split(inputs: Inputs, config: SplitConfig, runtime: Runtime, room: Room) -> StepResult:
    """See `split_prompts`."""
    return split_prompts(inputs["prompts"].rows, config)


SPLIT = Step(
    name="curation.split",
    version="2",
    summary="splitting by group",
    config=SplitConfig,
    inputs={"prompts": Prompt},
    output=Prompt,
    run=run_split,
    light=always,
)

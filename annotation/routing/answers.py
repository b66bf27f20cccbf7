"""What earlier answers say of rows: wrong, right, or not known."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from whyguard.annotation.questions import CORRECTIONS, Q, labels_of
from whyguard.annotation.routing.fitting import Answer
from whyguard.core.tables import Row
from whyguard.core.values import Purpose, ReviewKind

POOR = 2
"""A rating up to this one says that the text is wrong."""
_CHOSEN = frozenset({Purpose.WORK.value, Purpose.RANDOM.value, Purpose.AUDIT.value})
"""Purposes whose rows were chosen with a known probability; people pick gold rows."""

Decided = Mapping[str, str]
"""Question -> final value of one item."""


def decided(decisions: Iterable[Row]) -> dict[str, dict[str, str]]:
    """Item id -> its final values; what is undecided is left out."""
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for row in decisions:
        if row["value"] is not None:
            values[row["item_id"]][row["question"]] = row["value"]
    return dict(values)


def is_wrong(item: Row, values: Decided) -> bool:
    """Whether people found the row wrong in what this item asked.

    A verdict other than the label; a rating of 1 or 2; a corrected text that is another one; any
    issue.
    """
    verdict = values.get(Q.VERDICT)
    poor = any(int(values[question]) <= POOR for question in
               (Q.TRANSLATION_ADEQUACY, Q.RATIONALE_QUALITY) if question in values)  # fmt: skip
    corrected = any(_differs(values.get(question), item[column])
                    for question, column in CORRECTIONS.items())  # fmt: skip
    issues = bool(labels_of(values.get(Q.ISSUES, "[]")))
    return (verdict is not None and verdict != item["label"]) or poor or corrected or issues


def is_known(item: Row, values: Decided) -> bool:
    """Whether the item's required question was decided, so that silence on the rest means good."""
    required = Q.VERDICT if item["kind"] == ReviewKind.BLIND else Q.TRANSLATION_ADEQUACY
    return required in values


def answers(items: Sequence[Row], decisions: Sequence[Row], rows: Mapping[str, int],
            current: frozenset[str]) -> list[Answer]:  # fmt: skip
    """One answer a row that was reviewed as it is now.

    A row is wrong if any of its items says so, and right if its rationale item is decided and none
    does. Args: `rows` maps example ids to their places among the features; `current` holds the ids
    that items of the rows have now: answers about an older text say nothing of the new one.
    """
    values = decided(decisions)
    seen: dict[str, list[Row]] = defaultdict(list)
    for item in items:
        usable = item["purpose"] in _CHOSEN and item["weight"] is not None
        if usable and item["item_id"] in current and item["item_id"] in values:
            seen[item["example_id"]].append(item)
    found = []
    for name in sorted(seen.keys() & rows.keys()):
        own = seen[name]
        wrong = any(is_wrong(item, values[item["item_id"]]) for item in own)
        whole = any(item["kind"] == ReviewKind.RATIONALE and is_known(item, values[item["item_id"]])
                    for item in own)  # fmt: skip
        if wrong or whole:
            chance = any(item["purpose"] == Purpose.RANDOM for item in own)
            weight = max(float(item["weight"]) for item in own)
            found.append(Answer(rows[name], own[0]["group_id"], wrong, weight, chance))
    return found


def _differs(corrected: str | None, shown: str | None) -> bool:
    if corrected is None:
        return False
    return " ".join(corrected.split()) != " ".join((shown or "").split())

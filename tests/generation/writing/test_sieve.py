"""Named rules, their order, drops and yields."""

from whyguard.generation.writing.sieve import (
    FINE,
    UNMEASURED,
    Filter,
    Finding,
    Tally,
    bad,
    expect,
    sieve,
)


def test_sieve_keeps_the_order_and_counts() -> None:
    even = Filter("even", lambda row: expect(row["n"] % 2 == 0, "odd"))
    small = Filter(
        "small", lambda row: UNMEASURED if row["n"] == 0 else expect(row["n"] < 4, "big")
    )
    rows = [{"n": n, "l": "x" if n < 5 else "y"} for n in range(6)]
    done = sieve(rows, [even, small], lambda row: str(row["n"]), lambda row: str(row["l"]))
    assert [row["n"] for row in done.rows] == [0, 2]
    assert [(item["row_id"], item["rule"], item["reason"]) for item in done.drops] == [
        ("1", "even", "odd"), ("3", "even", "odd"), ("4", "small", "big"), ("5", "even", "odd")
    ]  # fmt: skip
    none = {"in": 0, "out": 0, "unmeasured": 0}
    assert done.yields == {
        "even": {"x": {"in": 5, "out": 3, "unmeasured": 0}, "y": none | {"in": 1}},
        "small": {"x": {"in": 3, "out": 2, "unmeasured": 1}, "y": none},
    }


def test_without_rows_or_filters() -> None:
    assert sieve([], [], str, str) == ([], [], {})
    assert sieve([{"n": 1}], [], str, str).rows == [{"n": 1}]


def test_findings() -> None:
    assert expect(True, "x") == FINE == Finding(None, True)
    assert expect(False, "x") == bad("x") == Finding("x", True)
    tally = Tally(["f"], ["a", "a"])
    tally.note("f", "a", bad("x"))
    assert tally.yields == {"f": {"a": {"in": 1, "out": 0, "unmeasured": 0}}}

"""Rows whose verdict is known beforehand: a CSV file of ids and verdicts."""

import csv
from collections.abc import Sequence
from pathlib import Path

from whyguard.core.errors import DataError, MissingFileError, fail
from whyguard.core.nearest import suggest
from whyguard.core.tables import Row
from whyguard.core.values import Label

_COLUMNS = ("example_id", "verdict")


def read_gold(path: Path, examples: Sequence[Row]) -> dict[str, str]:
    """Example id -> known verdict.

    Raises:
        MissingFileError: there is no such file.
        DataError: a column is missing, a verdict is none, or a row names no example.
    """
    if not path.is_file():
        fail(MissingFileError, where=f"gold: {path}", expected="a CSV file", found="no such file",
             do="check the path")  # fmt: skip
    known = {str(row["example_id"]) for row in examples}
    gold: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        if not set(_COLUMNS) <= set(reader.fieldnames or ()):
            fail(DataError, where=f"gold: {path}, line 1",
                 expected=f"columns {', '.join(_COLUMNS)}",
                 found=", ".join(reader.fieldnames or ()) or "nothing",
                 do="write these columns in the first line")  # fmt: skip
        for row in reader:
            where = f"gold: {path}, line {reader.line_num}"
            gold[_gold_id(row, known, where)] = _gold_verdict(row, where)
    return gold


def _gold_id(row: dict[str, str], known: set[str], where: str) -> str:
    name = (row["example_id"] or "").strip()
    if name not in known:
        fail(DataError, where=where, expected="the id of an example", found=f"'{name}'",
             do=suggest(name, known))  # fmt: skip
    return name


def _gold_verdict(row: dict[str, str], where: str) -> str:
    verdict = (row["verdict"] or "").strip()
    if verdict not in [label.value for label in Label]:
        fail(DataError, where=where, expected=" or ".join(label.value for label in Label),
             found=f"'{verdict}'", do="correct the verdict")  # fmt: skip
    return verdict

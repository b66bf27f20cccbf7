"""Typed helpers around polars frames and dataframely schemas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from whyguard.core.errors import DataError, explain, fail
from whyguard.core.hashing import canonical_json, sha256_json
from whyguard.core.nearest import suggest
from whyguard.core.schemas import Dropped

Row = dict[str, Any]
SchemaType = type[dy.Schema]


class Checked(NamedTuple):
    """The rows that hold, and those that do not, each with its rule."""

    rows: pl.DataFrame
    drops: pl.DataFrame


def schema_name(schema: SchemaType) -> str:
    """The schema's name as recipes and manifests show it."""
    return schema.__name__


def schema_sha256(schema: SchemaType) -> str:
    """Hash of a schema's column names, types and nullability."""
    columns = schema.columns()
    facts = {name: [str(c.dtype), bool(c.nullable)] for name, c in columns.items()}
    return sha256_json({"schema": schema.__name__, "columns": facts})


def frame(schema: SchemaType, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Build and validate a table from mappings; missing nullable columns become null.

    Raises:
        DataError: a mapping has a key that is no column, a value is not of its column's type
            (nothing is turned into null or cut on the way), or a rule is broken.
    """
    records = list(rows)
    columns = schema.columns()
    for number, row in enumerate(records, 1):
        if not row.keys() <= columns.keys():
            unknown = sorted(row.keys() - columns.keys())
            fail(DataError, where=f"row {number}", expected=f"columns of {schema.__name__}",
                 found=f"unknown: {', '.join(unknown)}",
                 do=suggest(unknown[0], columns))  # fmt: skip
    made = [_series(name, column.dtype, records) for name, column in columns.items()]
    return validated(schema, pl.DataFrame(made))


def _series(name: str, dtype: pl.DataType, records: Sequence[Mapping[str, Any]]) -> pl.Series:
    values = [row.get(name) for row in records]
    try:
        series = pl.Series(name, values, dtype=dtype, strict=True)
    except (TypeError, UnicodeEncodeError, OverflowError, pl.exceptions.PolarsError) as error:
        found = next((n for n, v in enumerate(values, 1) if not _fits(v, dtype)), 0)
        message = explain(f"row {found}, column '{name}'", f"a value of type {dtype}",
                          str(error).split("\n", 1)[0], "correct this value")  # fmt: skip
        raise DataError(message) from error
    stored = series.to_list()
    if stored != values:
        for number, (kept, given) in enumerate(zip(stored, values, strict=True), 1):
            if not _same(kept, given):
                fail(DataError, where=f"row {number}, column '{name}'",
                     expected=f"a value of type {dtype}",
                     found=f"{str(given)[:120]!r}, of which {str(kept)[:120]!r} would be stored",
                     do="correct this value")  # fmt: skip
    return series


def _fits(value: object, dtype: pl.DataType) -> bool:
    try:
        pl.Series([value], dtype=dtype, strict=True)
    except (TypeError, UnicodeEncodeError, OverflowError, pl.exceptions.PolarsError):
        return False
    return True


def _same(kept: object, given: object) -> bool:
    """Whether a stored value is the given one; a struct's missing fields count as null."""
    if isinstance(given, Mapping):
        return isinstance(kept, dict) and given.keys() <= kept.keys() and all(
            _same(value, given.get(key)) for key, value in kept.items()
        )  # fmt: skip
    if isinstance(given, list | tuple | set | frozenset):
        return isinstance(kept, list) and len(kept) == len(given) and all(
            map(_same, kept, given)
        )  # fmt: skip
    if kept is None or given is None:
        return kept is given
    if isinstance(kept, float) and kept != kept:
        return given != given
    return bool(kept == given) or not isinstance(given, str | int | float)


def validated(schema: SchemaType, table: pl.DataFrame, where: str = "table") -> pl.DataFrame:
    """The table with exactly the schema's columns and types.

    Raises:
        DataError: a column is missing or a rule is broken; the message names rule and counts.
    """
    try:
        return schema.validate(_with_columns(schema, table, where), cast=True)
    except (dy.exc.ValidationError, dy.exc.SchemaError, pl.exceptions.PolarsError) as error:
        message = explain(
            where, f"rows of schema {schema.__name__}", str(error), "repair the named columns"
        )
        raise DataError(message) from error


def checked(schema: SchemaType, table: pl.DataFrame, id_column: str, where: str = "") -> Checked:
    """Split a table into valid rows and drops, one drop a broken row with all its rules.

    Columns beyond the schema are left out. A rule is named after column and check
    (`text_min_length`); several are joined by `+`. Rows that share a primary key are all dropped:
    which one is meant cannot be told.

    Raises:
        DataError: a column is missing.
    """
    good, failure = schema.filter(_with_columns(schema, table, where or "table"), cast=True)
    columns = schema.columns()
    records = []
    for facts in failure.details().to_dicts():
        rules = [name for name in facts if name not in columns and facts[name] == "invalid"]
        rule = "+".join(name.replace("|", "_") for name in rules)
        row = {name: facts[name] for name in columns}
        records.append(drop(row, str(row[id_column]), rule, "rule broken", where))
    return Checked(good, drops_frame(records))


def _with_columns(schema: SchemaType, table: pl.DataFrame, where: str) -> pl.DataFrame:
    """The schema's columns of the table."""
    missing = [name for name in schema.columns() if name not in table.columns]
    if missing:
        fail(DataError, where=where, expected=f"rows of schema {schema.__name__}",
             found=f"no column {', '.join(missing)}", do="add the missing columns")  # fmt: skip
    return table.select(list(schema.columns()))


def drop(
    row: Mapping[str, Any], row_id: str, rule: str, reason: str, where: str = ""
) -> dict[str, str]:
    """One dropped row; lone surrogates, which no file can hold, become escapes."""
    text = canonical_json({key: _jsonable(value) for key, value in row.items()})
    facts = {"row_id": row_id or "?", "rule": rule, "reason": reason, "where": where, "row": text}
    return {key: value.encode("utf-8", "backslashreplace").decode() for key, value in facts.items()}


def drops_frame(drops: Sequence[Mapping[str, str]] = ()) -> pl.DataFrame:
    """The drops as a validated table (empty by default)."""
    return frame(Dropped, drops)


def _jsonable(value: object) -> object:
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)

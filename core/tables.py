"""Typed helpers around polars frames and dataframely schemas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from whyguard.core.errors import DataError, explain
from whyguard.core.hashing import canonical_json, sha256_json
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
    """Build and validate a table from mappings; missing nullable columns become null."""
    columns = list(schema.columns())
    records = [{name: row.get(name) for name in columns} for row in rows]
    types = {name: column.dtype for name, column in schema.columns().items()}
    table = pl.DataFrame(records, schema=types, orient="row", strict=False)
    return validated(schema, table)


def validated(schema: SchemaType, table: pl.DataFrame, where: str = "table") -> pl.DataFrame:
    """The table with exactly the schema's columns and types.

    Raises:
        DataError: a column is missing or a rule is broken; the message names rule and counts.
    """
    try:
        return schema.validate(table.select(list(schema.columns())), cast=True)
    except (dy.exc.ValidationError, dy.exc.SchemaError, pl.exceptions.PolarsError) as error:
        message = explain(
            where, f"rows of schema {schema.__name__}", str(error), "repair the named columns"
        )
        raise DataError(message) from error


def checked(schema: SchemaType, table: pl.DataFrame, id_column: str, where: str = "") -> Checked:
    """Split a table into valid rows and drops, one drop a broken row with all its rules."""
    good, failure = schema.filter(table, cast=True)
    bad = failure.details()
    rules = [name for name in bad.columns if name not in table.columns]
    records = []
    for row in bad.to_dicts():
        broken = [name for name in rules if row[name] not in ("valid", True, None)]
        plain = {name: row[name] for name in table.columns}
        records.append(drop(plain, str(row[id_column]), "+".join(broken), "rule broken", where))
    return Checked(good, drops_frame(records))


def drop(
    row: Mapping[str, Any], row_id: str, rule: str, reason: str, where: str = ""
) -> dict[str, str]:
    """One dropped row."""
    text = canonical_json({key: _jsonable(value) for key, value in row.items()})
    return {"row_id": row_id, "rule": rule, "reason": reason, "where": where, "row": text}


def drops_frame(drops: Sequence[Mapping[str, str]] = ()) -> pl.DataFrame:
    """The drops as a validated table (empty by default)."""
    return frame(Dropped, drops)


def _jsonable(value: object) -> object:
    if value is None or isinstance(value, str | int | bool | list | dict):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)

"""The one thing that the engine stores: the folded text of records, keyed by record and field."""

# ruff: noqa: S608 - statements are put together of constants and of marks of bound values

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from whyguard.annotation.embedded.connections import Params, Row, rows, write
from whyguard.annotation.embedded.words import field_text, fold

WHOLE = ""
"""Field name of the row that holds the text of all fields: no field is named like this."""
_TABLE = """
CREATE TABLE IF NOT EXISTS whyguard_texts (
    record_id TEXT NOT NULL, field TEXT NOT NULL, dataset_id TEXT NOT NULL,
    digest BLOB NOT NULL, content TEXT NOT NULL, PRIMARY KEY (record_id, field)
) WITHOUT ROWID"""
_BY_DATASET = "CREATE INDEX IF NOT EXISTS whyguard_texts_dataset ON whyguard_texts (dataset_id)"
_INSERT = """
INSERT INTO whyguard_texts (record_id, field, dataset_id, digest, content)
VALUES (:record_id, :field, :dataset_id, :digest, :content)"""
_DELETE = "DELETE FROM whyguard_texts WHERE record_id = :record_id"
_COLUMNS = "r.id, r.dataset_id, r.fields, whyguard_digest(r.fields)"
_CHANGED = f"""
SELECT {_COLUMNS} FROM records r
LEFT JOIN whyguard_texts t ON t.record_id = r.id AND t.field = '{WHOLE}'
WHERE t.digest IS NOT whyguard_digest(r.fields)"""
_ORPHANS = "DELETE FROM whyguard_texts WHERE record_id NOT IN (SELECT id FROM records)"
_AT_ONCE = 500


async def make_table() -> None:
    """Make the table, and bring it up to date: a killed server may have stored a record only."""
    await write((_TABLE, {}), (_BY_DATASET, {}), (_ORPHANS, {}))
    await _store(await rows(_CHANGED))


async def store_texts(record_ids: Iterable[str]) -> None:
    """Write the text of records as they stand in Argilla's own table."""
    for some in _batches(list(record_ids)):
        names = {f"id{number}": record_id for number, record_id in enumerate(some)}
        marks = ", ".join(f":{name}" for name in names)
        await _store(await rows(f"SELECT {_COLUMNS} FROM records r WHERE r.id IN ({marks})", names))


async def delete_texts(record_ids: Iterable[str]) -> None:
    """Remove the text of records."""
    await write((_DELETE, [{"record_id": record_id} for record_id in record_ids]))


async def delete_dataset_texts(dataset_id: str) -> None:
    """Remove the text of a dataset's records."""
    await write(("DELETE FROM whyguard_texts WHERE dataset_id = :id", {"id": dataset_id}))


async def _store(found: Sequence[Row]) -> None:
    for some in _batches(found):
        gone: list[Params] = [{"record_id": row[0]} for row in some]
        await write((_DELETE, gone), (_INSERT, [made for row in some for made in _text_rows(row)]))


def _text_rows(row: Row) -> Iterator[Params]:
    record_id, dataset_id, stored, digest = row
    fields: dict[str, Any] = json.loads(stored)
    texts = {name: fold(field_text(value)) for name, value in fields.items()}
    texts[WHOLE] = "\n".join(texts.values())
    for field, content in texts.items():
        yield {"record_id": record_id, "field": field, "dataset_id": dataset_id,
               "digest": digest, "content": content}  # fmt: skip


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]

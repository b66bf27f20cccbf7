"""The engine's own connections to Argilla's SQLite file, and what every connection is given."""

import hashlib
from typing import Any

from argilla_server.settings import settings
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine

Row = Any
Params = dict[str, Any]


def _shuffled(seed: str, record_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}{record_id}".encode(), digest_size=8).digest()


def _digest(stored: str) -> bytes:
    return hashlib.blake2b(stored.encode(), digest_size=16).digest()


def _on_connect(connection: Any, _record: Any) -> None:
    connection.create_function("whyguard_shuffled", 2, _shuffled, deterministic=True)
    connection.create_function("whyguard_digest", 1, _digest, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


event.listen(Engine, "connect", _on_connect)

# Not Argilla's own pool: a request that holds one of its connections and waits for a second one
# would wait for ever where all others do the same.
ENGINE = create_async_engine(settings.database_url, **settings.database_engine_args)


async def rows(statement: str, params: Params | None = None) -> list[Row]:
    """The rows that a statement reads."""
    async with ENGINE.connect() as connection:
        return list((await connection.execute(text(statement), params or {})).all())


async def write(*work: tuple[str, Params | list[Params]]) -> None:
    """Execute statements, each with its parameters or a list of them, in one transaction."""
    async with ENGINE.begin() as connection:
        for statement, params in work:
            if params or isinstance(params, dict):
                await connection.execute(text(statement), params)

"""A search engine for Argilla that reads Argilla's own SQL tables: nothing is kept twice but text.

Argilla calls the engine after its own commit, so most of what other engines mirror has nothing
to do here.
"""

# ruff: noqa: S608 - statements are put together of constants and of marks of bound values

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from argilla_server.enums import MetadataPropertyType, SimilarityOrder
from argilla_server.search_engine.base import (
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
)

from whyguard.annotation.embedded.conditions import Conditions, plain
from whyguard.annotation.embedded.connections import Row, rows
from whyguard.annotation.embedded.environment import ENGINE_NAME
from whyguard.annotation.embedded.exposure import Caps, asks_pending, had_enough, without_pending
from whyguard.annotation.embedded.files import HomeFiles
from whyguard.annotation.embedded.similarity import scores
from whyguard.annotation.embedded.texts import (
    delete_dataset_texts,
    delete_texts,
    make_table,
    store_texts,
)
from whyguard.annotation.embedded.words import terms

_BY_STATUS = "SELECT status, count(*) FROM records WHERE dataset_id = :dataset GROUP BY status"
_BY_USER = """
SELECT p.status, count(*) FROM responses p JOIN records r ON r.id = p.record_id
WHERE r.dataset_id = :dataset AND p.user_id = :user GROUP BY p.status"""
_METADATA = """
FROM records r, json_each(r.metadata) m, json_each(r.metadata, m.fullkey) v
WHERE r.dataset_id = :dataset AND m.key = :name AND v.value IS NOT NULL"""
_NONE = SearchResponses(items=[], total=0)


class SqlEngine(SearchEngine):  # type: ignore[misc]  # it is not in our venv
    """Answers from SQLite. Argilla makes one for each request: it holds nothing of its own."""

    caps: Caps

    @classmethod
    async def new_instance(cls) -> "SqlEngine":
        """One for a request."""
        return cls()

    async def close(self) -> None:
        """Nothing is held open."""

    async def ping(self) -> bool:
        """Called once, at start."""
        await make_table()
        return True

    async def info(self) -> dict[str, Any]:
        """What `GET /api/v1/status` shows."""
        return {"name": ENGINE_NAME}

    async def create_index(self, dataset: Any) -> None:
        """Argilla's tables are the index."""

    async def delete_index(self, dataset: Any) -> None:
        """Forget the dataset's texts."""
        await delete_dataset_texts(dataset.id.hex)

    async def configure_metadata_property(self, dataset: Any, metadata_property: Any) -> None:
        """Argilla's tables are the index."""

    async def configure_index_vectors(self, vector_settings: Any) -> None:
        """Argilla's tables are the index."""

    async def index_records(self, dataset: Any, records: Iterable[Any]) -> None:
        """Store the records' texts."""
        await store_texts([record.id.hex for record in records])

    async def partial_record_update(self, record: Any, **update: Any) -> None:
        """Argilla's tables are the index."""

    async def delete_records(self, dataset: Any, records: Iterable[Any]) -> None:
        """Forget the records' texts."""
        await delete_texts([record.id.hex for record in records])

    async def update_record_response(self, response: Any) -> None:
        """Argilla's tables are the index."""

    async def delete_record_response(self, response: Any) -> None:
        """Argilla's tables are the index."""

    async def update_record_suggestion(self, suggestion: Any) -> None:
        """Argilla's tables are the index."""

    async def delete_record_suggestion(self, suggestion: Any) -> None:
        """Argilla's tables are the index."""

    async def get_dataset_progress(self, dataset: Any) -> dict[str, int]:
        """Number of records by status, and `total`."""
        if dataset.is_draft:
            return {}
        return _with_total(await rows(_BY_STATUS, {"dataset": dataset.id.hex}))

    async def get_dataset_user_progress(self, dataset: Any, user: Any) -> dict[str, int]:
        """Number of the user's responses by status, and `total`."""
        if dataset.is_draft:
            return {}
        whose = {"dataset": dataset.id.hex, "user": user.id.hex}
        return _with_total(await rows(_BY_USER, whose))

    async def search(
        self,
        dataset: Any,
        query: Any = None,
        filter: Any = None,
        sort: list[Any] | None = None,
        offset: int = 0,
        limit: int = 100,
        user_id: UUID | None = None,
    ) -> Any:
        """Records that fit, in the asked order; else, for a user, in an order of her own.

        A user who had her items of the day gets no more pending ones.
        """
        if user_id is not None and asks_pending(filter) and await had_enough(self.caps, user_id):
            filter = without_pending(filter)
            if filter is None:
                return _NONE
        sql = Conditions()
        where = _where(sql, dataset, query, filter)
        total = (await rows(f"SELECT count(*) FROM records r WHERE {where}", sql.params))[0][0]
        order = [sql.order(one) for one in sort or []]
        if not order and user_id is not None:
            order = [f"whyguard_shuffled({sql.bind(str(user_id))}, r.id)"]
        found = await rows(
            f"SELECT r.id FROM records r WHERE {where} "
            f"ORDER BY {', '.join([*order, 'r.inserted_at', 'r.id'])} "
            f"LIMIT {sql.bind(limit)} OFFSET {sql.bind(offset)}", sql.params)  # fmt: skip
        items = [SearchResponseItem(record_id=UUID(row[0])) for row in found]
        return SearchResponses(items=items, total=total)

    async def compute_metrics_for(self, metadata_property: Any) -> Any:
        """Counts of a property's terms, or the least and the greatest of its numbers."""
        asked = {"dataset": metadata_property.dataset_id.hex, "name": metadata_property.name}
        if metadata_property.type == MetadataPropertyType.terms:
            counted = await rows(
                f"SELECT CAST(v.value AS TEXT), count(*) {_METADATA} GROUP BY 1 ORDER BY 2 DESC, 1",
                asked)  # fmt: skip
            values = [TermsMetrics.TermCount(term=term, count=count) for term, count in counted]
            return TermsMetrics(total=sum(count for _, count in counted), values=values)
        least, greatest = (await rows(f"SELECT min(v.value), max(v.value) {_METADATA}", asked))[0]
        whole = metadata_property.type == MetadataPropertyType.integer
        kind = IntegerMetadataMetrics if whole else FloatMetadataMetrics
        return kind(min=least, max=greatest)

    async def similarity_search(
        self,
        dataset: Any,
        vector_settings: Any,
        value: list[float] | None = None,
        record: Any = None,
        query: Any = None,
        filter: Any = None,
        max_results: int = 100,
        order: Any = SimilarityOrder.most_similar,
        threshold: float | None = None,
    ) -> Any:
        """Records by cosine with a vector, or with a record's vector; the record is left out."""
        if bool(value) == bool(record):
            message = "give either a vector or a record to compare with"
            raise ValueError(message)
        wanted = value or record.vector_value_by_vector_settings(vector_settings)
        sql = Conditions()
        where = _where(sql, dataset, query, filter)
        if record is not None:
            where += f" AND r.id <> {sql.bind(record.id.hex)}"
        found = await rows(
            f"SELECT r.id, v.value FROM records r JOIN vectors v ON v.record_id = r.id "
            f"AND v.vector_settings_id = {sql.bind(vector_settings.id.hex)} "
            f"WHERE {where} ORDER BY r.inserted_at, r.id", sql.params)  # fmt: skip
        if order == SimilarityOrder.least_similar:
            wanted = [-number for number in wanted]
        return _nearest(found, wanted, max_results, threshold)


def _where(sql: Conditions, dataset: Any, query: Any, asked: Any) -> str:
    tests = [f"r.dataset_id = {sql.bind(dataset.id.hex)}"]
    if query is not None:
        typed, field = (query, None) if isinstance(query, str) else (query.q, query.field)
        tests.append(sql.terms(terms(typed), plain(field) if field else None))
    if asked is not None:
        tests.append(sql.filter(asked))
    return " AND ".join(tests)


def _nearest(
    found: list[Row], wanted: list[float], max_results: int, threshold: float | None
) -> Any:
    if not found:
        return _NONE
    scored = zip(scores([json.loads(row[1]) for row in found], wanted), found, strict=True)
    best = sorted(scored, key=lambda pair: -pair[0])[:max_results]
    items = [SearchResponseItem(record_id=UUID(row[0]), score=score) for score, row in best
             if threshold is None or score >= threshold]  # fmt: skip
    return SearchResponses(items=items, total=len(items))


def _with_total(counted: list[Row]) -> dict[str, int]:
    return {"total": sum(count for _, count in counted), **dict(tuple(row) for row in counted)}


def register(files: HomeFiles) -> None:
    """Make the engine known to Argilla by `ENGINE_NAME`."""
    SqlEngine.caps = Caps(files)
    SearchEngine.register(ENGINE_NAME)(SqlEngine)

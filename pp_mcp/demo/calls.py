"""What a handler receives and returns."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pp_mcp.demo import bodies
from pp_mcp.demo.errors import not_found
from pp_mcp.demo.queries import DEFAULT_PAGE_SIZE, Where
from pp_mcp.demo.store import Store

Shape = dict[str, Any]
"""A resource as the API shows it."""


@dataclass(frozen=True)
class Answer:
    """A successful answer; `payload` None sends no body."""

    status: int = 200
    payload: Shape | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    single: bool = True
    """Whether the payload is one resource, which some documents show under `data`."""


@dataclass(frozen=True)
class Call:
    """One request, checked against its operation's declaration."""

    store: Store
    role: str
    query: dict[str, Any]
    public_id: str
    raw_body: bytes
    content_type: str
    if_none_match: str
    total_pages: bool

    def body(self, model: type[bodies.B]) -> bodies.B:
        """The body, parsed by the model; 422 otherwise."""
        return bodies.read(model, self.raw_body, self.content_type, self.store.ids)

    def optional_body(self, model: type[bodies.B]) -> bodies.B:
        """The same for an optional body."""
        return self.body(model) if self.raw_body else model()

    def row(self, table: str, what: str) -> sqlite3.Row:
        """The row named by the path; 404 otherwise."""
        row = self.store.one(f"SELECT * FROM {table} WHERE public_id = ?", self.public_id)
        if row is None:
            raise not_found(what)
        return row

    def page(self, table: str, order: str, where: Where, load: Callable[[Store, Sequence[int]], list[Shape]]) -> Answer:
        """One page in the documented envelope; past the last page `data` is empty (inferred)."""
        number = cast(int, self.query.get("page", 1))
        size = cast(int, self.query.get("page_size", DEFAULT_PAGE_SIZE))
        # Past any real table, and still within sqlite's 64-bit integers.
        offset = min((number - 1) * size, 2**62)
        ids, total = self.store.page_ids(table, order, where.sql, tuple(where.params), size, offset)
        meta = {"page": number, "page_size": size, "total_count": total}
        if self.total_pages:
            meta["total_pages"] = -(-total // size)
        return Answer(payload={"data": load(self.store, ids), "meta": meta}, single=False)


Handler = Callable[[Call], Answer]


def in_order(ids: Sequence[int], rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Rows sorted by the order of these ids."""
    by_id = {cast(int, row["id"]): row for row in rows}
    return [by_id[row_id] for row_id in ids]


def marks(values: Sequence[Any]) -> str:
    """Placeholders for `IN (...)`."""
    return ", ".join("?" * len(values))

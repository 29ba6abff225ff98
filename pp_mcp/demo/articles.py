"""Articles: the content items of type `article`, without their access groups."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from pp_mcp.demo.bodies import ArticleCreate, ArticleUpdate
from pp_mcp.demo.calls import Answer, Call, Shape, in_order, marks
from pp_mcp.demo.content import NEWEST_FIRST, shape, update_item
from pp_mcp.demo.errors import not_found
from pp_mcp.demo.queries import Where
from pp_mcp.demo.store import Store


def load(store: Store, ids: Sequence[int]) -> list[Shape]:
    """Articles as the API shows them, in the order of their internal ids."""
    rows = store.rows(f"SELECT * FROM content_items WHERE id IN ({marks(ids)})", ids)
    return [shape(row) for row in in_order(ids, rows)]


def list_articles(call: Call) -> Answer:
    """GET /articles, newest first."""
    where = Where(call.query)
    where.add("content_type = 'article'")
    where.when("search", "instr(name_key, ?)", str.casefold)
    where.when("is_archived", "is_archived = ?")
    where.when("is_hidden", "is_hidden = ?")
    return call.page("content_items", NEWEST_FIRST, where, load)


def create_article(call: Call) -> Answer:
    """POST /articles. There is no field for the text (documented)."""
    body = call.body(ArticleCreate)
    row_id = add_article(
        call.store,
        name=body.name,
        is_hidden=bool(body.is_hidden),
        is_self_assignable=body.is_self_assignable is not False,
        duration=body.duration,
    )
    return Answer(201, load(call.store, [row_id])[0])


def add_article(store: Store, *, name: str, is_hidden: bool, is_self_assignable: bool, duration: int | None) -> int:
    """Insert an article (`duration` in minutes); answers the internal id."""
    now = store.now()
    return store.insert(
        "content_items",
        {
            "public_id": store.new_id(),
            "name": name,
            "name_key": name.casefold(),
            "content_type": "article",
            "is_hidden": is_hidden,
            "is_self_assignable": is_self_assignable,
            "duration_minutes": duration,
            "created": now,
            "modified": now,
        },
    )


def _row(call: Call) -> sqlite3.Row:
    row = call.row("content_items", "Article")
    if row["content_type"] != "article":
        raise not_found("Article")
    return row


def get_article(call: Call) -> Answer:
    """GET /articles/{public_id}; 404 for an item of another type."""
    return Answer(payload=shape(_row(call)))


def update_article(call: Call) -> Answer:
    """PATCH /articles/{public_id}: only the fields sent; null clears `duration`."""
    row = _row(call)
    body = call.body(ArticleUpdate)
    changes: dict[str, Any] = {}
    if body.name is not None:
        changes |= {"name": body.name, "name_key": body.name.casefold()}
    if body.is_hidden is not None:
        changes["is_hidden"] = body.is_hidden
    if body.is_self_assignable is not None:
        changes["is_self_assignable"] = body.is_self_assignable
    if "duration" in body.model_fields_set:
        changes["duration_minutes"] = body.duration
    update_item(call.store, row["id"], changes)
    return Answer(payload=load(call.store, [row["id"]])[0])

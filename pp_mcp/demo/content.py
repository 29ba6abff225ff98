"""Content items of every type: list, get, update, delete, bulk archive and unarchive."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from pp_mcp.demo.bodies import BulkItems, ContentItemUpdate
from pp_mcp.demo.calls import Answer, Call, Shape, in_order, marks
from pp_mcp.demo.errors import Refusal, invalid, not_found
from pp_mcp.demo.moments import shown
from pp_mcp.demo.queries import Where
from pp_mcp.demo.store import Store

NEWEST_FIRST = "id DESC"


def shape(row: sqlite3.Row) -> Shape:
    """The summary that articles and content items share (documented by sample)."""
    rated = row["rating_count"]
    return {
        "public_id": row["public_id"],
        "name": row["name"],
        "content_type": row["content_type"],
        "description": row["description"],
        "is_archived": bool(row["is_archived"]),
        "is_hidden": bool(row["is_hidden"]),
        "is_completable": bool(row["is_completable"]),
        "is_self_assignable": bool(row["is_self_assignable"]),
        "duration_minutes": row["duration_minutes"],
        "avg_feedback_rating": round(row["rating_sum"] / rated, 2) if rated else None,
        "total_assignments": row["total_assignments"],
        "completed_assignments_count": row["completed_assignments_count"],
        "created": shown(row["created"]),
        "modified": shown(row["modified"]),
    }


def load(store: Store, ids: Sequence[int]) -> list[Shape]:
    """Content items with their access groups, in the order of their internal ids."""
    rows = store.rows(f"SELECT * FROM content_items WHERE id IN ({marks(ids)})", ids)
    groups: dict[int, list[Shape]] = {row["id"]: [] for row in rows}
    for link in store.rows(
        f"""
        SELECT l.content_item_id, g.public_id, g.name FROM item_groups l JOIN groups g ON g.id = l.group_id
        WHERE l.content_item_id IN ({marks(ids)}) ORDER BY g.name_key, g.id
        """,
        ids,
    ):
        groups[link["content_item_id"]].append({"public_id": link["public_id"], "name": link["name"]})
    return [shape(row) | {"groups": groups[row["id"]]} for row in in_order(ids, rows)]


def list_content_items(call: Call) -> Answer:
    """GET /content-items, newest first. An unknown channel, group or type matches nothing."""
    where = Where(call.query)
    where.when("search", "instr(name_key, ?)", str.casefold)
    if types := call.query.get("content_type"):
        where.add(f"content_type IN ({marks(types)})", *types)
    where.when("is_archived", "is_archived = ?")
    where.when("is_hidden", "is_hidden = ?")
    where.when("created_gte", "created >= ?")
    where.when("created_lte", "created <= ?")
    where.when("modified_gte", "modified >= ?")
    where.when("modified_lte", "modified <= ?")
    where.when("channel", "channel_id = (SELECT id FROM channels WHERE public_id = ?)")
    where.when(
        "group",
        "id IN (SELECT content_item_id FROM item_groups WHERE group_id = (SELECT id FROM groups WHERE public_id = ?))",
    )
    return call.page("content_items", NEWEST_FIRST, where, load)


def get_content_item(call: Call) -> Answer:
    """GET /content-items/{public_id}."""
    return Answer(payload=load(call.store, [call.row("content_items", "Content item")["id"]])[0])


def update_content_item(call: Call) -> Answer:
    """PATCH /content-items/{public_id}: `groups` replaces the access groups, `[]` clears them (documented)."""
    row = call.row("content_items", "Content item")
    body = call.body(ContentItemUpdate)
    changed = False
    if body.groups is not None:
        changed = _set_groups(call.store, row["id"], body.groups)
    changes: dict[str, Any] = {}
    if body.name is not None:
        changes |= {"name": body.name, "name_key": body.name.casefold()}
    if body.is_hidden is not None:
        changes["is_hidden"] = body.is_hidden
    update_item(call.store, row["id"], changes, touch=changed)
    return Answer(payload=load(call.store, [row["id"]])[0])


def update_item(store: Store, item_id: int, changes: dict[str, Any], *, touch: bool = False) -> None:
    """Set columns; `modified` changes only if something did, or if `touch` says that something else did."""
    if store.update("content_items", item_id, changes) or touch:
        store.update("content_items", item_id, {"modified": store.now()})


def _set_groups(store: Store, item_id: int, public_ids: Sequence[str]) -> bool:
    wanted: set[int] = set()
    unknown: list[str] = []
    for public_id in dict.fromkeys(public_ids):
        group_id = store.row_id("groups", public_id)
        if group_id is None:
            unknown.append(f"No group with the id {public_id}.")
        else:
            wanted.add(group_id)
    if unknown:
        raise invalid({"groups": unknown})
    rows = store.rows("SELECT group_id FROM item_groups WHERE content_item_id = ?", [item_id])
    if wanted == {row["group_id"] for row in rows}:
        return False
    store.connection.execute("DELETE FROM item_groups WHERE content_item_id = ?", (item_id,))
    for group_id in sorted(wanted):
        store.insert("item_groups", {"content_item_id": item_id, "group_id": group_id})
    return True


def delete_content_item(call: Call) -> Answer:
    """DELETE /content-items/{public_id}: for good, with its assignments and enrollments."""
    row = call.row("content_items", "Content item")
    call.store.connection.execute("DELETE FROM content_items WHERE id = ?", (row["id"],))
    return Answer(204)


def archive_content_items(call: Call) -> Answer:
    """POST /content-items/bulk-archive: items already archived count as successes (documented)."""
    return _bulk(call, archived=True)


def unarchive_content_items(call: Call) -> Answer:
    """POST /content-items/bulk-unarchive: items that are not archived count as successes (documented)."""
    return _bulk(call, archived=False)


def _bulk(call: Call, *, archived: bool) -> Answer:
    results: list[Shape] = []
    failed = 0
    for item in call.body(BulkItems).items:
        try:
            with call.store.savepoint():
                row_id = call.store.row_id("content_items", item.public_id)
                if row_id is None:
                    raise not_found("Content item")
                update_item(call.store, row_id, {"is_archived": archived})
        except Refusal as refusal:
            failed += 1
            error = {"code": refusal.code, "message": refusal.message}
            results.append({"public_id": item.public_id, "status": "failed", "error": error})
        else:
            results.append({"public_id": item.public_id, "status": "succeeded", "error": None})
    meta = {"succeeded": len(results) - failed, "failed": failed}
    return Answer(207 if failed else 200, {"data": results, "meta": meta}, single=False)

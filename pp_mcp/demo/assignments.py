"""Assignments: list, assign, get, change dates. The actions are in transitions.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pp_mcp.demo.bodies import AssignmentCreate, AssignmentUpdate
from pp_mcp.demo.calls import Answer, Call, Shape, in_order, marks
from pp_mcp.demo.content import NEWEST_FIRST
from pp_mcp.demo.errors import conflict, invalid, not_found
from pp_mcp.demo.moments import shown
from pp_mcp.demo.queries import Where
from pp_mcp.demo.schema import OUTSTANDING
from pp_mcp.demo.store import Store

_OVERDUE = f"(state IN {OUTSTANDING} AND due_date IS NOT NULL AND due_date < ?)"


def load(store: Store, ids: Sequence[int]) -> list[Shape]:
    """Assignments as the API shows them, in the order of their internal ids.

    `is_overdue` is worked out at reading: outstanding and due before today (UTC).
    """
    rows = store.rows(
        f"""
        SELECT a.*, u.public_id AS user_public_id, u.name AS user_name, u.email AS user_email,
            c.public_id AS item_public_id, c.name AS item_name, c.content_type
        FROM assignments a JOIN users u ON u.id = a.user_id JOIN content_items c ON c.id = a.content_item_id
        WHERE a.id IN ({marks(ids)})
        """,
        ids,
    )
    today = store.today()
    return [
        {
            "public_id": row["public_id"],
            "user": {"public_id": row["user_public_id"], "name": row["user_name"], "email": row["user_email"]},
            "content_item": {
                "public_id": row["item_public_id"],
                "name": row["item_name"],
                "content_type": row["content_type"],
            },
            "state": row["state"],
            "progress": row["progress"],
            "score": row["score"],
            "is_success": None if row["is_success"] is None else bool(row["is_success"]),
            "due_date": row["due_date"],
            "is_overdue": row["state"] in ("not_started", "in_progress")
            and row["due_date"] is not None
            and row["due_date"] < today,
            "started_at": shown(row["started_at"]),
            "completed_datetime": shown(row["completed_datetime"]),
            "dropped_at": shown(row["dropped_at"]),
            "exempted_at": shown(row["exempted_at"]),
            "expires_at": shown(row["expires_at"]),
            "feedback_rating": row["feedback_rating"],
            "attempt": row["attempt"],
            "created": shown(row["created"]),
        }
        for row in in_order(ids, rows)
    ]


def list_assignments(call: Call) -> Answer:
    """GET /assignments, newest first. `content_type` is that of the item, one value (documented)."""
    where = Where(call.query)
    where.when("user", "user_id = (SELECT id FROM users WHERE public_id = ?)")
    where.when("content_item", "content_item_id = (SELECT id FROM content_items WHERE public_id = ?)")
    where.when("state", "state = ?")
    where.when("content_type", "content_item_id IN (SELECT id FROM content_items WHERE content_type = ?)")
    overdue = call.query.get("is_overdue")
    if overdue is not None:
        where.add(_OVERDUE if overdue else f"NOT {_OVERDUE}", call.store.today())
    where.when("due_date_gte", "due_date >= ?")
    where.when("due_date_lte", "due_date <= ?")
    where.when("created_gte", "created >= ?")
    where.when("created_lte", "created <= ?")
    return call.page("assignments", NEWEST_FIRST, where, load)


def assign_content(call: Call) -> Answer:
    """POST /assignments: 201 new, 200 the existing one (documented).

    "Existing" means outstanding (inferred): after a completed, dropped or exempted one a new attempt begins.
    """
    body = call.body(AssignmentCreate)
    store = call.store
    user = store.one("SELECT id, is_active FROM users WHERE public_id = ?", body.user_id)
    if user is None:
        raise not_found("User")
    item = store.one("SELECT id, is_archived FROM content_items WHERE public_id = ?", body.content_item_id)
    if item is None:
        raise not_found("Content item")
    wrong: dict[str, list[str]] = {}
    if not user["is_active"]:
        wrong["user_id"] = ["This user is not active."]
    if item["is_archived"]:
        wrong["content_item_id"] = ["This content item is archived."]
    if wrong:
        raise invalid(wrong)
    present = outstanding(store, user["id"], item["id"])
    if present is not None:
        return Answer(200, load(store, [present])[0])
    row_id = add_assignment(store, user["id"], item["id"], due_date=body.due_date, expires_at=body.expires_at)
    return Answer(201, load(store, [row_id])[0])


def outstanding(store: Store, user_id: int, item_id: int) -> int | None:
    """The internal id of the one outstanding assignment of this person and item."""
    row = store.one(
        f"SELECT id FROM assignments WHERE user_id = ? AND content_item_id = ? AND state IN {OUTSTANDING}",
        user_id,
        item_id,
    )
    return None if row is None else row["id"]


def add_assignment(store: Store, user_id: int, item_id: int, *, due_date: str | None, expires_at: str | None) -> int:
    """Insert the next attempt, not started; answers the internal id."""
    (last,) = store.rows(
        "SELECT coalesce(max(attempt), 0) FROM assignments WHERE user_id = ? AND content_item_id = ?",
        [user_id, item_id],
    )
    return store.insert(
        "assignments",
        {
            "public_id": store.new_id(),
            "user_id": user_id,
            "content_item_id": item_id,
            "state": "not_started",
            "progress": 0.0,
            "due_date": due_date,
            "expires_at": expires_at,
            "attempt": last[0] + 1,
            "created": store.now(),
        },
    )


def get_assignment(call: Call) -> Answer:
    """GET /assignments/{public_id}. The 304 is documented, ETag with If-None-Match inferred."""
    found = load(call.store, [call.row("assignments", "Assignment")["id"]])[0]
    etag = f'"{hashlib.sha256(json.dumps(found).encode()).hexdigest()[:32]}"'
    asked = [tag.strip().removeprefix("W/") for tag in call.if_none_match.split(",")]
    if etag in asked or asked == ["*"]:
        return Answer(304, headers={"ETag": etag})
    return Answer(payload=found, headers={"ETag": etag})


def update_assignment(call: Call) -> Answer:
    """PATCH /assignments/{public_id}: null removes; 409 for enrollment assignments (documented)."""
    row = call.row("assignments", "Assignment")
    body = call.body(AssignmentUpdate)
    if call.store.one("SELECT 1 FROM enrollments WHERE assignment_id = ?", row["id"]) is not None:
        raise conflict("This assignment belongs to an enrollment: its dates are managed by the event.")
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    call.store.update("assignments", row["id"], changes)
    return Answer(payload=load(call.store, [row["id"]])[0])

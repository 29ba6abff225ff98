"""Enrollments: read-only, with their status computed on reading."""

from __future__ import annotations

from collections.abc import Sequence

from pp_mcp.demo.calls import Answer, Call, Shape, in_order, marks
from pp_mcp.demo.content import NEWEST_FIRST
from pp_mcp.demo.moments import shown
from pp_mcp.demo.queries import Where
from pp_mcp.demo.store import Store

# Documented order: waitlisted and dropped as recorded; cancelled with its event; checked in at any time; a no-show once
# the self check-in has closed (never where that cutoff is disabled); else enrolled.
_STATUS = """
    CASE
        WHEN e.recorded <> 'enrolled' THEN e.recorded
        WHEN c.is_cancelled THEN 'cancelled'
        WHEN e.checkin_datetime IS NOT NULL THEN 'checked_in'
        WHEN c.checkin_closes_at < ? THEN 'no_show'
        ELSE 'enrolled'
    END
"""


def load(store: Store, ids: Sequence[int]) -> list[Shape]:
    """Enrollments as the API shows them, in the order of their internal ids; `state` is that of their assignment."""
    rows = store.rows(
        f"""
        SELECT e.*, {_STATUS} AS status, a.state, u.public_id AS user_public_id, u.name AS user_name,
            u.email AS user_email, c.public_id AS event_public_id, c.name AS event_name
        FROM enrollments e JOIN users u ON u.id = e.user_id JOIN content_items c ON c.id = e.event_id
            LEFT JOIN assignments a ON a.id = e.assignment_id
        WHERE e.id IN ({marks(ids)})
        """,
        [store.now(), *ids],
    )
    return [
        {
            "public_id": row["public_id"],
            "user": {"public_id": row["user_public_id"], "name": row["user_name"], "email": row["user_email"]},
            "event": {"public_id": row["event_public_id"], "name": row["event_name"]},
            "status": row["status"],
            "attendance_method": row["attendance_method"],
            "checkin_datetime": shown(row["checkin_datetime"]),
            "state": row["state"],
            "created": shown(row["created"]),
        }
        for row in in_order(ids, rows)
    ]


def list_enrollments(call: Call) -> Answer:
    """GET /enrollments, newest first."""
    where = Where(call.query)
    where.when("user", "user_id = (SELECT id FROM users WHERE public_id = ?)")
    where.when("event", "event_id = (SELECT id FROM content_items WHERE public_id = ?)")
    if "status" in call.query:
        where.add(
            f"id IN (SELECT e.id FROM enrollments e JOIN content_items c ON c.id = e.event_id WHERE {_STATUS} = ?)",
            call.store.now(),
            call.query["status"],
        )
    where.when("attendance_method", "attendance_method = ?")
    where.when("created_gte", "created >= ?")
    where.when("created_lte", "created <= ?")
    return call.page("enrollments", NEWEST_FIRST, where, load)

"""The whole state of a tenant in a comparable form."""

from __future__ import annotations

from typing import Any

from pp_mcp.demo.store import Store

_QUERIES = {
    "users": """
        SELECT u.public_id, u.email, u.name, u.role, u.employee_id, u.is_active, m.public_id AS manager
        FROM users u LEFT JOIN users m ON m.id = u.manager_id
    """,
    "groups": "SELECT public_id, name, source FROM groups",
    "content_items": """
        SELECT c.public_id, c.name, c.content_type, c.description, c.is_archived, c.is_hidden, c.is_completable,
            c.is_self_assignable, c.duration_minutes, c.is_cancelled, c.total_assignments,
            c.completed_assignments_count, c.rating_sum, c.rating_count, h.public_id AS channel
        FROM content_items c LEFT JOIN channels h ON h.id = c.channel_id
    """,
    "assignments": """
        SELECT a.public_id, u.public_id AS user, c.public_id AS content_item, a.state, a.progress, a.score,
            a.is_success, a.due_date, a.drop_reason, a.feedback_rating, a.attempt,
            a.expires_at IS NOT NULL AS expires
        FROM assignments a JOIN users u ON u.id = a.user_id JOIN content_items c ON c.id = a.content_item_id
    """,
    "enrollments": """
        SELECT e.public_id, u.public_id AS user, c.public_id AS event, a.public_id AS assignment, e.recorded,
            e.attendance_method, e.checkin_datetime IS NOT NULL AS checked_in
        FROM enrollments e JOIN users u ON u.id = e.user_id JOIN content_items c ON c.id = e.event_id
            LEFT JOIN assignments a ON a.id = e.assignment_id
    """,
    "tokens": "SELECT public_id, name, role, expires_at IS NOT NULL AS expires FROM tokens",
}

_LINKS = {
    ("groups", "members"): """
        SELECT g.public_id AS owner, u.public_id AS link FROM group_members m
        JOIN groups g ON g.id = m.group_id JOIN users u ON u.id = m.user_id ORDER BY link
    """,
    ("content_items", "groups"): """
        SELECT c.public_id AS owner, g.public_id AS link FROM item_groups l
        JOIN content_items c ON c.id = l.content_item_id JOIN groups g ON g.id = l.group_id ORDER BY link
    """,
}


def take(store: Store) -> dict[str, Any]:
    """`{table: {public_id: fields}}`, without points in time; `due_date` is part of it."""
    state: dict[str, dict[str, dict[str, Any]]] = {}
    for table, query in _QUERIES.items():
        state[table] = {}
        for row in store.rows(query):
            fields = dict(row)
            state[table][fields.pop("public_id")] = fields
    for (table, name), query in _LINKS.items():
        for fields in state[table].values():
            fields[name] = []
        for row in store.rows(query):
            state[table][row["owner"]][name].append(row["link"])
    return state

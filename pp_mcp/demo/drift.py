"""Drift: what other people do to a tenant while a client walks its pages."""

from __future__ import annotations

import random

from pp_mcp.demo.articles import add_article
from pp_mcp.demo.assignments import add_assignment, outstanding
from pp_mcp.demo.groups import add_group
from pp_mcp.demo.store import Store
from pp_mcp.demo.users import add_user

_TABLES = {
    "/users": "users",
    "/groups": "groups",
    "/articles": "content_items",
    "/content-items": "content_items",
    "/assignments": "assignments",
    "/enrollments": "enrollments",
}


def disturb(store: Store, path: str, draws: random.Random) -> None:
    """Adds a row to the list at `path` or removes one, with equal chance; other paths are left alone."""
    table = _TABLES.get(path)
    if table is None:
        return
    with store.writing():
        if table == "enrollments" or draws.random() < 0.5:
            _remove(store, table, draws)
        else:
            _add(store, table, draws)


def _random_id(store: Store, table: str, where: str, draws: random.Random) -> int | None:
    (last,) = store.rows(f"SELECT coalesce(max(id), 0) FROM {table}")
    row = store.one(
        f"SELECT id FROM {table} WHERE id <= ? AND {where} ORDER BY id DESC LIMIT 1", draws.randint(0, last[0])
    )
    return None if row is None else row["id"]


def _remove(store: Store, table: str, draws: random.Random) -> None:
    # Only people without reports leave, so that the manager tree keeps its shape.
    where = "id NOT IN (SELECT manager_id FROM users WHERE manager_id IS NOT NULL)" if table == "users" else "1"
    row_id = _random_id(store, table, where, draws)
    if row_id is not None:
        store.connection.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,))


def _add(store: Store, table: str, draws: random.Random) -> None:
    number = draws.getrandbits(40)
    letter = draws.choice("abcdefghijklmnopqrstuvwxyz").upper()
    if table == "users":
        add_user(
            store,
            email=f"newcomer.{number}@acme.example",
            name=f"{letter}. Newcomer {number}",
            role="user",
            employee_id=None,
            manager_id=None,
        )
    elif table == "groups":
        add_group(store, f"{letter} Team {number}", "plusplus")
    elif table == "content_items":
        add_article(store, name=f"Note {number}", is_hidden=False, is_self_assignable=True, duration=5)
    else:
        user_id = _random_id(store, "users", "is_active", draws)
        item_id = _random_id(store, "content_items", "NOT is_archived", draws)
        if user_id is not None and item_id is not None and outstanding(store, user_id, item_id) is None:
            add_assignment(store, user_id, item_id, due_date=None, expires_at=None)

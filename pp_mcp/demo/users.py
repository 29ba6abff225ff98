"""Users: list, create, get, update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from pp_mcp.demo.bodies import UserCreate, UserUpdate
from pp_mcp.demo.calls import Answer, Call, Shape, in_order, marks
from pp_mcp.demo.errors import invalid
from pp_mcp.demo.moments import shown
from pp_mcp.demo.queries import Where
from pp_mcp.demo.store import Store


def load(store: Store, ids: Sequence[int]) -> list[Shape]:
    """Users as the API shows them, in the order of their internal ids."""
    rows = store.rows(
        f"""
        SELECT u.*, m.public_id AS manager_public_id, m.name AS manager_name, m.email AS manager_email
        FROM users u LEFT JOIN users m ON m.id = u.manager_id WHERE u.id IN ({marks(ids)})
        """,
        ids,
    )
    return [
        {
            "public_id": row["public_id"],
            "email": row["email"],
            "name": row["name"],
            "role": row["role"],
            "employee_id": row["employee_id"],
            "is_active": bool(row["is_active"]),
            "manager": None
            if row["manager_id"] is None
            else {"public_id": row["manager_public_id"], "name": row["manager_name"], "email": row["manager_email"]},
            "date_joined": shown(row["date_joined"]),
        }
        for row in in_order(ids, rows)
    ]


def list_users(call: Call) -> Answer:
    """GET /users, by name. `email` and `employee_id` are exact, `search` matches inside name or email (documented)."""
    where = Where(call.query)
    where.when("email", "email_key = ?", str.casefold)
    where.when("employee_id", "employee_id = ?")
    where.when("search", "(instr(name_key, ?) OR instr(email_key, ?))", str.casefold)
    where.when("is_active", "is_active = ?")
    where.when("role", "role = ?")
    where.when("manager", "manager_id = (SELECT id FROM users WHERE public_id = ?)")
    where.when(
        "group",
        "id IN (SELECT user_id FROM group_members WHERE group_id = (SELECT id FROM groups WHERE public_id = ?))",
    )
    return call.page("users", "name_key, id", where, load)


def create_user(call: Call) -> Answer:
    """POST /users. A duplicate e-mail address is a validation error (documented)."""
    body = call.body(UserCreate)
    store = call.store
    wrong: dict[str, list[str]] = {}
    if store.one("SELECT 1 FROM users WHERE email_key = ?", body.email.casefold()) is not None:
        wrong["email"] = ["A user with this email already exists."]
    manager_id = None
    if body.manager is not None:
        manager_id = store.row_id("users", body.manager)
        if manager_id is None:
            wrong["manager"] = ["No user with this id."]
    if wrong:
        raise invalid(wrong)
    row_id = add_user(
        store,
        email=body.email,
        name=body.name,
        role=body.role or "user",
        employee_id=body.employee_id,
        manager_id=manager_id,
    )
    return Answer(201, load(store, [row_id])[0])


def add_user(store: Store, *, email: str, name: str, role: str, employee_id: str | None, manager_id: int | None) -> int:
    """Insert an active user who joins now; answers the internal id."""
    return store.insert(
        "users",
        {
            "public_id": store.new_id(),
            "email": email,
            "email_key": email.casefold(),
            "name": name,
            "name_key": name.casefold(),
            "role": role,
            "employee_id": employee_id,
            "manager_id": manager_id,
            "date_joined": store.now(),
        },
    )


def get_user(call: Call) -> Answer:
    """GET /users/{public_id}."""
    return Answer(payload=load(call.store, [call.row("users", "User")["id"]])[0])


def update_user(call: Call) -> Answer:
    """PATCH /users/{public_id}: only the fields sent; null clears `employee_id` and `manager`."""
    row = call.row("users", "User")
    body = call.body(UserUpdate)
    changes: dict[str, Any] = {}
    if body.name is not None:
        changes |= {"name": body.name, "name_key": body.name.casefold()}
    if body.role is not None:
        changes["role"] = body.role
    if body.is_active is not None:
        changes["is_active"] = body.is_active
    if "employee_id" in body.model_fields_set:
        changes["employee_id"] = body.employee_id
    if "manager" in body.model_fields_set:
        changes["manager_id"] = _manager_of(call.store, row["id"], body.manager)
    call.store.update("users", row["id"], changes)
    return Answer(payload=load(call.store, [row["id"]])[0])


def _manager_of(store: Store, user_id: int, manager: str | None) -> int | None:
    """The manager's internal id; refuses an unknown one, the person, and anyone who reports to the person."""
    if manager is None:
        return None
    manager_id = store.row_id("users", manager)
    if manager_id is None:
        raise invalid({"manager": ["No user with this id."]})
    if manager_id == user_id:
        raise invalid({"manager": ["A user cannot be their own manager."]})
    above: int | None = manager_id
    seen: set[int] = set()
    while above is not None and above not in seen:
        seen.add(above)
        row = store.one("SELECT manager_id FROM users WHERE id = ?", above)
        above = None if row is None else cast("int | None", row["manager_id"])
        if above == user_id:
            raise invalid({"manager": ["This would make the reporting line circular."]})
    return manager_id

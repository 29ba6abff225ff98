"""Groups: list, create, get, rename, and membership."""

from __future__ import annotations

from collections.abc import Sequence

from pp_mcp.demo.bodies import GroupCreate, GroupUpdate, MemberIds, MembersReplace
from pp_mcp.demo.calls import Answer, Call, Shape, in_order, marks
from pp_mcp.demo.errors import invalid
from pp_mcp.demo.moments import shown
from pp_mcp.demo.queries import Where
from pp_mcp.demo.store import Store

_LOOKUP_BATCH = 500


def load(store: Store, ids: Sequence[int]) -> list[Shape]:
    """Groups as the API shows them, in the order of their internal ids."""
    rows = store.rows(
        f"""
        SELECT g.*, (SELECT count(*) FROM group_members m WHERE m.group_id = g.id) AS member_count
        FROM groups g WHERE g.id IN ({marks(ids)})
        """,
        ids,
    )
    return [
        {
            "public_id": row["public_id"],
            "name": row["name"],
            "source": row["source"],
            "member_count": row["member_count"],
            "created": shown(row["created"]),
            "modified": shown(row["modified"]),
        }
        for row in in_order(ids, rows)
    ]


def list_groups(call: Call) -> Answer:
    """GET /groups, by name. `name` is partial and case-insensitive, `search` looks in name or source (documented)."""
    where = Where(call.query)
    where.when("name", "instr(name_key, ?)", str.casefold)
    where.when("source", "source = ?")
    where.when("search", "(instr(name_key, ?) OR instr(source_key, ?))", str.casefold)
    return call.page("groups", "name_key, id", where, load)


def create_group(call: Call) -> Answer:
    """POST /groups. Names need not be unique (no rule is documented)."""
    body = call.body(GroupCreate)
    row_id = add_group(call.store, body.name, body.source or "plusplus")
    return Answer(201, load(call.store, [row_id])[0])


def add_group(store: Store, name: str, source: str) -> int:
    """Insert an empty group; answers the internal id."""
    now = store.now()
    return store.insert(
        "groups",
        {
            "public_id": store.new_id(),
            "name": name,
            "name_key": name.casefold(),
            "source": source,
            "source_key": source.casefold(),
            "created": now,
            "modified": now,
        },
    )


def get_group(call: Call) -> Answer:
    """GET /groups/{public_id}."""
    return _shown(call, call.row("groups", "Group")["id"])


def update_group(call: Call) -> Answer:
    """PATCH /groups/{public_id}: a rename."""
    row = call.row("groups", "Group")
    body = call.body(GroupUpdate)
    if body.name is not None and body.name != row["name"]:
        changes = {"name": body.name, "name_key": body.name.casefold(), "modified": call.store.now()}
        call.store.update("groups", row["id"], changes)
    return _shown(call, row["id"])


def add_group_members(call: Call) -> Answer:
    """POST /groups/{public_id}/members: existing members are skipped."""
    group_id = call.row("groups", "Group")["id"]
    wanted = _user_ids(call.store, call.body(MemberIds).member_ids)
    return _change(call, group_id, add=wanted - _members(call.store, group_id), remove=set())


def remove_group_members(call: Call) -> Answer:
    """DELETE /groups/{public_id}/members: non-members are skipped."""
    group_id = call.row("groups", "Group")["id"]
    unwanted = _user_ids(call.store, call.body(MemberIds).member_ids)
    return _change(call, group_id, add=set(), remove=unwanted & _members(call.store, group_id))


def replace_group_members(call: Call) -> Answer:
    """PUT /groups/{public_id}/members; the two confirmations are documented, their 422 is inferred."""
    group_id = call.row("groups", "Group")["id"]
    body = call.body(MembersReplace)
    wanted = _user_ids(call.store, body.member_ids)
    present = _members(call.store, group_id)
    if not body.confirm_replace:
        raise invalid({"confirm_replace": ["Must be true to confirm the replacement."]})
    if 2 * len(present - wanted) > len(present) and not body.confirm_large_removal:
        raise invalid(
            {"confirm_large_removal": ["Must be true when removing more than 50% of current members."]},
        )
    return _change(call, group_id, add=wanted - present, remove=present - wanted)


def _members(store: Store, group_id: int) -> set[int]:
    return {row[0] for row in store.rows("SELECT user_id FROM group_members WHERE group_id = ?", [group_id])}


def _user_ids(store: Store, public_ids: Sequence[str]) -> set[int]:
    found: dict[str, int] = {}
    for start in range(0, len(public_ids), _LOOKUP_BATCH):
        batch = public_ids[start : start + _LOOKUP_BATCH]
        rows = store.rows(f"SELECT public_id, id FROM users WHERE public_id IN ({marks(batch)})", batch)
        found |= {row["public_id"]: row["id"] for row in rows}
    unknown = [public_id for public_id in public_ids if public_id not in found]
    if unknown:
        raise invalid({"member_ids": [f"No user with the id {public_id}." for public_id in dict.fromkeys(unknown)]})
    return set(found.values())


def _change(call: Call, group_id: int, *, add: set[int], remove: set[int]) -> Answer:
    store = call.store
    pairs = [(group_id, user_id) for user_id in sorted(add)]
    store.connection.executemany("INSERT INTO group_members (group_id, user_id) VALUES (?, ?)", pairs)
    pairs = [(group_id, user_id) for user_id in sorted(remove)]
    store.connection.executemany("DELETE FROM group_members WHERE group_id = ? AND user_id = ?", pairs)
    if add or remove:
        store.update("groups", group_id, {"modified": store.now()})
    return _shown(call, group_id)


def _shown(call: Call, group_id: int) -> Answer:
    return Answer(payload=load(call.store, [group_id])[0])

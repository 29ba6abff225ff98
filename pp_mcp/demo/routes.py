"""The 32 operations of the contract: path, handler, permission, parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pp_mcp.demo import articles, assignments, content, enrollments, groups, tokens, transitions, users
from pp_mcp.demo import queries as q
from pp_mcp.demo.calls import Handler
from pp_mcp.demo.queries import PAGING, Kind

PREFIX = "/public_api/v2"

Needs = Literal["read", "organize", "administer"]

ALLOWED: Mapping[Needs, frozenset[str]] = {
    "read": frozenset({"admin", "organizer", "user"}),
    "organize": frozenset({"admin", "organizer"}),
    "administer": frozenset({"admin"}),
}
"""Which role may do what. That roles matter is documented, this table is inferred."""


@dataclass(frozen=True)
class Operation:
    """One operation; `refuses`: its contract has a 422; without one, a malformed id is a 404."""

    method: str
    path: str
    handler: Handler
    needs: Needs
    query: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    refuses: bool = True

    @property
    def writes(self) -> bool:
        return self.method != "GET"


def _list(path: str, handler: Handler, **query: Kind) -> Operation:
    return Operation("GET", path, handler, "read", {**query, **PAGING})


def _get(path: str, handler: Handler) -> Operation:
    return Operation("GET", path, handler, "read", refuses=False)


_ASSIGNMENT = "/assignments/{public_id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation("POST", "/auth/tokens", tokens.create_api_token, "administer"),
    _list(
        "/users",
        users.list_users,
        email=q.text,
        employee_id=q.text,
        search=q.text,
        is_active=q.flag,
        role=q.role,
        manager=q.public_id,
        group=q.public_id,
    ),
    Operation("POST", "/users", users.create_user, "administer"),
    _get("/users/{public_id}", users.get_user),
    Operation("PATCH", "/users/{public_id}", users.update_user, "administer"),
    _list("/groups", groups.list_groups, name=q.text, source=q.text, search=q.text),
    Operation("POST", "/groups", groups.create_group, "organize"),
    _get("/groups/{public_id}", groups.get_group),
    Operation("PATCH", "/groups/{public_id}", groups.update_group, "organize"),
    Operation("POST", "/groups/{public_id}/members", groups.add_group_members, "organize"),
    Operation("PUT", "/groups/{public_id}/members", groups.replace_group_members, "organize"),
    Operation("DELETE", "/groups/{public_id}/members", groups.remove_group_members, "organize"),
    _list("/articles", articles.list_articles, search=q.text, is_archived=q.flag, is_hidden=q.flag),
    Operation("POST", "/articles", articles.create_article, "organize"),
    _get("/articles/{public_id}", articles.get_article),
    Operation("PATCH", "/articles/{public_id}", articles.update_article, "organize"),
    _list(
        "/assignments",
        assignments.list_assignments,
        user=q.public_id,
        content_item=q.public_id,
        state=q.text,
        content_type=q.text,
        is_overdue=q.flag,
        due_date_gte=q.day,
        due_date_lte=q.day,
        created_gte=q.moment,
        created_lte=q.moment,
    ),
    Operation("POST", "/assignments", assignments.assign_content, "organize"),
    _get(_ASSIGNMENT, assignments.get_assignment),
    Operation("PATCH", _ASSIGNMENT, assignments.update_assignment, "organize"),
    Operation("POST", f"{_ASSIGNMENT}/complete", transitions.complete_assignment, "organize", refuses=False),
    Operation("POST", f"{_ASSIGNMENT}/drop", transitions.drop_assignment, "organize"),
    Operation("POST", f"{_ASSIGNMENT}/exempt", transitions.exempt_assignment, "organize", refuses=False),
    Operation("POST", f"{_ASSIGNMENT}/revert-completion", transitions.revert_completion, "organize", refuses=False),
    Operation("POST", f"{_ASSIGNMENT}/revert-exemption", transitions.revert_exemption, "organize", refuses=False),
    _list(
        "/content-items",
        content.list_content_items,
        search=q.text,
        content_type=q.words,
        is_archived=q.flag,
        is_hidden=q.flag,
        created_gte=q.moment,
        created_lte=q.moment,
        modified_gte=q.moment,
        modified_lte=q.moment,
        channel=q.public_id,
        group=q.public_id,
    ),
    _get("/content-items/{public_id}", content.get_content_item),
    Operation("PATCH", "/content-items/{public_id}", content.update_content_item, "organize"),
    Operation("DELETE", "/content-items/{public_id}", content.delete_content_item, "organize", refuses=False),
    Operation("POST", "/content-items/bulk-archive", content.archive_content_items, "organize"),
    Operation("POST", "/content-items/bulk-unarchive", content.unarchive_content_items, "organize"),
    _list(
        "/enrollments",
        enrollments.list_enrollments,
        user=q.public_id,
        event=q.public_id,
        status=q.text,
        attendance_method=q.text,
        created_gte=q.moment,
        created_lte=q.moment,
    ),
)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{public_id}", r"(?P<public_id>[^/]+)"))


_BY_PATH: dict[str, tuple[re.Pattern[str], dict[str, Operation]]] = {}
for _operation in OPERATIONS:
    _BY_PATH.setdefault(_operation.path, (_pattern(_operation.path), {}))[1][_operation.method] = _operation

# Fixed paths first: bulk-archive is not an id.
_ORDERED = sorted(_BY_PATH.values(), key=lambda entry: "public_id" in entry[0].groupindex)


def find(path: str) -> tuple[dict[str, Operation], str] | None:
    """The operations of a path (without the prefix) by method, and the id in it; None for an unknown path."""
    for pattern, operations in _ORDERED:
        match = pattern.fullmatch(path)
        if match is not None:
            return operations, match.groupdict().get("public_id", "")
    return None

"""One case for every tool: valid arguments over a small tenant, and what of the tenant a write must have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stage import Stage

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`arguments` are made from the tenant; `look` reads from it, past the API, what the tool changes, and must give
    `before` before the call and `after` after it (a function of what `before` was, where that varies)."""

    tool: str
    arguments: Callable[[Stage], Arguments] = lambda _: {}
    look: Callable[[Stage, Arguments], Any] | None = None
    after: Any = None
    preview: bool = False
    """Whether the first answer is a preview."""
    undo: str | None = "restores"
    """What becomes of the tenant by the undo: `restores` it wholly, none exists, or a word for what it leaves."""


def _sql(query: str, *names: str) -> Callable[[Stage, Arguments], Any]:
    return lambda stage, given: stage.one(query, *(given[name] for name in names))


def _state_of(stage: Stage, given: Arguments) -> str:
    return stage.state(given["assignment"])


def _one_assignment(state: str) -> Callable[[Stage], Arguments]:
    return lambda stage: {"assignment": stage.assignment(state)}


def _someone(stage: Stage) -> Arguments:
    return {"user": stage.person()}


def _assign(stage: Stage) -> Arguments:
    user = stage.person()
    return {"user": user, "content_item": stage.unassigned(user), "due_date": "2030-01-31", "expires_at": "2031-01-31"}


def _archived(stage: Stage, given: Arguments) -> list[int]:
    marks = ", ".join("?" * len(given["items"]))
    return stage.column(f"SELECT is_archived FROM content_items WHERE public_id IN ({marks})", *given["items"])


def _members(stage: Stage, given: Arguments) -> list[str]:
    return stage.members(given["group"])


def _leaving(stage: Stage) -> Arguments:
    group = stage.group()
    return {"group": group, "members": stage.members(group)[:2]}


def _joining(stage: Stage) -> Arguments:
    group = stage.group()
    return {"group": group, "members": stage.strangers(group, 2)}


def _matching(stage: Stage) -> Arguments:
    group = stage.group()
    return {"group": group, "members": stage.members(group)[:1] + stage.strangers(group, 1)}


def _bulk_assigned(stage: Stage) -> Arguments:
    people = [stage.person(0), stage.person(1)]
    query = (
        "SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' AND id NOT IN (SELECT "
        "content_item_id FROM assignments a JOIN users u ON u.id = a.user_id WHERE u.email IN (?, ?)) ORDER BY id"
    )
    return {"content_item": stage.one(query, *people), "users": people, "due_date": "2030-01-31"}


def _due_dates(stage: Stage, given: Arguments) -> list[str]:
    marks = ", ".join("?" * len(given["assignments"]))
    return stage.column(f"SELECT due_date FROM assignments WHERE public_id IN ({marks})", *given["assignments"])


CASES: tuple[Case, ...] = (
    Case("list_users", lambda s: {"search": "a", "is_active": True, "role": "user", "page_size": 5}),
    Case("get_user", _someone),
    Case(
        "create_user",
        lambda s: {"email": "ada.new@acme.example", "name": "Ada New", "role": "organizer", "manager": s.person()},
        _sql("SELECT name || role || (manager_id NOT NULL) FROM users WHERE email = ?", "email"),
        "Ada Neworganizer1",
        preview=True,
        undo=None,
    ),
    Case(
        "update_user",
        lambda s: _someone(s) | {"role": "admin", "name": "Renamed Person"},
        _sql("SELECT role || '/' || name FROM users WHERE email = ?", "user"),
        "admin/Renamed Person",
        preview=True,
    ),
    Case("list_groups", lambda s: {"source": "plusplus"}),
    Case("get_group", lambda s: {"group": s.group()}),
    Case(
        "create_group",
        lambda s: {"name": "Night Shift"},
        _sql("SELECT source FROM groups WHERE name = ?", "name"),
        "plusplus",
        undo=None,
    ),
    Case(
        "update_group",
        lambda s: {"group": s.group(), "name": "Night Shift"},
        _sql("SELECT name FROM groups WHERE public_id = ?", "group"),
        "Night Shift",
    ),
    Case("list_group_members", lambda s: {"group": s.group(), "is_active": True}),
    Case("add_group_members", _joining, _members, lambda before, given: sorted({*before, *given["members"]})),
    Case("replace_group_members", _matching, _members, lambda before, given: sorted(given["members"]), preview=True),
    Case(
        "remove_group_members",
        _leaving,
        _members,
        lambda before, given: sorted(set(before) - set(given["members"])),
        preview=True,
    ),
    Case("search_content", lambda s: {"content_type": ["article", "course"], "is_archived": False}),
    Case("get_content_item", lambda s: {"content_item": s.item()}),
    Case(
        "update_content_item",
        lambda s: {"content_item": s.item("id IN (SELECT content_item_id FROM item_groups)"), "groups": []},
        _sql(
            "SELECT count(*) FROM item_groups g JOIN content_items c ON c.id = g.content_item_id WHERE public_id = ?",
            "content_item",
        ),
        0,
        preview=True,
    ),
    Case(
        "delete_content_item",
        lambda s: {"content_item": s.item()},
        _sql("SELECT name NOT NULL FROM content_items WHERE public_id = ?", "content_item"),
        None,
        preview=True,
        undo=None,
    ),
    Case(
        "archive_content_items",
        lambda s: {"items": [s.item(), s.item(number=1)]},
        _archived,
        [1, 1],
        preview=True,
    ),
    Case("unarchive_content_items", lambda s: {"items": [s.item("is_archived")]}, _archived, [0]),
    Case("list_articles", lambda s: {"is_archived": False, "detail": "full"}),
    Case("get_article", lambda s: {"article": s.item("content_type = 'article'")}),
    Case(
        "create_article",
        lambda s: {"name": "How we work", "is_hidden": True, "duration": 7},
        _sql("SELECT is_hidden || duration_minutes || content_type FROM content_items WHERE name = ?", "name"),
        "17article",
        undo="restores",
    ),
    Case(
        "update_article",
        lambda s: {"article": s.item("content_type = 'article'"), "duration": 77, "name": "How we work"},
        _sql("SELECT duration_minutes || name FROM content_items WHERE public_id = ?", "article"),
        "77How we work",
    ),
    Case("list_assignments", lambda s: {"state": "in_progress", "due_date_gte": "2020-01-01"}),
    Case("list_overdue_assignments", lambda s: {"page_size": 3}),
    Case("get_assignment", _one_assignment("completed")),
    Case(
        "assign_content",
        _assign,
        _sql(
            "SELECT state || due_date FROM assignments a JOIN users u ON u.id = a.user_id JOIN content_items c "
            "ON c.id = a.content_item_id WHERE email = ? AND c.public_id = ?",
            "user",
            "content_item",
        ),
        "not_started2030-01-31",
        undo="leaves a dropped assignment",
    ),
    Case(
        "update_assignment",
        lambda s: _one_assignment("not_started")(s) | {"due_date": "2030-01-31"},
        _sql("SELECT due_date FROM assignments WHERE public_id = ?", "assignment"),
        "2030-01-31",
    ),
    Case(
        "complete_assignment",
        _one_assignment("in_progress"),
        _state_of,
        "completed",
        undo="may lose progress",
    ),
    Case(
        "drop_assignment",
        lambda s: _one_assignment("not_started")(s) | {"reason": "moved teams"},
        _sql("SELECT state || drop_reason FROM assignments WHERE public_id = ?", "assignment"),
        "droppedmoved teams",
        preview=True,
        undo=None,
    ),
    Case("exempt_assignment", _one_assignment("not_started"), _state_of, "exempted"),
    Case(
        "revert_completion",
        _one_assignment("completed"),
        lambda s, given: _state_of(s, given) == "completed",
        False,
        preview=True,
        undo=None,
    ),
    Case(
        "revert_exemption",
        _one_assignment("exempted"),
        lambda s, given: _state_of(s, given) == "exempted",
        False,
    ),
    Case("list_enrollments", lambda s: {"status": "enrolled"}),
    Case(
        "create_api_token",
        lambda s: {"name": "nightly job", "expires_at": "2030-01-31"},
        _sql("SELECT expires_at NOT NULL FROM tokens WHERE name = ?", "name"),
        1,
        preview=True,
        undo=None,
    ),
    Case("report_assignments", lambda s: {"group_by": ["manager", "state"], "is_overdue": False, "top": 3}),
    Case("report_content", lambda s: {"stale_days": 30}),
    Case("report_enrollments", lambda s: {"group_by": ["status"]}),
    Case("get_learner_summary", _someone),
    Case(
        "bulk_assign_content",
        _bulk_assigned,
        _sql(
            "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = a.content_item_id "
            "WHERE c.public_id = ? AND due_date = ?",
            "content_item",
            "due_date",
        ),
        2,
        preview=True,
        undo="leaves dropped assignments",
    ),
    Case(
        "bulk_update_assignments",
        lambda s: {
            "action": "set_due_date",
            "assignments": [s.assignment("not_started"), s.assignment("not_started", 1)],
            "due_date": "2030-01-31",
        },
        _due_dates,
        ["2030-01-31", "2030-01-31"],
        preview=True,
        undo="is not one call",
    ),
)

WRITES = tuple(case for case in CASES if case.look is not None)
PREVIEWED = tuple(case for case in CASES if case.preview)

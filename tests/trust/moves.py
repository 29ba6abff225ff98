"""Writes drawn at random on whatever state a tenant is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from server.cases import WRITES
from stage import Json, Stage

Draw = Callable[[Stage, Random], Json | None]


@dataclass(frozen=True)
class Move:
    """One kind of write. `draw` makes its arguments, or none where the state has nothing for it."""

    tool: str
    draw: Draw
    leaves: str = "nothing"
    """What its undo leaves: `nothing`, `dropped` assignments, or `all` where there is no undo."""
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or self.tool


def ids(stage: Stage, table: str, where: str = "1") -> list[str]:
    return stage.column(f"SELECT public_id FROM {table} WHERE {where} ORDER BY id")


LOOSE = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
OUTSTANDING = f"state IN ('not_started', 'in_progress') AND {LOOSE}"


def some(draws: Random, values: list[str], most: int = 6) -> list[str]:
    return draws.sample(values, min(len(values), draws.randint(1, most)))


def fields(draws: Random, values: Json) -> Json:
    """One or more of the fields; one whose value is None is cleared."""
    chosen = draws.sample(sorted(values), draws.randint(1, len(values)))
    clear = [name for name in chosen if values[name] is None]
    return {name: values[name] for name in chosen if values[name] is not None} | ({"clear": clear} if clear else {})


def user(stage: Stage, draws: Random) -> Json:
    people = ids(stage, "users")
    target = draws.choice(people)
    values = {
        "name": draws.choice(["Ann Other", "Bö Ünïcode 李", 'Quote "d"', "Same"]),
        "role": draws.choice(["user", "organizer", "admin"]),
        "employee_id": draws.choice([None, "E-1", "0042"]),
        # Of those who report to nobody, so that no circle comes about.
        "manager": draws.choice([None, *(one for one in ids(stage, "users", "manager_id IS NULL") if one != target)]),
        "is_active": draws.random() < 0.5,
    }
    return {"user": target, **fields(draws, values)}


def group_name(stage: Stage, draws: Random) -> Json:
    return {"group": draws.choice(ids(stage, "groups")), "name": draws.choice(["One", "Two", "Three  spaces"])}


def members(stage: Stage, draws: Random) -> Json:
    chosen = some(draws, ids(stage, "users"), 10)
    return {"group": draws.choice(ids(stage, "groups")), "members": chosen}


def roster(stage: Stage, draws: Random) -> Json:
    drawn = members(stage, draws)
    return drawn if draws.random() < 0.9 else {**drawn, "members": []}


def item(stage: Stage, draws: Random) -> Json:
    groups = ids(stage, "groups")
    values = {
        "name": draws.choice(["An item", "Ein Ding"]),
        "is_hidden": draws.random() < 0.5,
        "groups": some(draws, groups) if draws.random() < 0.7 else [],
    }
    return {"content_item": draws.choice(ids(stage, "content_items")), **fields(draws, values)}


def items(stage: Stage, draws: Random) -> Json:
    return {"items": some(draws, ids(stage, "content_items"), 8)}


def new_article(_: Stage, draws: Random) -> Json:
    values = {"is_hidden": True, "is_self_assignable": False, "duration": draws.randint(0, 90)}
    return {"name": f"Article {draws.randint(0, 999)}", **fields(draws, values)}


def article(stage: Stage, draws: Random) -> Json | None:
    articles = ids(stage, "content_items", "content_type = 'article'")
    values = {
        "name": draws.choice(["An article", "Ein Text"]),
        "is_hidden": draws.random() < 0.5,
        "is_self_assignable": draws.random() < 0.5,
        "duration": draws.choice([None, 0, 5, 90]),
    }
    return {"article": draws.choice(articles), **fields(draws, values)} if articles else None


def due(draws: Random) -> str:
    return f"203{draws.randint(0, 1)}-0{draws.randint(1, 2)}-01"


def assign(stage: Stage, draws: Random) -> Json:
    target = draws.choice(ids(stage, "users", "is_active"))
    return {
        "user": target,
        "content_item": draws.choice(ids(stage, "content_items", "NOT is_archived")),
        **fields(draws, {"due_date": due(draws), "expires_at": "2032-01-01T00:00:00Z"}),
    }


def assign_many(stage: Stage, draws: Random) -> Json:
    who: Json = {"users": some(draws, ids(stage, "users"), 8)}
    if draws.random() < 0.3:
        who = {"group": draws.choice(ids(stage, "groups", "id IN (SELECT group_id FROM group_members)"))}
    chosen = draws.choice(ids(stage, "content_items", "NOT is_archived"))
    return {"content_item": chosen, "due_date": due(draws), "reassign": draws.random() < 0.5, **who}


def dates(stage: Stage, draws: Random) -> Json | None:
    found = ids(stage, "assignments", OUTSTANDING)
    values = {"due_date": draws.choice([None, due(draws)]), "expires_at": draws.choice([None, "2032-01-01"])}
    return {"assignment": draws.choice(found), **fields(draws, values)} if found else None


def step(where: str) -> Draw:
    def draw(stage: Stage, draws: Random) -> Json | None:
        found = ids(stage, "assignments", where)
        return {"assignment": draws.choice(found)} if found else None

    return draw


def many(action: str, where: str) -> Draw:
    def draw(stage: Stage, draws: Random) -> Json | None:
        found = ids(stage, "assignments", where)
        if not found:
            return None
        drawn: Json = {"action": action, "assignments": some(draws, found, 8)}
        if action == "set_due_date":
            drawn |= draws.choice([{"clear": ["due_date"]}, {"due_date": due(draws)}])
        return drawn

    return draw


ALONE = (
    "NOT EXISTS (SELECT 1 FROM assignments b WHERE b.id != assignments.id AND b.user_id = assignments.user_id AND "
    "b.content_item_id = assignments.content_item_id AND b.state IN ('not_started', 'in_progress'))"
)
"""Where nothing else of the same person and item is outstanding, so that it can be taken back."""

DRAWN: tuple[Move, ...] = (
    Move("update_user", user),
    Move("update_group", group_name),
    Move("add_group_members", members),
    Move("remove_group_members", members),
    Move("replace_group_members", roster),
    Move("update_content_item", item),
    Move("archive_content_items", items),
    Move("unarchive_content_items", items),
    Move("create_article", new_article),
    Move("update_article", article),
    Move("assign_content", assign, "dropped"),
    Move("bulk_assign_content", assign_many, "dropped"),
    Move("update_assignment", dates),
    Move("complete_assignment", step(OUTSTANDING)),
    Move("complete_assignment", step(f"state = 'exempted' AND {ALONE}"), name="complete_assignment exempted"),
    Move("exempt_assignment", step(OUTSTANDING)),
    Move("revert_exemption", step(f"state = 'exempted' AND {ALONE}")),
    *(
        Move("bulk_update_assignments", many(action, where), name=f"bulk_update_assignments {action}")
        for action, where in (
            ("set_due_date", f"{OUTSTANDING} AND content_item_id NOT IN (SELECT event_id FROM enrollments)"),
            ("complete", f"state <> 'exempted' OR {ALONE}"),
            ("exempt", "1"),
            ("revert_exemption", f"state = 'exempted' AND {ALONE} OR state = 'completed' AND id % 5 = 0"),
        )
    ),
    Move(
        "create_user",
        lambda w, _: {"email": f"p{len(ids(w, 'users'))}@acme.example", "name": "P"},
        "all",
    ),
    Move("create_group", lambda _, draws: {"name": f"G{draws.randint(0, 10**9)}"}, "all"),
    Move("drop_assignment", step(f"state IN ('not_started', 'in_progress', 'exempted') AND {LOOSE}"), "all"),
    Move("revert_completion", step(f"state = 'completed' AND {ALONE}"), "all"),
    Move("bulk_update_assignments", many("drop", "1"), "all", "bulk_update_assignments drop"),
    Move(
        "bulk_update_assignments",
        many("revert_completion", f"state != 'completed' OR {ALONE}"),
        "all",
        "bulk_update_assignments revert_completion",
    ),
    Move("delete_content_item", lambda w, draws: {"content_item": draws.choice(ids(w, "content_items"))}, "all"),
    Move("create_api_token", lambda _, draws: {"name": f"T{draws.randint(0, 10**9)}"}, "all"),
)

MOVES: tuple[Move, ...] = (
    *DRAWN,
    *(
        Move(case.tool, lambda stage, _, case=case: case.arguments(stage), "nothing" if case.undo else "all")
        for case in WRITES
        if case.tool not in {move.tool for move in DRAWN}
    ),
)
"""Every kind of write: as drawn above, else the arguments of its one case."""

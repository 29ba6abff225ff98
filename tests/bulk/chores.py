"""What the tests of bulk work share: plans carried out, writes counted, sets to work on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from stage import Stage

from pp_mcp.answers import ToolCall
from pp_mcp.inventory import BY_NAME
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.server.confirm import Start

NEW_ITEM = "bbbbbbbb-0000-4000-8000-000000000001"
"""An article, “Quite New”, that nobody has."""

OUTSTANDING = "('not_started', 'in_progress')"
NOT_AN_EVENTS = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"


async def do(there: Stage, tool: str, **given: Any) -> Done:
    """Plans and carries out, as after a confirmation."""
    plan = await planned(there, tool, **given)
    assert plan.unchanged is None, plan.unchanged
    return await plan.apply()


async def planned(there: Stage, tool: str, **given: Any) -> ManyPlan:
    """The plan alone; nothing but reads was sent for it."""
    before = len(writes(there))
    plan = await there.plan(tool, **given)
    assert isinstance(plan, ManyPlan)
    assert len(writes(there)) == before
    return plan


async def undo(there: Stage, done: Done) -> Done:
    """Carries out the undo call that an answer names, or the calls; gives what the last one did."""
    calls = done.undo if isinstance(done.undo, list) else [done.undo]
    for call in calls:
        assert call is not None
        done = await do(there, call.tool, **call.arguments)
    return done


def undo_arguments(done: Done) -> dict[str, Any]:
    """The arguments of the one undo call."""
    assert isinstance(done.undo, ToolCall)
    return done.undo.arguments


async def go_on(there: Stage, tool: str, plan: ManyPlan, done: Done | None = None) -> tuple[ManyPlan, Done]:
    """Carries the plan out as the server does after a confirmation: in a call of its own, from what the preview read,
    kept as JSON. With `done`, carries out what that run left."""
    rest = done.rest if done is not None else None
    kept, values = (rest.kept, rest.values) if rest is not None else (plan.kept, there.values)
    packed = json.dumps(Start(values, {}, kept).packed(BY_NAME[tool]))
    start = Start.unpacked(BY_NAME[tool], json.loads(packed))
    plan = await BY_NAME[tool].function(replace(there.call(), kept=start.kept), **start.values)
    return plan, await plan.apply()


def writes(there: Stage) -> list[str]:
    """The writes that arrived at the tenant, oldest first: method and path."""
    return [f"{one.method} {one.path}" for one in there.tenant.requests if one.method != "GET"]


def applied(there: Stage) -> Counter[str]:
    """How often each write changed the tenant, by path."""
    return Counter(one.path for one in there.tenant.requests if one.applied and one.method != "GET")


def outcomes(done: Done) -> Counter[str]:
    """How many items came out how."""
    return Counter(one.status for one in done.outcomes or [])


def outstanding(there: Stage, count: int) -> list[str]:
    """The public_ids of outstanding assignments that no event manages, oldest first."""
    query = f"SELECT public_id FROM assignments WHERE state IN {OUTSTANDING} AND {NOT_AN_EVENTS} ORDER BY id LIMIT ?"
    found = [row[0] for row in there.sql(query, count)]
    assert len(found) == count
    return found


def states(there: Stage, ids: list[str]) -> set[str]:
    """The states that these assignments are in."""
    marks = ", ".join("?" * len(ids))
    return {row[0] for row in there.sql(f"SELECT DISTINCT state FROM assignments WHERE public_id IN ({marks})", *ids)}


def people(there: Stage, count: int, offset: int = 0) -> list[str]:
    """The public_ids of active people."""
    found = [
        row[0]
        for row in there.sql("SELECT public_id FROM users WHERE is_active ORDER BY id LIMIT ? OFFSET ?", count, offset)
    ]
    assert len(found) == count
    return found

"""Changing people: one, or several in the same way."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import Named, ToolCall
from pp_mcp.bulk.run import NAMED, NotTaken, Undo, carry_out, cost, told
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import User
from pp_mcp.operations import params
from pp_mcp.operations.users import ClearArg, EmployeeIdArg, comparable, person_plan, rights_and_access
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.text import listed, person, plural, quoted

Fields = dict[str, Any]
"""A person's fields as requests write them, None for an empty one."""


@operation(toolset="users", title="Change a person or account", effect=Effect.CHANGE, may_confirm=True)
async def update_user(
    call: Call,
    user: params.SomeUsersArg,
    name: Annotated[params.NameArg, Field(description="New full name.")] | None = None,
    role: params.RoleArg | None = None,
    employee_id: EmployeeIdArg | None = None,
    manager: params.ManagerArg | None = None,
    is_active: Annotated[bool, Field(description="false deactivates a leaver.")] | None = None,
    clear: ClearArg | None = None,
) -> ManyPlan:
    """Change a person's name, role (make them organizer or admin), employee (staff) number or manager (whom they report
    to), or switch a leaver's account off (deactivate) or on again. Several people at once: role, manager, account.
    Previews a new role or access. Not the e-mail. An HR sync may undo it. Needs an admin's token."""
    asked = params.asked_for(
        clear,
        name=name,
        role=role,
        employee_id=employee_id,
        manager=manager.public_id if manager else None,
        is_active=is_active,
    )
    people = list({one.public_id: one for one in user}.values())
    if len(people) == 1:
        return ManyPlan(**vars(await person_plan(call, people[0], asked, manager)))
    if own := [field for field in ("name", "employee_id") if asked.get(field) is not None]:
        raise InvalidArgument(
            f"{listed(own)} can only be set for one person at a time. Nothing was changed.",
            field_errors={field: ["only with one person"] for field in own},
        )
    names = {one.manager.public_id: one.manager.name for one in people if one.manager}
    return await _plan(call, people, asked, names | ({manager.public_id: manager.name} if manager else {}))


async def _plan(call: Call, people: list[User], asked: Fields, names: dict[str, str]) -> ManyPlan:
    """The plan of the same change of several people. `names`: what the ids of managers are shown as."""
    before = {one.public_id: {field: comparable(one)[field] for field in asked} for one in people}
    moving = [one for one in people if before[one.public_id] != asked]
    new = _said(asked, names)

    async def write(user: User) -> bool:
        body = {field: value for field, value in asked.items() if before[user.public_id][field] != value}
        after = comparable((await call.api.write("update_user", User, body, public_id=user.public_id)).value)
        if missed := [field for field in body if after[field] != body[field]]:
            raise NotTaken(f"PlusPlus accepted the request but did not set {listed(missed)}")
        return True

    async def apply() -> Done:
        run = await carry_out(call, moving, lambda one: person(one.name, one.email), write)
        done = [before[one.public_id] for one in run.of("succeeded")]
        return told(
            run,
            f"Changed {plural(len(done), 'person')}: {new}.",
            already=len(people) - len(moving),
            so="were so already",
            undo=_undo({one.public_id: before[one.public_id] for one in run.of("succeeded")}, asked),
            changes={
                field: [listed(sorted({_shown(one[field], names) for one in done})), _shown(value, names)]
                for field, value in asked.items()
            },
        )

    effects = [f"People: {listed([person(one.name, one.email) for one in moving], NAMED)}."] if moving else []
    return ManyPlan(
        target=Named(kind="users", name=plural(len(people), "person")),
        summary=f"Change {plural(len(moving), 'person')}: {new}"
        + (f"; {len(people) - len(moving):,} already so." if len(moving) < len(people) else "."),
        apply=apply,
        state=sorted([key, fields] for key, fields in before.items()),
        effects=[*effects, *await rights_and_access(call, moving, asked), cost(len(moving))],
        confirm=True,
        unchanged=None if moving else f"All {len(people):,} people are so already: {new}.",
        reach=len(moving),
        affected=[
            {
                "public_id": one.public_id,
                "name": one.name,
                "from": _said(before[one.public_id], names),
                "to": new,
            }
            for one in moving[:NAMED]
        ],
        affected_total=len(moving),
        check=ToolCall(
            tool="list_users", arguments={field: value for field, value in asked.items() if value is not None}
        ),
    )


def _said(fields: Fields, names: dict[str, str]) -> str:
    return ", ".join(f"{field} {_shown(value, names)}" for field, value in fields.items())


def _shown(value: Any, names: dict[str, str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else quoted(names.get(str(value), str(value)))


def _undo(before: dict[str, Fields], asked: Fields) -> Undo:
    """The calls that set these people back: one for those who had the same, as far as one call can."""
    alike: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for public_id, fields in sorted(before.items()):
        own = public_id if fields.get("employee_id") is not None else ""
        alike[own, *(str(fields[field]) for field in asked)].append(public_id)
    calls: list[ToolCall] = []
    for ids in alike.values():
        changed = {field: old for field, old in before[ids[0]].items() if old != asked[field]}
        given = {field: old for field, old in changed.items() if old is not None}
        empty = [field for field, old in changed.items() if old is None]
        calls.append(
            ToolCall(tool="update_user", arguments={"user": ids, **given, **({"clear": empty} if empty else {})})
        )
    return (calls if len(calls) > 1 else next(iter(calls), None)), None

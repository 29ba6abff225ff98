"""Groups and who is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import ItemAnswer, ListAnswer, Named, ToolCall
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Group, User
from pp_mcp.operations.lists import list_answer, scope_of
from pp_mcp.operations.params import (
    ActiveFilterArg,
    DetailArg,
    GroupArg,
    NameArg,
    PageArg,
    PageSizeArg,
    SearchArg,
)
from pp_mcp.operations.rows import GroupRow, UserRow, full, group_row, user_row
from pp_mcp.operations.users import people_facts
from pp_mcp.plan import Done, Plan, left_out, not_applied, update_plan
from pp_mcp.text import plural, quoted

SourceArg = Annotated[str, Field(min_length=1, max_length=128)]


@operation(toolset="groups", title="List groups", effect=Effect.READ)
async def list_groups(
    call: Call,
    search: Annotated[SearchArg, Field(description="Part of a name or source.")] | None = None,
    name: Annotated[SearchArg, Field(description="Part of the name.")] | None = None,
    source: Annotated[SourceArg, Field(description="plusplus, or the system that keeps it.")] | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[GroupRow]:
    """Find groups (teams, departments, cohorts) with their member counts and where each comes from. For one known group
    use get_group; for its people list_group_members."""
    found = await call.api.page(
        "list_groups", Group, page=page, page_size=page_size, search=search, name=name, source=source
    )
    names = Counter(group.name.casefold() for group in found.items)
    twins = [group.name for group in found.items if names[group.name.casefold()] > 1]
    synced = sum(group.source != "plusplus" for group in found.items)
    return list_answer(
        found,
        lambda group: group_row(group, detail),
        one="group",
        many="groups",
        stands_out=[
            f"{synced:,} kept by another system or rule" if synced else "",
            f"{sum(group.member_count == 0 for group in found.items):,} empty"
            if any(group.member_count == 0 for group in found.items)
            else "",
            f"several named {quoted(twins[0])}" if twins else "",
        ],
        narrow="search, name, source",
    )


@operation(toolset="groups", title="Get one group", effect=Effect.READ)
async def get_group(call: Call, group: GroupArg) -> ItemAnswer[GroupRow]:
    """Show one group: its name, where it comes from, how many members, when it changed. Its people come from
    list_group_members."""
    members, source = plural(group.member_count or 0, "member"), quoted(group.source or "unknown")
    return ItemAnswer[GroupRow](
        summary=f"{quoted(group.name)}: {members}, source {source}.",
        item=full(GroupRow, group),
    )


@operation(toolset="groups", title="Create a group", effect=Effect.ADD, idempotent=False)
async def create_group(
    call: Call,
    name: Annotated[NameArg, Field(description="Name; one that is taken makes two groups hard to tell apart.")],
    source: Annotated[SourceArg, Field(description="Where it comes from.")] = "plusplus",
) -> Plan:
    """Make a new, empty group (team, cohort). Add people with add_group_members. Cannot be undone: the API has no
    delete for groups. The answer warns where the name is taken already."""
    namesakes = [
        group.name
        for group in (await call.api.page("list_groups", Group, name=name, page_size=100)).items
        if group.name.casefold() == name.casefold()
    ]
    body = {"name": name, "source": source}

    async def apply() -> Done:
        created = (await call.api.write("create_group", Group, body)).value
        after = {"name": created.name, "source": created.source}
        twin = f" {plural(len(namesakes), 'other group has', 'other groups have')} that name." if namesakes else ""
        missed = not_applied(after, body)
        return Done(
            summary=f"Created the group {quoted(created.name)}, empty.{twin}{left_out(missed)}",
            target=Named(kind="group", public_id=created.public_id, name=created.name),
            changes={field: [None, value] for field, value in after.items()},
            not_applied=missed,
            undo_note="The API has no delete for groups; it can be done in PlusPlus.",
        )

    return Plan(
        target=Named(kind="group", name=name),
        summary=f"Create the group {quoted(name)}.",
        apply=apply,
        check=ToolCall(tool="list_groups", arguments={"name": name}),
    )


@operation(toolset="groups", title="Rename a group", effect=Effect.CHANGE)
async def update_group(
    call: Call, group: GroupArg, name: Annotated[NameArg, Field(description="The new name.")]
) -> Plan:
    """Rename a group; nothing else of a group can be changed here. For its people use add_group_members,
    remove_group_members or replace_group_members."""

    async def send() -> Mapping[str, Any]:
        written = await call.api.write("update_group", Group, {"name": name}, public_id=group.public_id)
        return {"name": written.value.name}

    return update_plan(
        target=Named(kind="group", public_id=group.public_id, name=group.name),
        tool="update_group",
        reference="group",
        before={"name": group.name},
        asked={"name": name},
        send=send,
        check=ToolCall(tool="get_group", arguments={"group": group.public_id}),
    )


@operation(toolset="groups", title="List a group's members", effect=Effect.READ)
async def list_group_members(
    call: Call,
    group: GroupArg,
    search: Annotated[SearchArg, Field(description="Part of a name or e-mail.")] | None = None,
    is_active: ActiveFilterArg | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[UserRow]:
    """Show who is in a group (its roster), a page of people at a time. To find people by role or manager use
    list_users."""
    found = await call.api.page(
        "list_users",
        User,
        page=page,
        page_size=page_size,
        group=group.public_id,
        search=search,
        is_active=is_active,
    )
    return list_answer(
        found,
        lambda user: user_row(user, detail),
        one="member",
        many="members",
        scope=scope_of(of=group.name),
        stands_out=people_facts(found.items),
        narrow="search, is_active",
    )

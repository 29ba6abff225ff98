"""Groups and who is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import GroupRow, ItemAnswer, ListAnswer, Named, ToolCall, UserRow, full, kept_elsewhere, scope_of
from pp_mcp.api.walk import drain
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import AnswerLost, PlusPlusError
from pp_mcp.models import Group, User
from pp_mcp.operations import params
from pp_mcp.operations.lists import list_page
from pp_mcp.plan import Done, Plan, call_of, create_plan, update_plan
from pp_mcp.text import listed, person, plural, quoted, share

SourceArg = Annotated[str, Field(min_length=1, max_length=128), params.NothingHidden]


@operation(
    toolset="groups", title="List groups, teams and cohorts", effect=Effect.READ, csv="lists/groups", record=Group
)
async def list_groups(
    call: Call,
    search: Annotated[params.SearchArg, Field(description="Part of a name or source.")] | None = None,
    name: Annotated[params.SearchArg, Field(description="Part of the name.")] | None = None,
    source: Annotated[SourceArg, Field(description="plusplus, or the system that keeps it.")] | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[GroupRow]:
    """List which groups (teams, departments, cohorts) exist, how many members each has and which system it is synced
    from. For one known group use get_group; for its people list_group_members."""
    return await list_page(
        call,
        "list_groups",
        Group,
        GroupRow,
        noun="group",
        page=page,
        page_size=page_size,
        detail=detail,
        search=search,
        name=name,
        source=source,
    )


@operation(toolset="groups", title="Get one group", effect=Effect.READ)
async def get_group(call: Call, group: params.GroupArg) -> ItemAnswer[GroupRow]:
    """Show one group (team, cohort): head count (how many people are in it), where it comes from (synced from which
    system), when it changed. For its people use list_group_members."""
    members, kept = plural(group.member_count or 0, "member"), kept_elsewhere(group.source)
    source = kept or f"Source {quoted(group.source or 'unknown')}."
    return ItemAnswer[GroupRow](summary=f"{quoted(group.name)}: {members}. {source}", item=full(GroupRow, group))


@operation(toolset="groups", title="Create a group", effect=Effect.ADD, idempotent=False)
async def create_group(
    call: Call,
    name: Annotated[params.NameArg, Field(description="Name, best a unique one.")],
    source: Annotated[SourceArg, Field(description="Where it comes from.")] = "plusplus",
) -> Plan:
    """Set up a new, empty group (team, squad, cohort); fill it with add_group_members. Cannot be undone: the API cannot
    delete groups. Warns if the name is taken."""
    namesakes = [
        group.name
        for group in (await call.api.page("list_groups", Group, name=name, page_size=100)).items
        if group.name.casefold() == name.casefold()
    ]
    twins = f" {plural(len(namesakes), 'other group has', 'other groups have')} that name." if namesakes else ""
    return create_plan(
        call.api,
        "create_group",
        Group,
        {"name": name, "source": source},
        target=Named(kind="group", name=name),
        comparable=lambda group: {"name": group.name, "source": group.source},
        created=lambda group: f"Created the group {quoted(group.name)}, empty.{twins}",
        check=call_of("list_groups", "name", name),
        undo_note="The API cannot delete groups; delete it in PlusPlus.",
    )


@operation(toolset="groups", title="Rename a group", effect=Effect.CHANGE)
async def update_group(
    call: Call, group: params.GroupArg, name: Annotated[params.NameArg, Field(description="The new name.")]
) -> Plan:
    """Rename a group, team or cohort (what it is called, a typo); only its name can be changed. For its people use
    add_group_members, remove_group_members or replace_group_members."""

    return update_plan(
        call.api,
        "update_group",
        Group,
        group,
        {"name": name},
        target=_target(group),
        comparable=lambda one: {"name": one.name},
    )


@operation(toolset="groups", title="List a group's members", effect=Effect.READ, csv="lists/group_members", record=User)
async def list_group_members(
    call: Call,
    group: params.GroupArg,
    search: Annotated[params.SearchArg, Field(description="Part of a name or e-mail.")] | None = None,
    is_active: params.ActiveFilterArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[UserRow]:
    """Show who is in (belongs to) a group, team, squad or cohort: its roster, the names and e-mails of its members,
    leavers included. To find people by role or manager use list_users."""
    return await list_page(
        call,
        "list_users",
        User,
        UserRow,
        noun="member",
        scope=scope_of(of=group.name),
        page=page,
        page_size=page_size,
        detail=detail,
        always={"group": group},
        search=search,
        is_active=is_active,
    )


NAMED_LIMIT = 25
"""People that a preview names one by one; the rest it counts."""


@operation(toolset="groups", title="Add people to a group", effect=Effect.ADD, may_confirm=True)
async def add_group_members(call: Call, group: params.GroupArg, members: params.SomeMembersArg) -> Plan:
    """Add people to (put them on) a group, team, squad or cohort: joiners, movers; present members stay. They get its
    content and rules. To match a list exactly use replace_group_members. If another system keeps the group, its next
    sync may undo this."""
    roster, asked = await _roster(call, group), _by_id(members)
    new = {key: user for key, user in asked.items() if key not in roster}
    known = len(asked) - len(new)
    return _plan(
        call,
        group,
        "add_group_members",
        roster,
        arriving=new,
        body={"member_ids": list(new)},
        summary=f"Add {_people(len(new))} to {quoted(group.name)}; {known:,} already in it.",
        unchanged=f"{'This person is' if known == 1 else f'All {known:,} people are'} already in {quoted(group.name)}.",
    )


@operation(toolset="groups", title="Remove people from a group", effect=Effect.DESTROY)
async def remove_group_members(call: Call, group: params.GroupArg, members: params.SomeMembersArg) -> Plan:
    """Take people off a group, team or cohort who no longer belong (leavers, movers). Previews who. They lose the
    access the group gives; their assignments stay. Undone by add_group_members. To deactivate a leaver's account use
    update_user."""
    roster, asked = await _roster(call, group), _by_id(members)
    leaving = {key: user for key, user in asked.items() if key in roster}
    strangers = len(asked) - len(leaving)
    return _plan(
        call,
        group,
        "remove_group_members",
        roster,
        leaving=leaving,
        body={"member_ids": list(leaving)},
        summary=f"Remove {_people(len(leaving))} from {quoted(group.name)}, {_part(leaving, roster)}.",
        effects=[f"Removed: {_names(leaving)}."]
        + ([f"{_people(strangers)} on the list not in the group: nothing to do."] if strangers else []),
        unchanged=f"{'This person is' if strangers == 1 else f'These {strangers:,} people are'} not in "
        f"{quoted(group.name)}.",
    )


@operation(toolset="groups", title="Make a group match a list", effect=Effect.DESTROY)
async def replace_group_members(
    call: Call,
    group: params.GroupArg,
    members: params.MembersArg,
    confirm_replace: Annotated[bool, Field(description="true: the user agreed to replace the whole list.")] = False,
    confirm_large_removal: Annotated[
        bool, Field(description="true: the user agreed that over half of them go.")
    ] = False,
) -> Plan:
    """Make a group's roster match a list exactly (overwrite, sync it): adds who is missing, removes everyone else.
    Previews both, and names the flags it needs. To only add or only remove use add_group_members or
    remove_group_members."""
    roster, wanted = await _roster(call, group), _by_id(members)
    new = {key: user for key, user in wanted.items() if key not in roster}
    leaving = {key: user for key, user in roster.items() if key not in wanted}
    body: dict[str, Any] = {"member_ids": list(wanted), "confirm_replace": confirm_replace}
    needs = [] if confirm_replace else ["confirm_replace"]
    effects = [f"Added: {_names(new)}.", f"Removed: {_names(leaving)}."]
    if 2 * len(leaving) > len(roster):
        body["confirm_large_removal"] = confirm_large_removal
        needs += [] if confirm_large_removal else ["confirm_large_removal"]
        effects.append("This removes more than half of the members.")
    if not wanted:
        effects.append("This leaves the group empty.")
    return _plan(
        call,
        group,
        "replace_group_members",
        roster,
        arriving=new,
        leaving=leaving,
        body=body,
        summary=f"Make {quoted(group.name)} match the list: add {len(new):,}, remove {len(leaving):,} "
        f"({_part(leaving, roster)}), keep {len(roster) - len(leaving):,}.",
        effects=effects,
        needs=needs,
        unchanged=f"{quoted(group.name)} already has exactly these members.",
    )


People = dict[str, User]
"""People by id."""


def _plan(
    call: Call,
    group: Group,
    tool: str,
    roster: People,
    *,
    arriving: People | None = None,
    leaving: People | None = None,
    body: Mapping[str, Any],
    summary: str,
    effects: Sequence[str] = (),
    needs: Sequence[str] = (),
    unchanged: str,
) -> Plan:
    """The plan of a change of members. `unchanged` is what to say where nobody arrives or leaves."""
    arriving, leaving = arriving or {}, leaving or {}
    kept = kept_elsewhere(group.source)

    async def apply() -> Done:
        return _done(group, roster, await _write(call, group, tool, body), arriving, leaving)

    return Plan(
        target=_target(group),
        summary=summary,
        apply=apply,
        state=sorted(roster) if leaving else sorted(arriving),
        effects=[*effects, *([kept] if kept else [])],
        confirm=kept is not None,
        needs=list(needs),
        unchanged=None if arriving or leaving else unchanged,
        reach=len(arriving) + len(leaving),
        check=call_of("list_group_members", "group", group.public_id),
    )


async def _write(call: Call, group: Group, operation_name: str, body: Mapping[str, Any]) -> People:
    """Sends the change and reads the roster again: only that shows what the change did.

    Raises:
        AnswerLost: it was sent, and its outcome could not be read.
    """
    try:
        await call.api.write(operation_name, Group, body, public_id=group.public_id)
    except AnswerLost as lost:
        # A 2xx means it was accepted. What its body holds is not documented, and not needed.
        if lost.status is None:
            raise
    try:
        return await _roster(call, group)
    except PlusPlusError as error:
        method = call.api.routes[operation_name].method
        why = "it was sent, but the roster could not be read after it"
        raise AnswerLost(why, operation=operation_name, method=method) from error


async def _roster(call: Call, group: Group) -> People:
    return _by_id(await drain(call.api, "list_users", User, filters={"group": group.public_id}))


def _by_id(people: list[User]) -> People:
    return {user.public_id: user for user in people}


def _people(count: int) -> str:
    return plural(count, "person")


def _names(people: People) -> str:
    return listed([person(user.name, user.email) for user in people.values()], NAMED_LIMIT) or "nobody"


def _part(some: People, roster: People) -> str:
    return f"{share(len(some), len(roster))} of its {plural(len(roster), 'member')}"


def _target(group: Group) -> Named:
    return Named(kind="group", public_id=group.public_id, name=group.name)


def _done(group: Group, before: People, after: People, arriving: People, leaving: People) -> Done:
    """What the roster shows when read again; the undo reverses only what this call did."""
    arrived = [key for key in arriving if key in after]
    gone = [key for key in leaving if key not in after]
    missed = {key: user for key, user in arriving.items() if key not in after}
    missed |= {key: user for key, user in leaving.items() if key in after}
    words = [f"{did} {_people(len(keys))}" for did, keys in (("added", arrived), ("removed", gone)) if keys]
    summary = f"{quoted(group.name)}: {listed(words)}." if words else f"{quoted(group.name)} did not change."
    if missed:
        summary += f" PlusPlus accepted the request but left out {_names(missed)}."
    summary += f" It now has {plural(len(after), 'member')}."
    back = [("remove_group_members", arrived), ("add_group_members", gone)]
    undo = [ToolCall(tool=tool, arguments={"group": group.public_id, "members": ids}) for tool, ids in back if ids]
    kept = kept_elsewhere(group.source)
    return Done(
        summary=f"{summary} {kept}" if kept else summary,
        changes={"member_count": [len(before), len(after)]} if words else {},
        not_applied=["members"] if missed else [],
        undo=undo if len(undo) > 1 else next(iter(undo), None),
    )

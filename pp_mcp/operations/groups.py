"""Groups and who is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import (
    GroupRow,
    ItemAnswer,
    ListAnswer,
    Named,
    ToolCall,
    UserRow,
    full,
    group_row,
    list_answer,
    scope_of,
    user_row,
)
from pp_mcp.api.walk import drain
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import AnswerLost, PlusPlusError
from pp_mcp.models import Group, User
from pp_mcp.operations.params import (
    ActiveFilterArg,
    DetailArg,
    GroupArg,
    MembersArg,
    NameArg,
    PageArg,
    PageSizeArg,
    SearchArg,
    SomeMembersArg,
)
from pp_mcp.operations.users import people_facts
from pp_mcp.plan import Done, Plan, left_out, not_applied, update_plan
from pp_mcp.text import listed, neutralise, person, plural, quoted, share

SourceArg = Annotated[str, Field(min_length=1, max_length=128)]


@operation(toolset="groups", title="List groups", effect=Effect.READ, csv="lists/groups", record=Group)
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


@operation(toolset="groups", title="List a group's members", effect=Effect.READ, csv="lists/group_members", record=User)
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


UNDO_LIMIT = 800
"""Members that fit, as ids, into an undo call within an answer's size."""

NAMED_LIMIT = 25
"""People that a preview names one by one; the rest it counts."""

_SYNCED = (
    "This group is kept by {source}, not by hand: "
    "PlusPlus rebuilds such groups every night, so a hand edit may be gone tomorrow."
)


@operation(toolset="groups", title="Add people to a group", effect=Effect.ADD)
async def add_group_members(call: Call, group: GroupArg, members: SomeMembersArg) -> Plan:
    """Put people into a group; who is in already stays. Says how many are new. Members get the content and rules of the
    group. To make the group match a list exactly use replace_group_members. Groups kept by a rule or another system are
    rebuilt every night."""
    roster = await _roster(call, group)
    new = [user for user in _once(members) if user.public_id not in roster]
    note = _synced(group)

    async def apply() -> Done:
        body = {"member_ids": [user.public_id for user in new]}
        after = await _write(call, group, "add_group_members", body)
        arrived = [user for user in new if user.public_id in after]
        return _done(group, roster, after, arrived, [], [user for user in new if user.public_id not in after])

    known = len(_once(members)) - len(new)
    return Plan(
        target=_target(group),
        summary=f"Add {plural(len(new), 'person', 'people')} to {quoted(group.name)}; {known:,} in it already.",
        apply=apply,
        effects=note,
        unchanged=None
        if new
        else f"{'This person is' if known == 1 else f'All {known:,} people are'} in {quoted(group.name)} already.",
        check=_check(group),
    )


@operation(toolset="groups", title="Remove people from a group", effect=Effect.DESTROY)
async def remove_group_members(call: Call, group: GroupArg, members: SomeMembersArg) -> Plan:
    """Take people out of a group (leavers, movers): previews who, then needs confirm_token. They lose what the group
    gives access to; their assignments stay. To deactivate a leaver altogether use update_user. Can be undone with
    add_group_members."""
    roster = await _roster(call, group)
    leaving = [user for user in _once(members) if user.public_id in roster]

    async def apply() -> Done:
        body = {"member_ids": [user.public_id for user in leaving]}
        after = await _write(call, group, "remove_group_members", body)
        gone = [user for user in leaving if user.public_id not in after]
        return _done(group, roster, after, [], gone, [user for user in leaving if user.public_id in after])

    strangers = len(_once(members)) - len(leaving)
    nobody = "This person is not" if strangers == 1 else f"None of these {strangers:,} people is"
    return Plan(
        target=_target(group),
        summary=(
            f"Remove {plural(len(leaving), 'person', 'people')} from {quoted(group.name)}, "
            f"{share(len(leaving), len(roster))} of its {plural(len(roster), 'member')}."
        ),
        apply=apply,
        state=sorted(roster),
        effects=[
            f"Removed: {_names(leaving)}.",
            *(
                [f"{plural(strangers, 'person', 'people')} asked for, not in the group: nothing to do."]
                if strangers
                else []
            ),
            *_synced(group),
        ],
        unchanged=None if leaving else f"{nobody} in {quoted(group.name)}.",
        check=_check(group),
    )


@operation(toolset="groups", title="Make a group match a list", effect=Effect.DESTROY)
async def replace_group_members(
    call: Call,
    group: GroupArg,
    members: MembersArg,
    confirm_replace: Annotated[bool, Field(description="true once the user agreed to replace the whole list.")] = False,
    confirm_large_removal: Annotated[
        bool, Field(description="true once the user agreed that over half of the members go.")
    ] = False,
) -> Plan:
    """Make a group's roster match a list exactly: who is missing is added, who is not on the list is removed. Previews
    both sides, then needs confirm_token and the flags the preview names. To only add or only remove use
    add_group_members or remove_group_members."""
    roster = await _roster(call, group)
    wanted = {user.public_id: user for user in members}
    new = [user for user in wanted.values() if user.public_id not in roster]
    leaving = [user for key, user in roster.items() if key not in wanted]
    large = 2 * len(leaving) > len(roster)
    needs: list[str] = []
    if not confirm_replace:
        needs.append("confirm_replace")
    if large and not confirm_large_removal:
        needs.append("confirm_large_removal")

    async def apply() -> Done:
        body: dict[str, Any] = {"member_ids": list(wanted), "confirm_replace": confirm_replace}
        if large:
            body["confirm_large_removal"] = confirm_large_removal
        after = await _write(call, group, "replace_group_members", body)
        arrived = [user for user in new if user.public_id in after]
        gone = [user for user in leaving if user.public_id not in after]
        missed = [user for user in new if user.public_id not in after]
        missed += [user for user in leaving if user.public_id in after]
        return _done(group, roster, after, arrived, gone, missed)

    return Plan(
        target=_target(group),
        summary=(
            f"Make {quoted(group.name)} match the list: add {len(new):,}, remove {len(leaving):,} "
            f"({share(len(leaving), len(roster))} of its {plural(len(roster), 'member')}), keep "
            f"{len(roster) - len(leaving):,}."
        ),
        apply=apply,
        state=sorted(roster),
        effects=[
            f"Added: {_names(new)}.",
            f"Removed: {_names(leaving)}.",
            *(["More than half of the members would go."] if large else []),
            *(["Nobody would be left in the group."] if not wanted else []),
            *_synced(group),
        ],
        needs=needs,
        unchanged=None if new or leaving else f"{quoted(group.name)} has exactly these members already.",
        check=_check(group),
    )


async def _write(call: Call, group: Group, operation_name: str, body: Mapping[str, Any]) -> dict[str, User]:
    """Sends the change and reads the roster again, which alone shows what became of it.

    Raises:
        AnswerLost: it was sent, and what became of it could not be seen.
    """
    try:
        await call.api.write(operation_name, Group, body, public_id=group.public_id)
    except AnswerLost as lost:
        # With a 2xx the change was taken; what the answer holds is documented nowhere and not needed.
        if lost.status is None:
            raise
    try:
        return await _roster(call, group)
    except PlusPlusError as error:
        method = call.api.routes[operation_name].method
        why = "it was sent, but the roster could not be read after it"
        raise AnswerLost(why, operation=operation_name, method=method, is_write=True) from error


async def _roster(call: Call, group: Group) -> dict[str, User]:
    people = await drain(call.api, "list_users", User, filters={"group": group.public_id})
    return {user.public_id: user for user in people}


def _once(members: list[User]) -> list[User]:
    return list({user.public_id: user for user in members}.values())


def _names(people: list[User]) -> str:
    if not people:
        return "nobody"
    return listed([person(user.name, user.email) for user in people], NAMED_LIMIT)


def _target(group: Group) -> Named:
    return Named(kind="group", public_id=group.public_id, name=group.name)


def _check(group: Group) -> ToolCall:
    return ToolCall(tool="list_group_members", arguments={"group": group.public_id})


def _synced(group: Group) -> list[str]:
    source = group.source or "plusplus"
    return [] if source == "plusplus" else [_SYNCED.format(source=quoted(neutralise(source)))]


def _done(
    group: Group,
    before: dict[str, User],
    after: dict[str, User],
    arrived: list[User],
    gone: list[User],
    missed: list[User],
) -> Done:
    """What the roster, read again, shows; the undo reverses only what this call did."""
    words: list[str] = []
    if arrived:
        words.append(f"added {plural(len(arrived), 'person', 'people')}")
    if gone:
        words.append(f"removed {plural(len(gone), 'person', 'people')}")
    did = f"{quoted(group.name)}: {listed(words)}." if words else f"{quoted(group.name)} did not change."
    if missed:
        did += f" Not taken over by the API: {_names(missed)}."
    note = " ".join(_synced(group)) or None
    undo, undo_note = _reverse(group, before, arrived, gone)
    return Done(
        summary=f"{did} It now has {plural(len(after), 'member')}." + (f" {note}" if note else ""),
        changes={"member_count": [len(before), len(after)]} if words else {},
        not_applied=["members"] if missed else [],
        undo=undo,
        undo_note=undo_note,
    )


def _reverse(
    group: Group, before: dict[str, User], arrived: list[User], gone: list[User]
) -> tuple[ToolCall | None, str | None]:
    if not arrived and not gone:
        return None, None
    if arrived and gone:
        tool, ids = "replace_group_members", list(before)
    elif arrived:
        tool, ids = "remove_group_members", [user.public_id for user in arrived]
    else:
        tool, ids = "add_group_members", [user.public_id for user in gone]
    if len(ids) > UNDO_LIMIT:
        return None, f"Undoing it takes a list of {len(ids):,} people, too long for one answer: use your own list."
    return ToolCall(tool=tool, arguments={"group": group.public_id, "members": ids}), None

"""Changing who is in a group: add, remove, make it match a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import Named, ToolCall
from pp_mcp.api.walk import drain
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import AnswerLost, PlusPlusError
from pp_mcp.models import Group, User
from pp_mcp.operations.params import GroupArg, MembersArg, SomeMembersArg
from pp_mcp.plan import Done, Plan
from pp_mcp.text import listed, neutralise, person, plural, quoted, share

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

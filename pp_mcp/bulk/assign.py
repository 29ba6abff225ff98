"""One content item to many people."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import Json, Named, ToolCall
from pp_mcp.api.walk import drain
from pp_mcp.bulk.engine import MOST, Run, Step, carry_out_all, cost, too_many
from pp_mcp.declare import Call, Effect, Reference, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Assignment, ContentItem, User
from pp_mcp.operations.assignments import OUTSTANDING
from pp_mcp.operations.params import DueArg, ExpiryArg, GroupArg, ItemArg, ManagerArg
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.reports.selection import Selection, read_assignments
from pp_mcp.text import listed, person, plural, quoted

UsersArg = Annotated[
    list[User], Reference("user"), Field(description="E-mails, public_ids or full names, max 1000.", max_length=MOST)
]

EXAMPLES = 5
UNDO_LIMIT = 800


@operation(toolset="bulk", title="Assign content to many people", effect=Effect.DESTROY)
async def bulk_assign_content(
    call: Call,
    content_item: ItemArg,
    users: UsersArg | None = None,
    group: GroupArg | None = None,
    manager: ManagerArg | None = None,
    due_date: DueArg | None = None,
    expires_at: ExpiryArg | None = None,
    reassign: Annotated[bool, Field(description="true: also who finished, dropped or was exempted.")] = False,
) -> ManyPlan:
    """Give one course, track or other item to many people: a list, a whole group, or a manager's direct reports. Previews how
    many, who has it already and who cannot get it, then needs confirm_token. PlusPlus may notify them. Calling again
    after a break goes on where it stopped. For one person use assign_content."""
    people = await _people(call, users, group, manager)
    if content_item.is_archived:
        raise InvalidArgument(
            f"{quoted(content_item.name)} is archived: unarchive_content_items first. Nothing was changed.",
            field_errors={"content_item": ["is archived"]},
        )
    states = await _states(call, content_item, people)
    fresh, there, past, inactive = _sorted_out(people, states, reassign)
    body = {"content_item_id": content_item.public_id}
    if due_date is not None:
        body["due_date"] = due_date.isoformat()
    if expires_at is not None:
        body["expires_at"] = expires_at
    created: list[str] = []

    async def deed(user: User) -> bool:
        written = await call.api.write("assign_content", Assignment, {"user_id": user.public_id, **body})
        known = states.get(user.public_id, {})
        if written.value.public_id in known:
            return False
        created.append(written.value.public_id)
        return True

    async def apply() -> Done:
        run = await carry_out_all(call, [Step(one.public_id, one.name, one) for one in fresh], deed)
        did = f"Assigned {quoted(content_item.name)} to {plural(len(run.of('succeeded')), 'person', 'people')}."
        return told(run, did, len(there) + len(past), _undo(created), {"state": [None, "not_started"]})

    who = listed([person(one.name, one.email) for one in fresh], EXAMPLES)
    due = f", due {due_date.isoformat()}" if due_date else ", with no due date"
    effects = [f"Gets it: {who}." if fresh else "Nobody gets it."]
    if there:
        effects.append(f"{plural(len(there), 'person has', 'people have')} it already, outstanding: left as it is.")
    if past:
        effects.append(
            f"{plural(len(past), 'person', 'people')} finished, dropped or was exempted before: left out"
            " (reassign=true gives it to them again)."
        )
    again = sum(1 for one in fresh if states.get(one.public_id))
    if again:
        effects.append(f"{plural(again, 'person gets', 'people get')} it again, from zero.")
    if inactive:
        names = listed([person(one.name, one.email) for one in inactive], EXAMPLES)
        effects.append(f"Not possible for {plural(len(inactive), 'inactive person', 'inactive people')}: {names}.")
    effects.append(cost(len(fresh)))
    return ManyPlan(
        target=Named(
            kind=content_item.content_type or "content_item", public_id=content_item.public_id, name=content_item.name
        ),
        summary=f"Assign {quoted(content_item.name)} to {plural(len(fresh), 'person', 'people')}{due}.",
        apply=apply,
        state=sorted(one.public_id for one in fresh),
        effects=effects,
        writes=len(fresh),
        unchanged=None
        if fresh
        else f"Nobody to assign {quoted(content_item.name)} to: {len(there):,} have it outstanding, {len(past):,} had it "
        f"before, {len(inactive):,} are inactive.",
        check=ToolCall(tool="report_assignments", arguments={"content_item": content_item.public_id}),
    )


async def _people(call: Call, users: list[User] | None, group: Any, manager: User | None) -> list[User]:
    """Exactly one of the three ways to say who."""
    given = [name for name, value in (("users", users), ("group", group), ("manager", manager)) if value is not None]
    if len(given) != 1:
        raise InvalidArgument(
            "Say who with exactly one of users, group and manager"
            + (f"; {listed(given)} were given." if given else "."),
            field_errors={name: ["exactly one of users, group, manager"] for name in given or ["users"]},
        )
    if users is not None:
        if not users:
            raise InvalidArgument("users is empty: name at least one person.", field_errors={"users": ["is empty"]})
        return list({one.public_id: one for one in users}.values())
    filters = {"group": group.public_id} if group is not None else {"manager": manager.public_id if manager else None}
    size = (await call.api.page("list_users", User, page_size=1, **filters)).total_count
    if size > MOST:
        raise too_many(size, "give users, in lists of up to 1,000")
    return await drain(call.api, "list_users", User, filters=filters)


async def _states(call: Call, item: ContentItem, people: list[User]) -> dict[str, dict[str, str]]:
    """Each person's assignments of the item: id → state. Reads the item's assignments, or each person's, whichever is
    less."""
    states: dict[str, dict[str, str]] = {}
    wanted = {one.public_id for one in people}

    def take(assignment: Assignment) -> None:
        if assignment.user.public_id in wanted:
            states.setdefault(assignment.user.public_id, {})[assignment.public_id] = assignment.state

    read = await read_assignments(
        call, Selection(content_item=item), take, states.clear, chosen={one.public_id: one for one in people}
    )
    if not read.coverage.complete:
        raise InvalidArgument(
            f"Who has it already could not be read in full ({read.coverage.reason}). Nothing was changed; try again, or with "
            "fewer people.",
            field_errors={},
        )
    return states


def _sorted_out(
    people: list[User], states: dict[str, dict[str, str]], reassign: bool
) -> tuple[list[User], list[User], list[User], list[User]]:
    """Who gets it, who has it outstanding, who had it before, who is inactive."""
    fresh: list[User] = []
    there: list[User] = []
    past: list[User] = []
    inactive: list[User] = []
    for one in people:
        known = states.get(one.public_id, {}).values()
        if any(state in OUTSTANDING for state in known):
            there.append(one)
        elif one.is_active is False:
            inactive.append(one)
        elif known and not reassign:
            past.append(one)
        else:
            fresh.append(one)
    return fresh, there, past, inactive


def _undo(created: list[str]) -> tuple[ToolCall | None, str | None]:
    if not created:
        return None, None
    if len(created) > UNDO_LIMIT:
        return None, f"Undoing it takes a list of {len(created):,} assignments, too long for one answer."
    arguments: Json = {"action": "drop", "assignments": created}
    return ToolCall(
        tool="bulk_update_assignments", arguments=arguments
    ), "Dropping leaves dropped assignments in the history."


def told(
    run: Run, did: str, untouched: int, undo: tuple[ToolCall | None, str | None], changes: dict[str, list[Any]]
) -> Done:
    """A run in words, and what it leaves to do. `changes`: what happened to each that succeeded."""
    summary = did
    for status, words in (("unchanged", "so already"), ("failed", "failed"), ("unknown", "without an answer")):
        count = len(run.of(status)) + (untouched if status == "unchanged" else 0)
        if count:
            summary += f" {count:,} {words}."
    if run.stopped:
        summary += f" Stopped: {run.stopped}; {run.not_sent:,} not sent. The same call goes on where it stopped."
    elif run.of("unknown"):
        summary += " The same call again does what is missing, nothing twice."
    return Done(
        summary=summary,
        changes=changes if run.of("succeeded") else {},
        not_sent=run.not_sent,
        undo=undo[0],
        undo_note=undo[1],
        outcomes=run.outcomes,
    )

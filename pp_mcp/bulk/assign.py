"""One content item to many people."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from pp_mcp.answers import Named, ToolCall
from pp_mcp.api.walk import drain
from pp_mcp.bulk.run import EXAMPLES, MOST, NAMED, Undo, carry_out, cost, told, too_many
from pp_mcp.declare import Call, Effect, Reference, operation
from pp_mcp.errors import InvalidArgument, OutOfTime
from pp_mcp.models import Assignment, ContentItem, Group, User
from pp_mcp.operations.assignments import OUTSTANDING, was_there
from pp_mcp.operations.params import DueArg, ExpiryArg, GroupArg, ItemArg, ManagerArg, same_moment
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.reports.reading import People, Selection, read_assignments
from pp_mcp.text import listed, person, plural, quoted, word

Known = dict[str, dict[str, tuple[str, str | None]]]
"""State and due date of each assignment of the item, by its id, by its person's id."""

_LEFT_OUT = {
    "outstanding": ("has it already", "have it already"),
    "completed": ("has completed it", "have completed it"),
    "exempted": ("is exempted from it", "are exempted from it"),
    "dropped": ("had it dropped", "had it dropped"),
    "inactive": ("is inactive", "are inactive"),
}
"""Why somebody does not get it: what is said of one and of several."""

_WHOSE = {"group": "in the group", "manager": "reporting to"}

UsersArg = Annotated[list[User], Reference("user"), Field(description="E-mails, full names or ids.", max_length=MOST)]


@operation(toolset="bulk", title="Assign training to many people", effect=Effect.DESTROY)
async def bulk_assign_content(
    call: Call,
    content_item: ItemArg,
    users: UsersArg | None = None,
    group: GroupArg | None = None,
    manager: ManagerArg | None = None,
    due_date: DueArg | None = None,
    expires_at: ExpiryArg | None = None,
    reassign: Annotated[bool, Field(description="true: also who completed, dropped or was exempted.")] = False,
) -> ManyPlan:
    """Assign (roll out) a course or other training to many people who all must take it: the members of a group, team or
    cohort, everyone who reports to a manager, or a list of e-mails. Previews who gets it, has it or cannot. May notify
    them. Calling again goes on where it stopped. For one person use assign_content."""
    people, whose = await _people(call, users, group, manager)
    item = quoted(content_item.name)
    if content_item.is_archived:
        raise InvalidArgument(
            f"{item} is archived: unarchive_content_items first. Nothing was changed.",
            field_errors={"content_item": ["is archived"]},
        )
    known = await _known(call, content_item, people)
    fresh: list[User] = []
    left_out: dict[str, list[User]] = {why: [] for why in _LEFT_OUT}
    for one in people:
        why = _why_not(one, [state for state, _ in known.get(one.public_id, {}).values()], reassign)
        (left_out.setdefault(why, []) if why else fresh).append(one)
    day = due_date.isoformat() if due_date else None
    dates = {name: value for name, value in (("due_date", day), ("expires_at", expires_at)) if value is not None}
    created: list[str] = []
    missed: set[str] = set()

    async def write(user: User) -> bool:
        body = {"user_id": user.public_id, "content_item_id": content_item.public_id, **dates}
        written = await call.api.write("assign_content", Assignment, body)
        made = written.value
        if made.public_id in known.get(user.public_id, {}) or was_there(written):
            return False
        created.append(made.public_id)
        missed.update(name for name, value in dates.items() if not same_moment(getattr(made, name), value))
        return True

    async def apply() -> Done:
        run = await carry_out(call, fresh, lambda one: one.label, write)
        did = f"Assigned {item} to {plural(len(created), 'person', 'people')}."
        changes = {"state": [None, "not_started"]}
        already = len(left_out["outstanding"])
        done = told(run, did, already=already, so="already had it", undo=_undo(created), changes=changes)
        if not missed:
            return done
        note = f" The API did not set {listed(sorted(missed))} for all of them: bulk_update_assignments can."
        return replace(done, summary=done.summary + note, not_applied=sorted(missed))

    due = f", due {day}" if day else ", with no due date"
    return ManyPlan(
        target=Named(
            kind=content_item.content_type or "content_item", public_id=content_item.public_id, name=content_item.name
        ),
        summary=f"Assign {item} to {plural(len(fresh), 'person', 'people')}{whose}{due}.",
        apply=apply,
        state=sorted(one.public_id for one in fresh),
        effects=[*_effects(fresh, left_out, known, day), cost(len(fresh))],
        reach=len(fresh),
        unchanged=None if fresh else _nobody(item, whose, left_out),
        check=ToolCall(
            tool="report_assignments", arguments={"content_item": content_item.public_id, "group_by": ["state"]}
        ),
    )


def _why_not(user: User, states: list[str], reassign: bool) -> str | None:
    """Why a person does not get the item, which they have or had in these states; None where they do."""
    if any(state in OUTSTANDING for state in states):
        return "outstanding"
    if user.is_active is False:
        return "inactive"
    if not states or reassign:
        return None
    return next((state for state in _LEFT_OUT if state in states), states[0])


def _effects(fresh: list[User], left_out: dict[str, list[User]], known: Known, day: str | None) -> list[str]:
    """What a preview says: who gets it, and who does not and why."""
    words = [f"{'Gets' if len(fresh) == 1 else 'Get'} it: {_names(fresh, EXAMPLES)}."]
    for why, people in left_out.items():
        if people:
            hint = "" if why in ("outstanding", "inactive") else " (reassign=true assigns it again)"
            words.append(f"{_counted(people, why)}, left out{hint}: {_names(people, NAMED)}.")
    other = sum(
        all(due != day for state, due in known[one.public_id].values() if state in OUTSTANDING)
        for one in left_out["outstanding"]
    )
    if day and other:
        words.append(f"{other:,} of those who have it already {'has' if other == 1 else 'have'} another due date.")
    again = sum(one.public_id in known for one in fresh)
    if again:
        words.append(f"{plural(again, 'person gets', 'people get')} it again, from zero.")
    return words


def _counted(people: list[User], why: str) -> str:
    said = _LEFT_OUT.get(why, (f"has it as {word(why)}", f"have it as {word(why)}"))
    return f"{len(people):,} {said[len(people) > 1]}"


def _names(people: list[User], most: int) -> str:
    return listed([person(one.label, one.email) for one in people], most)


def _nobody(item: str, whose: str, left_out: dict[str, list[User]]) -> str:
    """Why nobody gets it."""
    parts = [_counted(people, why) for why, people in left_out.items() if people]
    return f"There is nobody{whose} to assign {item} to{f': {listed(parts, 8)}' if parts else ''}."


async def _people(
    call: Call, users: list[User] | None, group: Group | None, manager: User | None
) -> tuple[list[User], str]:
    """The people meant, by exactly one of the three ways to say who, and in words who they are."""
    given = [name for name, value in (("users", users), ("group", group), ("manager", manager)) if value is not None]
    if len(given) != 1:
        raise InvalidArgument(
            f"Say who with exactly one of users, group and manager{f', not {listed(given)}' if given else ''}.",
            field_errors={name: ["exactly one of users, group, manager"] for name in given or ["users"]},
        )
    if users == []:
        raise InvalidArgument("users is empty: name at least one person.", field_errors={"users": ["is empty"]})
    if users is not None:
        return list({one.public_id: one for one in users}.values()), ""
    named: dict[str, Group | User] = {"group": group} if group else {"manager": manager} if manager else {}
    filters = {name: thing.public_id for name, thing in named.items()}
    whose = "".join(f" {_WHOSE[name]} {quoted(thing.name)}" for name, thing in named.items())
    size = (await call.api.page("list_users", User, page=1, page_size=1, **filters)).total_count
    if size > MOST:
        raise too_many(size, "by manager, or users in lists of up to 1,000 (list_users names them)")
    return await drain(call.api, "list_users", User, filters=filters), whose


async def _known(call: Call, item: ContentItem, people: list[User]) -> Known:
    """What these people have and had of the item. Reads the item's assignments, or each person's, whichever is less."""
    known: Known = {}
    wanted = People.of(people)

    def take(one: Assignment) -> None:
        if one.user.public_id in wanted:
            known.setdefault(one.user.public_id, {})[one.public_id] = (one.state, one.due_date)

    read = await read_assignments(call, Selection(content_item=item), take, known.clear, people=wanted)
    if not read.coverage.complete:
        raise OutOfTime(
            f"Who has it already could not be read in full ({read.coverage.reason}). Nothing was changed.", seconds=0
        )
    return known


def _undo(created: list[str]) -> Undo:
    if not created:
        return None, None
    call = ToolCall(tool="bulk_update_assignments", arguments={"action": "drop", "assignments": sorted(created)})
    return call, "Dropped assignments stay in the history."

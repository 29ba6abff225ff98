"""One action on many assignments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from pp_mcp.answers import Json, Named, ToolCall
from pp_mcp.bulk.choose import Choice, Dates, Sorted, read_listed, read_selected
from pp_mcp.bulk.run import EXAMPLES, MOST, NAMED, ChangedMeanwhile, NotTaken, Undo, carry_out, cost, told
from pp_mcp.declare import Call, Effect, Reference, operation
from pp_mcp.errors import Conflict, InvalidArgument
from pp_mcp.models import Assignment
from pp_mcp.operations import params
from pp_mcp.operations.assignments import OUTSTANDING, label_of
from pp_mcp.operations.transitions import ACTIONS, Action, ActionName, ReasonArg
from pp_mcp.plan import Done, ManyPlan, Rest
from pp_mcp.reports.counting import is_late
from pp_mcp.reports.selection import Selection
from pp_mcp.text import listed, plural, word

AssignmentsArg = Annotated[
    list[Assignment], Reference("assignment"), Field(description="Ids or URLs.", max_length=MOST)
]


class OwnDate(BaseModel):
    """One assignment and its own due date; without one, its due date is removed."""

    model_config = ConfigDict(extra="forbid")

    assignment: str
    due_date: params.DayArg | None = None


_OWN_DATE: dict[str, Any] = {
    "type": "object",
    "properties": {"assignment": {"type": "string"}, "due_date": {"type": "string", "format": "date"}},
    "required": ["assignment"],
}
"""Its schema, spelled out: a client's converter may know neither references nor null."""

DueDatesArg = Annotated[
    list[Annotated[OwnDate, WithJsonSchema(_OWN_DATE)]],
    Field(description="Instead: each its own; no date removes it.", max_length=MOST),
]


@operation(toolset="bulk", title="Extend, complete, waive or drop for many people", effect=Effect.DESTROY, keeps=Sorted)
async def bulk_update_assignments(
    call: Call,
    action: Annotated[ActionName, Field(description="What to do with each.")],
    assignments: AssignmentsArg | None = None,
    user: params.SomeUsersArg | None = None,
    group: params.GroupArg | None = None,
    manager: params.ManagerArg | None = None,
    content_item: params.SomeItemsArg | None = None,
    state: params.StateArg | None = None,
    is_overdue: params.OverdueArg | None = None,
    due_date: Annotated[params.DayArg, Field(description="For set_due_date.")] | None = None,
    due_dates: DueDatesArg | None = None,
    clear: Annotated[
        list[Literal["due_date"]], Field(description="For set_due_date: removes it.", min_length=1, max_length=1)
    ]
    | None = None,
    reason: ReasonArg | None = None,
) -> ManyPlan:
    """Change many people's assignments at once: extend deadlines, mark done (complete), waive (exempt), unassign (drop)
    training, or undo that, for everybody in a whole team or group, all who are late, a course, or a list. Skips those
    it does not fit. Previews how many and whose. For one use update_assignment and its siblings."""
    filters = {"state": state, "is_overdue": is_overdue}
    selection = Selection(user, manager, group, content_item, filters)
    deed = ACTIONS[action]
    if reason is not None and action != "drop":
        raise InvalidArgument("reason goes with action=drop.", field_errors={"reason": ["not for this action"]})
    dates = _dates(action, due_date, due_dates, clear)
    choice = Choice(deed, dates, call.kept)
    if call.kept is None:
        await _choose(call, assignments, due_dates, selection, choice)
    ready = choice.ready
    wanted = [dates(one.public_id) for one in ready] if dates else []
    verb, did, to = deed.verb, deed.did, ""
    if clear:
        verb, did = "Remove the due date of", "Removed the due date of"
    elif dates:
        to = f", each to its own ({span(wanted)})" if due_dates is not None else f" to {span(wanted)}"

    async def apply() -> Done:
        changed: list[Assignment] = []

        async def look(one: Assignment) -> bool:
            now = await call.api.one("get_assignment", Assignment, one.public_id)
            if not choice.is_so(now) and (now.state, now.due_date) != (one.state, one.due_date):
                raise ChangedMeanwhile("changed meanwhile")
            return not choice.is_so(now)

        async def write(one: Assignment) -> bool:
            body = {"due_date": dates(one.public_id)} if dates else {"reason": reason} if reason else {}
            done = await _write(call, deed.tool, one, body, choice)
            if done:
                changed.append(one)
            return done

        run = await carry_out(call, ready, label_of, write, look)
        count = plural(len(changed), "assignment")
        return told(
            run,
            f"{did} {count}{to}.",
            already=choice.found.already,
            so=deed.already,
            undo=_undo(action, changed),
            changes=_changes(deed, changed, dates),
            target=Named(kind="assignments", name=f"{count}{selection.words}"),
            rest=left(run.left) if run.left else None,
        )

    def left(those: list[Assignment]) -> Rest:
        """The call for those that were not begun; whoever plans it afresh comes to the same plan."""
        ids = {one.public_id for one in those}
        values: dict[str, Any] = {"action": action, "due_date": due_date, "clear": clear, "reason": reason}
        arguments = {**values, "due_date": due_date.isoformat() if due_date else None}
        if due_dates is not None:
            values["due_dates"] = [one for one in due_dates if one.assignment in ids]
            arguments["due_dates"] = [one.model_dump(mode="json", exclude_none=True) for one in values["due_dates"]]
        else:
            values["assignments"] = those
            arguments["assignments"] = [one.public_id for one in those]
        return Rest(
            arguments={name: value for name, value in arguments.items() if value is not None},
            values={name: value for name, value in values.items() if value is not None},
            kept=Sorted(len(those), len(those), ready=those),
        )

    return ManyPlan(
        target=Named(kind="assignments", name=f"{plural(len(ready), 'assignment')}{selection.words}"),
        summary=f"{verb} {selection.counted(len(ready))}{to}.",
        apply=apply,
        state=[[one.public_id, one.state, one.due_date] for one in ready],
        effects=[
            *_effects(ready, call.today, wanted),
            *choice.left_out,
            *([deed.warning] if deed.warning else []),
            cost(2 * len(ready)),
        ],
        irreversible=deed.irreversible,
        reach=len(ready),
        affected=[
            {"public_id": one.public_id, "name": label_of(one), "from": before or "", "to": after or ""}
            for one, before, after in _moves(deed, ready[:NAMED], dates)
        ],
        affected_total=len(ready),
        kept=choice.found,
        unchanged=None if ready else choice.nothing(selection),
        check=ToolCall(tool="list_assignments", arguments=_shown_by(selection)),
    )


async def _choose(
    call: Call,
    assignments: list[Assignment] | None,
    due_dates: list[OwnDate] | None,
    selection: Selection,
    choice: Choice,
) -> None:
    """Sorts the assignments that the call names in one of three ways.

    Raises:
        InvalidArgument: in none, or in more than one; or some ids do not exist.
        OutOfTime: not all of them could be read.
    """
    given = [assignments is not None, due_dates is not None, not selection.is_empty]
    if sum(given) != 1 or assignments == [] or due_dates == []:
        raise InvalidArgument(
            "Say which, in one way: assignments (at least one), or at least one of user, group, manager, content_item, "
            "state, is_overdue, or due_dates.",
            field_errors={"assignments": ["one of assignments, filters, due_dates"]},
        )
    if due_dates is not None:
        assignments = await read_listed(call, [one.assignment for one in due_dates])
    if assignments is not None:
        for one in {one.public_id: one for one in assignments}.values():
            choice.take(one)
    else:
        await read_selected(call, selection, choice)


def _dates(
    action: ActionName, due_date: date | None, due_dates: list[OwnDate] | None, clear: list[Literal["due_date"]] | None
) -> Dates | None:
    """Each assignment's wanted due date; None where the action is another.

    Raises:
        InvalidArgument: the date is missing, given twice, or given to another action.
    """
    given = [
        name
        for name, value in (("due_date", due_date), ("due_dates", due_dates), ("clear", clear))
        if value is not None
    ]
    if action != "set_due_date":
        if given:
            raise InvalidArgument(
                f"{given[0]} goes with action=set_due_date, not with {action}.",
                field_errors={given[0]: ["not for this action"]},
            )
        return None
    if len(given) != 1:
        raise InvalidArgument(
            'set_due_date needs one of: due_date, or clear=["due_date"] to remove it, with assignments or filters; or '
            "due_dates alone.",
            field_errors={"due_date": ["give due_date, clear or due_dates"]},
        )
    if due_dates is None:
        wanted = due_date.isoformat() if due_date else None
        return lambda _: wanted
    own = {one.assignment: one.due_date.isoformat() if one.due_date else None for one in due_dates}
    if len(own) < len(due_dates):
        raise InvalidArgument(
            "due_dates names an assignment twice.", field_errors={"due_dates": ["names an assignment twice"]}
        )
    return own.__getitem__


def span(dates: Iterable[str | None]) -> str:
    """Dates in words: `2026-03-01 to 2026-05-04, 3 none`."""
    every = list(dates)
    known = sorted(one for one in every if one)
    none = len(every) - len(known)
    if not known:
        return "none"
    between = word(known[0]) if known[0] == known[-1] else f"{word(known[0])} to {word(known[-1])}"
    return f"{between}, {none:,} none" if none else between


def _effects(ready: list[Assignment], today: date, wanted: list[str | None]) -> list[str]:
    """Whose they are, in which states, and what becomes of their dates. `wanted`: each one's new date, if any."""
    people = {one.user.public_id for one in ready}
    items = {one.content_item.public_id for one in ready}
    states = Counter(one.state for one in ready).most_common()
    late = sum(is_late(one, today) for one in ready)
    examples = listed([label_of(one) for one in ready[:EXAMPLES]])
    said = [
        f"Of {plural(len(people), 'person', 'people')}, {plural(len(items), 'content item')}: "
        f"{listed([f'{count:,} {word(name)}' for name, count in states])}; {late:,} overdue.",
        f"{'Among them' if len(ready) > EXAMPLES else 'Namely'}: {examples}.",
    ]
    if wanted:
        none = sum(one.due_date is None for one in ready)
        pairs = [(one.due_date, new) for one, new in zip(ready, wanted, strict=True)]
        earlier = sum(bool(old and new and new < old) for old, new in pairs)
        said.append(
            f"Due now: {span(old for old, _ in pairs if old)}; {none:,} {'has' if none == 1 else 'have'} no due date; "
            f"{earlier:,} {'moves' if earlier == 1 else 'move'} earlier."
        )
    return said


def _moves(
    deed: Action, those: list[Assignment], dates: Dates | None
) -> list[tuple[Assignment, str | None, str | None]]:
    """What changes of each, from what to what: its due date, or its state."""
    if dates is not None:
        return [(one, one.due_date, dates(one.public_id)) for one in those]
    goal = "outstanding" if deed.goal == OUTSTANDING else "".join(deed.goal)
    return [(one, one.state, goal) for one in those]


def _changes(deed: Action, changed: list[Assignment], dates: Dates | None) -> dict[str, list[Any]]:
    """The same of all, as one pair."""
    moves = _moves(deed, changed, dates)
    if dates is None:
        return {"state": [listed(sorted({before or "" for _, before, _ in moves})), moves[0][2]]} if moves else {}
    pair = [span(before for _, before, _ in moves), span(after for _, _, after in moves)]
    return {"due_date": ["" if one == "none" else one for one in pair]}


def _shown_by(selection: Selection) -> Json:
    """The filters of a list that shows how far a run without an answer came, as near as a list can."""
    one = {
        name: things[0].public_id
        for name, things in (("user", selection.user), ("content_item", selection.content_item))
        if things and len(things) == 1
    }
    return {**one, **{name: value for name, value in selection.filters.items() if value is not None}}


async def _write(call: Call, tool: str, one: Assignment, body: Json, choice: Choice) -> bool:
    """Does the action to one assignment; answers whether this call changed it."""
    try:
        after = (await call.api.write(tool, Assignment, body, public_id=one.public_id)).value
    except Conflict:
        # Somebody else may have done the same meanwhile.
        if choice.is_so(await call.api.one("get_assignment", Assignment, one.public_id)):
            return False
        raise
    if not choice.is_so(after):
        raise NotTaken(f"PlusPlus answered, but it is {word(after.state)}, due {word(after.due_date)}")
    return True


def _undo(name: ActionName, changed: list[Assignment]) -> Undo:
    """The calls that set back what was changed, and nothing else. `changed`: as they were before."""
    action = ACTIONS[name]
    if not changed or action.undone_by is None:
        return None, action.undo_note if changed else None
    before = {one.public_id: one.due_date for one in sorted(changed, key=lambda one: one.public_id)}
    if name == "set_due_date":
        note = f"Sets the due dates back: {span(before.values())}."
        return _call(name, **_dates_back(before)), note
    calls = [_call(action.undone_by, assignments=list(before))]
    exempted = sorted(one.public_id for one in changed if one.state == "exempted")
    if name == "complete" and exempted:
        calls.append(_call("exempt", assignments=exempted))
    return calls if len(calls) > 1 else calls[0], action.undo_note


def _dates_back(before: dict[str, str | None]) -> Json:
    dates = set(before.values())
    if len(dates) > 1:
        own = [{"assignment": one, **({"due_date": day} if day else {})} for one, day in before.items()]
        return {"due_dates": own}
    day = dates.pop()
    return {"assignments": list(before), **({"due_date": day} if day else {"clear": ["due_date"]})}


def _call(action: ActionName, **arguments: Any) -> ToolCall:
    return ToolCall(tool="bulk_update_assignments", arguments={"action": action, **arguments})

"""One action on many assignments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.answers import Json, Named, ToolCall
from pp_mcp.bulk.assign import EXAMPLES, UNDO_LIMIT, told
from pp_mcp.bulk.engine import MOST, Step, carry_out_all, cost, too_many
from pp_mcp.declare import UNSET, Call, Effect, Reference, Unset, operation
from pp_mcp.errors import Conflict, InvalidArgument
from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING, label_of
from pp_mcp.operations.params import DayArg, GroupArg, ItemArg, ManagerArg, OverdueArg, StateArg, UserArg
from pp_mcp.operations.transitions import ReasonArg
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.reports.selection import Selection, read_assignments
from pp_mcp.text import listed, plural, word

Action = Literal["set_due_date", "complete", "exempt", "drop", "revert_completion", "revert_exemption"]

AssignmentsArg = Annotated[
    list[Assignment], Reference("assignment"), Field(description="public_ids, max 1000.", max_length=MOST)
]

DueDates = dict[str, DayArg | None]

_OPERATIONS = {
    "complete": "complete_assignment",
    "exempt": "exempt_assignment",
    "drop": "drop_assignment",
    "revert_completion": "revert_completion",
    "revert_exemption": "revert_exemption",
}

_FROM = {
    "set_due_date": OUTSTANDING,
    "complete": OUTSTANDING,
    "exempt": OUTSTANDING,
    "drop": OUTSTANDING,
    "revert_completion": ("completed",),
    "revert_exemption": ("exempted",),
}
"""States each action works on here; others are left as they are and counted."""

_GOAL = {
    "complete": ("completed",),
    "exempt": ("exempted",),
    "drop": ("dropped",),
    "revert_completion": OUTSTANDING,
    "revert_exemption": OUTSTANDING,
}

_DID = {
    "set_due_date": "Set the due date of",
    "complete": "Completed",
    "exempt": "Exempted",
    "drop": "Dropped",
    "revert_completion": "Reopened",
    "revert_exemption": "Took back the exemption of",
}

_WARNS = {
    "drop": "Dropped assignments cannot be brought back; new ones start from zero.",
    "revert_completion": "Completion dates and scores may be lost.",
    "complete": "Completing a track does not complete its steps.",
}


@operation(toolset="bulk", title="Change many assignments", effect=Effect.DESTROY)
async def bulk_update_assignments(
    call: Call,
    action: Annotated[Action, Field(description="What to do with each.")],
    assignments: AssignmentsArg | None = None,
    user: UserArg | None = None,
    group: GroupArg | None = None,
    manager: ManagerArg | None = None,
    content_item: ItemArg | None = None,
    state: StateArg | None = None,
    is_overdue: OverdueArg | None = None,
    due_date: Annotated[DayArg, Field(description="For set_due_date, YYYY-MM-DD; null removes.")]
    | Unset
    | None = UNSET,
    due_dates: Annotated[
        DueDates, Field(description="Instead: assignment id → own date; used by undo.", max_length=MOST)
    ]
    | None = None,
    reason: ReasonArg | None = None,
) -> ManyPlan:
    """Extend deadlines, complete, exempt or drop many assignments at once: a list of them, or all that match the filters (a
    person, group, manager's team, content item, state, overdue). Works on outstanding ones; others are left. Previews how
    many and whose, then needs confirm_token. For one use update_assignment or its siblings."""
    dates = _dates(action, assignments, due_date, due_dates)
    selection = Selection(
        user=user,
        manager=manager,
        group=group,
        content_item=content_item,
        filters={"state": state, "is_overdue": is_overdue},
    )
    if dates is not None and due_dates is not None:
        found = await _by_id(call, list(due_dates))
    else:
        found = await _chosen(call, assignments, selection)
    ready, already, cannot = _sorted_out(action, found, dates)
    if len(ready) > MOST:
        raise too_many(len(ready), "narrow by user, group, manager or content_item")
    before = {one.public_id: one.due_date for one in ready}
    states_before = {one.public_id: one.state for one in ready}
    body_date = None if isinstance(due_date, Unset) or due_date is None else due_date.isoformat()

    async def apply() -> Done:
        changed: list[str] = []
        deed = _deed(call, action, dates, reason, changed)
        run = await carry_out_all(call, [Step(one.public_id, label_of(one), one) for one in ready], deed)
        did = f"{_DID[action]} {plural(len(changed), 'assignment')}."
        was = sorted({str(before[one]) for one in changed} if dates else {states_before[one] for one in changed})
        now = "each its own" if due_dates is not None else body_date
        changes = {"due_date": [listed(was, 3), now]} if dates else {"state": [listed(was), _GOAL[action][0]]}
        return told(run, did, len(already), _undo(action, changed, before), changes)

    states = Counter(one.state for one in ready)
    items = Counter(one.content_item.name for one in ready)
    people = {one.user.public_id for one in ready}
    late = sum(bool(one.is_overdue) for one in ready)
    effects = [
        f"Of {plural(len(people), 'person', 'people')}, {plural(len(items), 'content item')}; "
        f"{listed([f'{count:,} {word(name)}' for name, count in states.most_common()])}; {late:,} overdue.",
        f"Among them: {listed([label_of(one) for one in ready], EXAMPLES)}.",
    ]
    if already:
        effects.append(
            f"{plural(len(already), 'is', 'are')} so already: left as {'it is' if len(already) == 1 else 'they are'}."
        )
    effects += [f"{count:,} cannot: {why}." for why, count in Counter(cannot.values()).most_common(4)]
    effects += [_WARNS[action]] if action in _WARNS else []
    effects.append(cost(len(ready)))
    to = (
        f" to {due_date.isoformat() if due_date else 'none'}"
        if not isinstance(due_date, Unset) and dates is not None
        else ""
    )
    return ManyPlan(
        target=Named(kind="assignments", name=f"{plural(len(found), 'assignment')}{selection.words}"),
        summary=f"{_VERB[action]} {plural(len(ready), 'assignment')}{selection.words}{to}.",
        apply=apply,
        state=sorted([one.public_id, one.state, one.due_date] for one in ready),
        effects=effects,
        irreversible=action in ("drop", "revert_completion"),
        writes=len(ready),
        unchanged=None if ready else _nothing(found, already, cannot, selection),
        check=ToolCall(tool="list_assignments", arguments={}),
    )


_VERB = {
    "set_due_date": "Set the due date of",
    "complete": "Complete",
    "exempt": "Exempt",
    "drop": "Drop",
    "revert_completion": "Reopen",
    "revert_exemption": "Take back the exemption of",
}


def _dates(
    action: str, assignments: list[Assignment] | None, due_date: Any, due_dates: DueDates | None
) -> Callable[[str], str | None] | None:
    """Each assignment's wanted due date; None where the action is another.

    Raises:
        InvalidArgument: the date is missing, given twice, or of no use to the action.
    """
    given = not isinstance(due_date, Unset)
    if action != "set_due_date":
        if given or due_dates is not None:
            raise InvalidArgument(
                f"due_date goes with action=set_due_date, not with {action}.",
                field_errors={"due_date": ["not for this action"]},
            )
        return None
    if given == (due_dates is not None) or (due_dates is not None and assignments is not None):
        raise InvalidArgument(
            "set_due_date needs due_date (null removes) with assignments or filters, or due_dates alone.",
            field_errors={"due_date": ["give due_date or due_dates"]},
        )
    if due_dates is not None:
        own = {name: day.isoformat() if day else None for name, day in due_dates.items()}
        return own.__getitem__
    wanted = due_date.isoformat() if due_date else None
    return lambda _: wanted


async def _by_id(call: Call, ids: list[str]) -> list[Assignment]:
    found: list[Assignment] = []
    run = await carry_out_all(call, [Step(one, one, one) for one in ids], _reader(call, found))
    if run.stopped or run.of("failed") or run.of("unknown"):
        bad = [one.public_id for one in run.outcomes if one.status in ("failed", "unknown")]
        why = run.stopped or f"not found or not readable: {listed(bad, 5)}"
        raise InvalidArgument(f"Not all assignments could be read ({why}). Nothing was changed.", field_errors={})
    return found


def _reader(call: Call, found: list[Assignment]) -> Callable[[str], Awaitable[bool]]:
    async def read(public_id: str) -> bool:
        found.append(await call.api.one("get_assignment", Assignment, public_id))
        return False

    return read


async def _chosen(call: Call, assignments: list[Assignment] | None, selection: Selection) -> list[Assignment]:
    """The assignments of the list, or those that the filters leave.

    Raises:
        InvalidArgument: neither is given, or both are, or not all could be read.
    """
    if assignments is not None:
        if not selection.is_empty or not assignments:
            raise InvalidArgument(
                "Give assignments, at least one, or filters, not both.", field_errors={"assignments": ["or filters"]}
            )
        return list({one.public_id: one for one in assignments}.values())
    if selection.is_empty:
        raise InvalidArgument(
            "Say which: give assignments, or at least one of user, group, manager, content_item, state, is_overdue.",
            field_errors={"assignments": ["or a filter is required"]},
        )
    found: list[Assignment] = []
    read = await read_assignments(call, selection, found.append, found.clear)
    if not read.coverage.complete:
        raise InvalidArgument(
            f"Not all of them could be read ({read.coverage.reason}). Nothing was changed; narrow the filters.",
            field_errors={},
        )
    return found


def _sorted_out(
    action: str, found: list[Assignment], dates: Callable[[str], str | None] | None
) -> tuple[list[Assignment], list[Assignment], dict[str, str]]:
    """Which to act on, which are so already, and for which it cannot be done, with why."""
    ready: list[Assignment] = []
    already: list[Assignment] = []
    cannot: dict[str, str] = {}
    for one in sorted(found, key=lambda assignment: assignment.public_id):
        if (dates is not None and one.state in OUTSTANDING and one.due_date == dates(one.public_id)) or (dates is None and one.state in _GOAL[action]):
            already.append(one)
        elif one.state not in _FROM[action]:
            cannot[one.public_id] = word(one.state)
        elif dates is not None and one.content_item.content_type == "event":
            cannot[one.public_id] = "its dates are managed by the event"
        else:
            ready.append(one)
    return ready, already, cannot


def _deed(
    call: Call, action: str, dates: Callable[[str], str | None] | None, reason: str | None, changed: list[str]
) -> Callable[[Assignment], Awaitable[bool]]:
    async def deed(assignment: Assignment) -> bool:
        key = assignment.public_id
        if dates is not None:
            body: Json = {"due_date": dates(key)}
            after = (await call.api.write("update_assignment", Assignment, body, public_id=key)).value
            took = after.due_date == body["due_date"]
        else:
            body = {"reason": reason} if action == "drop" and reason else {}
            after = (await call.api.write(_OPERATIONS[action], Assignment, body, public_id=key)).value
            took = after.state in _GOAL[action]
        if not took:
            raise Conflict(
                f"PlusPlus answered, but it is {word(after.state)}, due {word(after.due_date)}",
                status=200,
                operation=action,
                method="POST",
            )
        changed.append(key)
        return True

    return deed


def _undo(action: str, changed: list[str], before: dict[str, str | None]) -> tuple[ToolCall | None, str | None]:
    """The call that sets back what was changed, and nothing else."""
    if not changed:
        return None, None
    if action == "drop":
        return None, "The API has no un-drop; bulk_assign_content makes new assignments."
    if action == "revert_completion":
        return None, "Completing again would set today's date and no score."
    if len(changed) > UNDO_LIMIT:
        return None, f"Undoing it takes a list of {len(changed):,} assignments, too long for one answer."
    tool = "bulk_update_assignments"
    if action == "set_due_date":
        own = {key: before[key] for key in sorted(changed)}
        if len(set(own.values())) == 1:
            one = next(iter(own.values()))
            return ToolCall(tool=tool, arguments={"action": action, "assignments": list(own), "due_date": one}), None
        if len(own) > UNDO_LIMIT // 2:
            return None, f"The {len(own):,} due dates from before differ, too many for one answer."
        return ToolCall(tool=tool, arguments={"action": action, "due_dates": own}), None
    reverse = {"complete": "revert_completion", "exempt": "revert_exemption", "revert_exemption": "exempt"}[action]
    note = "Progress from before may not come back." if action == "complete" else None
    return ToolCall(tool=tool, arguments={"action": reverse, "assignments": sorted(changed)}), note


def _nothing(found: list[Assignment], already: list[Assignment], cannot: dict[str, str], selection: Selection) -> str:
    if not found:
        return f"No assignments{selection.words}."
    whys = listed([f"{count:,} {why}" for why, count in Counter(cannot.values()).most_common(4)])
    parts = [f"{len(already):,} so already" if already else "", f"not possible for {whys}" if whys else ""]
    return f"Nothing to do for {plural(len(found), 'assignment')}{selection.words}: {listed([part for part in parts if part])}."

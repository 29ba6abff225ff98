"""One action on many assignments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import Json, Named, ToolCall
from pp_mcp.api.walk import for_each
from pp_mcp.bulk.run import EXAMPLES, MOST, Undo, carry_out, cost, told, too_many
from pp_mcp.declare import UNSET, Call, Effect, Reference, Unset, operation
from pp_mcp.errors import Conflict, InvalidArgument, NotFound, OutOfTime, PlusPlusError
from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING, label_of
from pp_mcp.operations.params import DayArg, GroupArg, ItemArg, ManagerArg, OverdueArg, StateArg, UserArg
from pp_mcp.operations.transitions import ACTIONS, Action, ActionName, ReasonArg
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.reports.counting import is_late
from pp_mcp.reports.reading import Selection, read_assignments
from pp_mcp.text import listed, plural, word

Dates = Callable[[str], str | None]
"""Each assignment's wanted due date, by its id."""

NAMED = 3
"""Assignments that are named beside each reason why it cannot be done."""


class Choice:
    """Assignments sorted by whether the action can be done. Only those for which it can are kept, and not more of them
    than one call takes, so that a filter which matches half the tenant does not fill the memory."""

    def __init__(self, action: Action, dates: Dates | None) -> None:
        self._action = action
        self._dates = dates
        self.restart()

    def restart(self) -> None:
        """Forgets what was taken."""
        self.total = self.possible = self.already = 0
        self._ready: list[Assignment] = []
        self._cannot: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def take(self, assignment: Assignment) -> None:
        """Sorts one assignment."""
        self.total += 1
        if self.is_so(assignment):
            self.already += 1
        elif (why := self._why_not(assignment)) is not None:
            self._cannot[why] += 1
            names = self._names.setdefault(why, [])
            if len(names) < NAMED:
                names.append(label_of(assignment))
        else:
            self.possible += 1
            if len(self._ready) < MOST:
                self._ready.append(assignment)

    def is_so(self, assignment: Assignment) -> bool:
        """Whether the assignment is already as the action would leave it."""
        if self._dates is None:
            return assignment.state in self._action.goal
        return assignment.state in OUTSTANDING and assignment.due_date == self._dates(assignment.public_id)

    def _why_not(self, assignment: Assignment) -> str | None:
        if assignment.state not in self._action.works_on:
            return word(assignment.state)
        if self._dates is not None and assignment.content_item.content_type == "event":
            return "the event manages its dates"
        return None

    @property
    def ready(self) -> list[Assignment]:
        """Those to act on, sorted by id.

        Raises:
            InvalidArgument: they are more than one call takes.
        """
        if self.possible > MOST:
            raise too_many(self.possible, "narrow by user, group, manager or content_item, or list assignments")
        return sorted(self._ready, key=lambda assignment: assignment.public_id)

    @property
    def left_out(self) -> list[str]:
        """A sentence for each reason to leave some out: how many, why, and some of them by name."""
        said = [f"{self.already:,} {self._action.already}, skipped."] if self.already else []
        return said + [
            f"Not possible for {count:,} ({why}): {listed(self._names[why], NAMED)}"
            + (f" and {count - NAMED:,} more." if count > NAMED else ".")
            for why, count in self._cannot.most_common(4)
        ]

    def nothing(self, selection: Selection) -> str:
        """Why there is nothing to do."""
        if not self.total:
            return f"No{' overdue' if selection.filters.get('is_overdue') else ''} assignments{selection.words}."
        parts = [f"{self.already:,} {self._action.already}"] if self.already else []
        parts += [f"not possible for {count:,} ({why})" for why, count in self._cannot.most_common(4)]
        return f"Nothing to do for {selection.counted(self.total)}: {listed(parts)}."


AssignmentsArg = Annotated[
    list[Assignment], Reference("assignment"), Field(description="Ids or URLs.", max_length=MOST)
]
DueDates = dict[str, DayArg | None]


@operation(toolset="bulk", title="Change many people's training at once", effect=Effect.DESTROY)
async def bulk_update_assignments(
    call: Call,
    action: Annotated[ActionName, Field(description="What to do with each.")],
    assignments: AssignmentsArg | None = None,
    user: UserArg | None = None,
    group: GroupArg | None = None,
    manager: ManagerArg | None = None,
    content_item: ItemArg | None = None,
    state: StateArg | None = None,
    is_overdue: OverdueArg | None = None,
    due_date: Annotated[DayArg, Field(description="For set_due_date; null removes it.")] | Unset | None = UNSET,
    due_dates: Annotated[
        DueDates, Field(description="Instead: assignment id → own date; used by undo.", max_length=MOST)
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
    dates = _dates(action, due_date, due_dates)
    choice = Choice(deed, dates)
    await _choose(call, assignments, due_dates, selection, choice)
    ready = choice.ready
    states = Counter(one.state for one in ready)
    now = "each its own" if due_dates is not None else dates("") if dates else None

    async def apply() -> Done:
        changed: list[Assignment] = []

        async def write(one: Assignment) -> bool:
            body = {"due_date": dates(one.public_id)} if dates else {"reason": reason} if reason else {}
            done = await _write(call, deed.tool, one, body, choice)
            if done:
                changed.append(one)
            return done

        run = await carry_out(call, ready, label_of, write)
        did = f"{deed.did} {plural(len(changed), 'assignment')}."
        return told(run, did, already=choice.already, so=deed.already, undo=_undo(action, changed), changes=changes)

    changes: dict[str, list[Any]] = {"state": [listed(sorted(states)), *deed.goal[:1]]}
    to = ""
    if dates is not None:
        changes = {"due_date": [listed(sorted({word(one.due_date) for one in ready}), 3), now]}
        to = ", each to its own" if due_dates is not None else f" to {now or 'none'}"
    people = {one.user.public_id for one in ready}
    items = {one.content_item.public_id for one in ready}
    late = sum(is_late(one, call.today) for one in ready)
    examples = [label_of(one) for one in ready[:EXAMPLES]]
    return ManyPlan(
        target=Named(kind="assignments", name=f"{plural(choice.total, 'assignment')}{selection.words}"),
        summary=f"{deed.verb} {selection.counted(len(ready))}{to}.",
        apply=apply,
        state=[[one.public_id, one.state, one.due_date] for one in ready],
        effects=[
            f"Of {plural(len(people), 'person', 'people')}, {plural(len(items), 'content item')}: "
            f"{listed([f'{count:,} {word(name)}' for name, count in states.most_common()])}; {late:,} overdue.",
            f"{'Among them' if len(ready) > EXAMPLES else 'Namely'}: {listed(examples)}.",
            *choice.left_out,
            *([deed.warning] if deed.warning else []),
            cost(len(ready)),
        ],
        irreversible=deed.irreversible,
        reach=len(ready),
        unchanged=None if ready else choice.nothing(selection),
        check=ToolCall(tool="list_assignments", arguments=_shown_by(selection)),
    )


async def _choose(
    call: Call,
    assignments: list[Assignment] | None,
    due_dates: DueDates | None,
    selection: Selection,
    choice: Choice,
) -> None:
    """Sorts the assignments that the call names in one of three ways.

    Raises:
        InvalidArgument: in none, or in more than one; or some ids do not exist.
        OutOfTime: not all of them could be read.
    """
    given = [assignments is not None, due_dates is not None, not selection.is_empty]
    if sum(given) != 1 or assignments == [] or due_dates == {}:
        raise InvalidArgument(
            "Say which, in one way: assignments (at least one), or at least one of user, group, manager, content_item, "
            "state, is_overdue, or due_dates.",
            field_errors={"assignments": ["one of assignments, filters, due_dates"]},
        )
    if assignments is not None:
        for one in {one.public_id: one for one in assignments}.values():
            choice.take(one)
    elif due_dates is not None:
        await _read_each(call, list(due_dates), choice.take)
    else:
        read = await read_assignments(call, selection, choice.take, choice.restart)
        if not read.coverage.complete:
            raise OutOfTime(f"Not all of them could be read ({read.coverage.reason}). Nothing was changed.", seconds=0)


async def _read_each(call: Call, ids: list[str], take: Callable[[Assignment], None]) -> None:
    unknown: list[str] = []
    read = 0

    async def look(public_id: str) -> bool:
        nonlocal read
        try:
            take(await call.api.one("get_assignment", Assignment, public_id))
        except NotFound:
            unknown.append(public_id)
        read += 1
        await call.rows_read(read, len(ids))
        return True

    await for_each(ids, look)
    if unknown:
        raise InvalidArgument(
            f"No assignments have these ids: {listed(sorted(unknown))}. Nothing was changed.",
            field_errors={"due_dates": ["contains unknown ids"]},
        )


def _dates(action: ActionName, due_date: Any, due_dates: DueDates | None) -> Dates | None:
    """Each assignment's wanted due date; None where the action is another.

    Raises:
        InvalidArgument: the date is missing, given twice, or given to another action.
    """
    given = not isinstance(due_date, Unset)
    if action != "set_due_date":
        if given or due_dates is not None:
            raise InvalidArgument(
                f"due_date goes with action=set_due_date, not with {action}.",
                field_errors={"due_date": ["not for this action"]},
            )
        return None
    if given == (due_dates is not None):
        raise InvalidArgument(
            "set_due_date needs due_date (null removes) with assignments or filters, or due_dates alone.",
            field_errors={"due_date": ["give due_date or due_dates"]},
        )
    if due_dates is not None:
        own = {name: day.isoformat() if day else None for name, day in due_dates.items()}
        return own.__getitem__
    wanted = due_date.isoformat() if due_date else None
    return lambda _: wanted


def _shown_by(selection: Selection) -> Json:
    """The filters of a list that shows how far a run without an answer came, as near as a list can."""
    user = selection.user.public_id if selection.user else None
    return {name: value for name, value in {**selection.asked, "user": user}.items() if value is not None}


class NotTaken(PlusPlusError):
    """The API accepted a change and answers as if there had been none."""


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
    """The call that sets back what was changed, and nothing else. `changed`: as they were before."""
    action = ACTIONS[name]
    if not changed or action.undone_by is None:
        return None, action.undo_note if changed else None
    before = {one.public_id: one.due_date for one in sorted(changed, key=lambda one: one.public_id)}
    arguments: Json = {"action": action.undone_by}
    dates = set(before.values())
    if name != "set_due_date":
        arguments["assignments"] = list(before)
    elif len(dates) == 1:
        arguments |= {"assignments": list(before), "due_date": dates.pop()}
    else:
        arguments["due_dates"] = before
    notes = [action.undo_note] if action.undo_note else []
    exempted = sum(one.state == "exempted" for one in changed)
    if name == "complete" and exempted:
        notes.append(f"{exempted:,} of them {'was' if exempted == 1 else 'were'} exempted before: exempt again.")
    return ToolCall(tool="bulk_update_assignments", arguments=arguments), " ".join(notes) or None

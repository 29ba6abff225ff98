"""Who is late, how much is done: assignments counted by person, manager, content, state or month."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Assignment, PersonRef, User
from pp_mcp.operations.assignments import OUTSTANDING, DueFromArg, DueUntilArg
from pp_mcp.operations.params import (
    ContentTypeArg,
    FromArg,
    GroupArg,
    ItemArg,
    ManagerArg,
    OverdueArg,
    StateArg,
    UntilArg,
    UserArg,
)
from pp_mcp.reports.answers import EVERY, Found, ReportAnswer, TopArg, caution, percent
from pp_mcp.reports.counting import STATES, Bucket, Counting, Key, base, counted, figures, outstanding
from pp_mcp.reports.reading import (
    NOT_KNOWN,
    NOT_READ,
    People,
    Read,
    Selection,
    add_missing,
    count_of,
    fewer_by_pages,
    people_of,
    read_assignments,
    read_people,
)
from pp_mcp.text import listed, plural, quoted, share, word

Dimension = Literal["user", "manager", "content_item", "content_type", "state", "due_month"]

_BESIDE = {"user": "user_email", "manager": "manager_email", "content_item": "content_item_id"}
"""What a row has beside the name of a dimension's value."""


@operation(toolset="reports", title="Report on training progress", effect=Effect.READ, csv="reports/assignments")
async def report_assignments(
    call: Call,
    group_by: Annotated[list[Dimension], Field(description="One row for each.", min_length=1, max_length=3)]
    | None = None,
    user: UserArg | None = None,
    manager: ManagerArg | None = None,
    group: GroupArg | None = None,
    content_item: ItemArg | None = None,
    content_type: ContentTypeArg | None = None,
    state: StateArg | None = None,
    is_overdue: OverdueArg | None = None,
    due_date_gte: DueFromArg | None = None,
    due_date_lte: DueUntilArg | None = None,
    created_gte: FromArg | None = None,
    created_lte: UntilArg | None = None,
    top: TopArg = 15,
) -> ReportAnswer:
    """Count training progress: completion (compliance) rate or percentage of a course, team or group, which managers
    have most overdue, done and open by month. Overdue: outstanding (not started or in progress) past its due date.
    Rate: completed ÷ (all - dropped - exempted). For single rows use list_assignments."""
    filters = {
        "content_type": content_type,
        "state": state,
        "is_overdue": is_overdue,
        "due_date_gte": due_date_gte.isoformat() if due_date_gte else None,
        "due_date_lte": due_date_lte.isoformat() if due_date_lte else None,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }
    selection = Selection(user, manager, group, content_item, filters)
    count = _Count(call, selection, list(dict.fromkeys(group_by or _open(selection))))
    read = await count.read(managers="manager" in count.dimensions or (count.names_managers and top == EVERY))
    if count.names_managers and top != EVERY:
        await count.look_up_managers(top)
    counting = count.counting
    rates = read.coverage.complete and selection.allows_rates
    # A rate within one state says nothing: it is all or nothing.
    row_rates = rates and "state" not in count.dimensions
    header = counting.header() + (["manager", "manager_email"] if count.names_managers else [])

    def row(bucket: Bucket, whole: bool) -> dict[str, Any]:
        return {**count.labels(bucket.key), **figures(bucket.counts, rates=row_rates, whole=whole)}

    found = Found(
        counting=counting,
        row=row,
        figures=lambda counts: figures(counts, rates=row_rates),
        header=header + list(figures(counting.totals, rates=row_rates, whole=True)),
        coverage=read.coverage,
        how=read.how,
    )
    totals = counting.totals
    by_state = {state: totals[state] for state in (*STATES, "other") if totals[state]}
    return found.answer(
        top, summary=_summary(count, read, totals), totals={**figures(totals, rates=rates), "by_state": by_state}
    )


def _open(selection: Selection) -> list[Dimension]:
    """What to group by where nothing is said: what the selection leaves open."""
    if selection.content_item is None:
        return ["content_item"]
    return ["user"] if selection.group or selection.manager or selection.user else ["manager"]


class _Count:
    """Assignments of a selection, counted by dimensions."""

    def __init__(self, call: Call, selection: Selection, dimensions: list[str]) -> None:
        self.dimensions = dimensions
        self.selection = selection
        self.counting = Counting({name: _BESIDE.get(name) for name in dimensions}, ("overdue", "total"))
        self.people = People()
        self._call = call

    @property
    def names_managers(self) -> bool:
        """Whether each person's manager is named beside them, being no row of their own."""
        return "user" in self.dimensions and "manager" not in self.dimensions

    async def read(self, *, managers: bool) -> Read:
        """Counts all assignments of the selection. `managers`: those of all people in it are needed."""
        selection = self.selection
        theirs = await people_of(self._call, selection)
        if theirs is None and managers and selection.user is None:
            return await self._with_everyone()
        if theirs is not None:
            self.people = theirs
        elif selection.user is not None:
            self.people = People.of([selection.user])
        return await read_assignments(self._call, selection, self._take, self.counting.restart, people=theirs)

    async def _with_everyone(self) -> Read:
        """Counts with the managers of whoever occurs: all people are read first, or, where there are fewer assignments
        than pages of people, the people of those assignments after them."""
        call, selection = self._call, self.selection
        few: list[Assignment] = []
        if await fewer_by_pages(call, "list_users", User, {}, singly=await count_of(call, selection)):
            self.people = await read_people(call, {}, tolerant=True)
            read = await read_assignments(call, selection, self._take, self.counting.restart)
            how = f"managers from {plural(len(self.people), 'profile')}"
        else:
            read = await read_assignments(call, selection, few.append, few.clear)
            await add_missing(call, self.people, [one.user.public_id for one in few])
            for one in few:
                self._take(one)
            how = "managers looked up"
        coverage = read.coverage
        if self.people.coverage is not None:
            coverage = coverage.also(self.people.coverage, "managers")
        elif any(self.people.manager_of(one.user.public_id) == NOT_READ for one in few):
            reason = coverage.reason or "not all managers could be looked up"
            coverage = replace(coverage, complete=False, reason=reason)
        return Read(coverage, f"{read.how}, {how}", None)

    async def look_up_managers(self, top: int) -> None:
        """Reads the managers of the people in the first rows, where they are not known."""
        at = self.dimensions.index("user")
        await add_missing(self._call, self.people, [bucket.key[at] for bucket in self.counting.first(top)])

    def _take(self, assignment: Assignment) -> None:
        values = (self._value(dimension, assignment) for dimension in self.dimensions)
        self.counting.add(values, counted(assignment, self._call.today))

    def _value(self, dimension: str, assignment: Assignment) -> str:
        user, item = assignment.user, assignment.content_item
        match dimension:
            case "user":
                return self.counting.named(user.public_id, user.name, user.email)
            case "manager":
                manager = self.people.manager_of(user.public_id)
                if manager is None or isinstance(manager, str):
                    return manager or ""
                return self.counting.named(manager.public_id, manager.name, manager.email)
            case "content_item":
                return self.counting.named(item.public_id, item.name)
            case "content_type":
                return item.content_type
            case "state":
                return assignment.state
            case _:
                return (assignment.due_date or "")[:7]

    def labels(self, key: Key) -> dict[str, Any]:
        """A group's key in words, with each person's manager."""
        row = self.counting.labels(key)
        if self.names_managers:
            person = key[self.dimensions.index("user")]
            manager = self.people.manager_of(person)
            if isinstance(manager, PersonRef):
                row |= {"manager": manager.label, "manager_email": manager.email}
            else:
                row["manager"] = manager or "none"
            profile = self.people.profiles.get(person)
            if profile is not None and not profile.is_active:
                row["is_active"] = False
        return row

    def worst(self) -> str:
        """`, most under “R. Alvarez” (14) and “J. Doe” (9)`; nothing where no group stands out."""
        late = [bucket for bucket in self.counting.first(4) if bucket.counts["overdue"]]
        if not late or len(self.counting) == 1:
            return ""
        if len(late) > 3 and late[0].counts["overdue"] == late[3].counts["overdue"]:
            return ""
        if len(late) == 1:
            return f", all {' '.join(self._phrase(late[0].key)).strip()}"
        said: list[str] = []
        before = ""
        for key, counts in late[:3]:
            preposition, label = self._phrase(key)
            label = f"{label} ({counts['overdue']:,})"
            said.append(f"{preposition} {label}".strip() if preposition != before else label)
            before = preposition
        return f", most {listed(said)}"

    def _phrase(self, key: Key) -> tuple[str, str]:
        """A group in a sentence about overdue assignments: a preposition, and who or what."""
        row = self.counting.labels(key)
        dimension, value = self.dimensions[0], key[0]
        if dimension == "manager" and value in ("", *NOT_KNOWN):
            return "", "people without a manager" if not value else f"people whose manager is {value}"
        if dimension == "due_month" and not value:
            return "", "those without a due date"
        labels = [quoted(row[name]) if name in _BESIDE else word(row[name]) for name in self.dimensions]
        return _BEFORE[dimension], " / ".join(labels)


_BEFORE = {
    "user": "for",
    "manager": "under",
    "content_item": "of",
    "content_type": "of type",
    "state": "in state",
    "due_month": "due in",
}


def _summary(count: _Count, read: Read, totals: Counter[str]) -> str:
    selection, coverage = count.selection, read.coverage
    total, overdue = totals["total"], totals["overdue"]
    if not total:
        none = "No overdue assignments" if selection.filters.get("is_overdue") else "No assignments"
        return f"{caution(coverage)}{none}{selection.words}{'' if coverage.complete else ' among those'}."
    every = selection.counted(total)
    if selection.filters.get("is_overdue") is not None or selection.filters.get("state") not in (None, *OUTSTANDING):
        said = every
    elif total == 1:
        said = f"{every}, {'overdue' if overdue else 'not overdue'}"
    elif not overdue:
        said = f"None of {every} is overdue"
    else:
        said = f"{overdue:,} of {every} {'is' if overdue == 1 else 'are'} overdue"
        if coverage.complete:
            said += f" ({share(overdue, total)})"
    said = f"{caution(coverage)}{said}{count.worst()}."
    if not selection.allows_rates:
        return said
    done = f"{totals['completed']:,} completed"
    if coverage.complete and base(totals):
        done += f", completion rate {percent(totals['completed'], base(totals))}"
    return f"{said} {done}; {outstanding(totals):,} outstanding."

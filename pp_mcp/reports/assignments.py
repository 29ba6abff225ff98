"""Who is late, how much is done: assignments counted by person, manager, content, state or month."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.api.walk import PAGE_SIZE
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
from pp_mcp.reports.answers import ReportAnswer, Table, TopArg, caution, coverage_answer, first_rows, percent
from pp_mcp.reports.counting import Group, Groups
from pp_mcp.reports.reading import (
    NOT_READ,
    AssignmentFilters,
    People,
    Read,
    Selection,
    add_missing,
    count_of,
    people_of,
    read_assignments,
    read_people,
)
from pp_mcp.text import listed, plural, share

Dimension = Literal["user", "manager", "content_item", "content_type", "state", "due_month"]

_FILTERS = ("content_type", "state", "is_overdue", "due_date_gte", "due_date_lte", "created_gte", "created_lte")


@operation(toolset="reports", title="Report on assignments", effect=Effect.READ)
async def report_assignments(
    call: Call,
    group_by: Annotated[list[Dimension], Field(description="A row for each.", min_length=1, max_length=3)]
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
    """Count assignments over all pages: who is overdue by manager, completion rate of a course in a group, progress of
    a team. Outstanding: not started or in progress. Overdue: outstanding past its due date. Completion rate: completed
    ÷ (all - dropped - exempted). For single rows use list_assignments; for one person get_learner_summary."""
    values = (content_type, state, is_overdue, due_date_gte, due_date_lte, created_gte, created_lte)
    selection = Selection(user, manager, group, content_item, _filters(*values))
    dimensions = _dimensions(group_by, selection)
    groups, read = await _count(call, selection, dimensions, managers="manager" in dimensions)
    shown = groups.top(top)
    if _names_managers(dimensions):
        await add_missing(call, groups.people, [key[dimensions.index("user")] for key, _ in shown])
    rates = read.coverage.complete and selection.allows_rates
    rows = first_rows([_row(groups, group, rates=rates) for group in shown], top)
    if len(groups) > len(rows):
        rest = groups.totals.minus([group.counts for group in shown[: len(rows)]])
        columns = rest.columns(rates=rates and "state" not in dimensions)
        rows.append({dimensions[0]: f"({len(groups) - len(rows):,} more)", **columns})
    return ReportAnswer(
        summary=_summary(groups, read, selection),
        rows=rows,
        totals={**groups.totals.columns(rates=rates), "by_state": groups.totals.states()},
        coverage=coverage_answer(read.coverage, read.how),
    )


async def assignment_table(call: Call, values: dict[str, Any]) -> Table:
    """Every row of the report that these arguments ask for, with each person's manager named; for the CSV."""
    asked = {name: values[name] for name in ("user", "manager", "group", "content_item")}
    selection = Selection(**asked, filters=_filters(*(values[name] for name in _FILTERS)))
    dimensions = _dimensions(values["group_by"], selection)
    needs = "manager" in dimensions or "user" in dimensions
    groups, read = await _count(call, selection, dimensions, managers=needs)
    rates = read.coverage.complete and selection.allows_rates
    header = [column for name in dimensions for column in _COLUMNS.get(name, (name,))]
    if _names_managers(dimensions):
        header += _COLUMNS["manager"]
    header += groups.totals.columns(rates=rates and "state" not in dimensions, zeros=True)
    rows = (_row(groups, group, rates=rates, zeros=True) for group in groups.all())
    return Table(header, rows, read.coverage)


_COLUMNS = {
    "user": ("user", "user_email"),
    "manager": ("manager", "manager_email"),
    "content_item": ("content_item", "content_item_id"),
}
"""What a dimension's value takes in a row, where that is not just its name."""


def _dimensions(group_by: list[Any] | None, selection: Selection) -> list[str]:
    """What to group by; where nothing is said, what the selection leaves open."""
    if group_by:
        return list(dict.fromkeys(group_by))
    if selection.content_item is None:
        return ["content_item"]
    return ["user"] if selection.group or selection.manager or selection.user else ["manager"]


def _filters(
    content_type: Any, state: Any, is_overdue: Any, due_gte: Any, due_lte: Any, created_gte: Any, created_lte: Any
) -> AssignmentFilters:
    return {
        "content_type": content_type,
        "state": state,
        "is_overdue": is_overdue,
        "due_date_gte": due_gte.isoformat() if due_gte else None,
        "due_date_lte": due_lte.isoformat() if due_lte else None,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }


async def _count(call: Call, selection: Selection, dimensions: list[str], *, managers: bool) -> tuple[Groups, Read]:
    """Counts a selection by dimensions. `managers`: those of all people in it are needed."""
    people = await people_of(call, selection)
    if people is not None or not managers:
        groups = Groups(dimensions, call.today, people)
        return groups, await read_assignments(call, selection, groups.add, groups.restart, people=people)
    if selection.user is not None:
        groups = Groups(dimensions, call.today, People.of([selection.user]))
        return groups, await read_assignments(call, selection, groups.add, groups.restart)
    return await _with_everyone(call, selection, dimensions)


async def _with_everyone(call: Call, selection: Selection, dimensions: list[str]) -> tuple[Groups, Read]:
    """Counts with the managers of whoever occurs: all people are read first, or, where there are fewer assignments than
    pages of people, the people of those assignments after them."""
    everyone = (await call.api.page("list_users", User, page=1, page_size=1)).total_count
    few: list[Assignment] = []
    if await count_of(call, selection) > math.ceil(everyone / PAGE_SIZE):
        people = await read_people(call, {}, tolerant=True)
        groups = Groups(dimensions, call.today, people)
        read = await read_assignments(call, selection, groups.add, groups.restart)
        of = f"managers from {plural(len(people), 'profile')}"
    else:
        people = People()
        groups = Groups(dimensions, call.today, people)
        read = await read_assignments(call, selection, few.append, few.clear)
        await add_missing(call, people, [one.user.public_id for one in few])
        for one in few:
            groups.add(one)
        of = "managers looked up"
    coverage = read.coverage
    if people.coverage is not None:
        coverage = coverage.also(people.coverage, "managers")
    elif any(people.manager_of(one.user.public_id) == NOT_READ for one in few):
        coverage = replace(coverage, complete=False, reason=coverage.reason or "not all managers could be looked up")
    return groups, Read(coverage, f"{read.how}, {of}", None)


def _names_managers(dimensions: list[str]) -> bool:
    """Whether each person's manager is named beside them, being no row of their own."""
    return "user" in dimensions and "manager" not in dimensions


def _row(groups: Groups, group: Group, *, rates: bool, zeros: bool = False) -> dict[str, Any]:
    row = groups.named(group.key)
    if _names_managers(groups.dimensions):
        person = group.key[groups.dimensions.index("user")]
        manager = groups.people.manager_of(person)
        if isinstance(manager, PersonRef):
            row |= {"manager": manager.label, "manager_email": manager.email}
        else:
            row["manager"] = manager or "none"
        profile = groups.people.profiles.get(person)
        if profile is not None and not profile.is_active:
            row["is_active"] = False
    # A rate within one state says nothing: it is all or nothing.
    return {**row, **group.counts.columns(rates=rates and "state" not in groups.dimensions, zeros=zeros)}


def _summary(groups: Groups, read: Read, selection: Selection) -> str:
    totals, coverage = groups.totals, read.coverage
    if totals.total == 0:
        none = "No overdue assignments" if selection.filters.get("is_overdue") else "No assignments"
        return f"{caution(coverage)}{none}{selection.words}{'' if coverage.complete else ' among those'}."
    every = selection.counted(totals.total)
    if selection.filters.get("is_overdue") is not None or selection.filters.get("state") not in (None, *OUTSTANDING):
        said = every
    elif totals.total == 1:
        said = f"{every}, {'overdue' if totals.overdue else 'not overdue'}"
    elif not totals.overdue:
        said = f"None of {every} is overdue"
    else:
        said = f"{totals.overdue:,} of {every} {'is' if totals.overdue == 1 else 'are'} overdue"
        if coverage.complete:
            said += f" ({share(totals.overdue, totals.total)})"
    said = f"{caution(coverage)}{said}{_worst(groups)}."
    if not selection.allows_rates:
        return said
    done = f"{totals.completed:,} completed"
    if coverage.complete and totals.rate is not None:
        done += f", completion rate {percent(totals.completed, totals.counted)}"
    return f"{said} {done}; {totals.outstanding:,} outstanding."


def _worst(groups: Groups) -> str:
    """`, most under “R. Alvarez” (14) and “J. Doe” (9)`; nothing where no group stands out."""
    late = [group for group in groups.top(4) if group.counts.overdue]
    if not late or len(groups) == 1:
        return ""
    if len(late) > 3 and late[0].counts.overdue == late[3].counts.overdue:
        return ""
    labels: list[str] = []
    before = ""
    for key, counts in late[:3]:
        preposition, label = groups.phrase(key)
        said = f"{label} ({counts.overdue:,})"
        labels.append(f"{preposition} {said}".strip() if preposition != before else said)
        before = preposition
    if len(late) == 1:
        return f", all {labels[0].rpartition(' (')[0]}"
    return f", most {listed(labels)}"

"""Who is late, how much is done: assignments counted by person, manager, content, state or month."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.api.walk import PAGE_SIZE, drain
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import User
from pp_mcp.operations.assignments import DueFromArg, DueUntilArg
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
from pp_mcp.reports.aggregate import Counts, Groups
from pp_mcp.reports.answers import ReportAnswer, caution, coverage_answer
from pp_mcp.reports.selection import Read, Selection, people_of, read_assignments
from pp_mcp.text import listed, plural, quoted, share

Dimension = Literal["user", "manager", "content_item", "content_type", "state", "due_month"]
TopArg = Annotated[int, Field(ge=1, le=100, description="Rows; the rest is summed.")]

NEEDS_PROFILES = ("manager", "user")


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
    """Count assignments over all pages: who is overdue by manager, completion rate of a course in a group, progress of a
    team. Outstanding: not started or in progress. Overdue: outstanding past its due date. Completion rate: completed ÷
    (all - dropped - exempted). For single rows use list_assignments; for one person get_learner_summary."""
    selection = Selection(
        user=user,
        manager=manager,
        group=group,
        content_item=content_item,
        filters=_filters(content_type, state, is_overdue, due_date_gte, due_date_lte, created_gte, created_lte),
    )
    dimensions = list(dict.fromkeys(group_by or _natural(selection)))
    groups, read = await count_assignments(call, selection, dimensions, profiles="manager" in dimensions)
    ordered = groups.ordered()
    rates = read.coverage.complete and selection.allows_rates
    rows = [{**groups.named(key), **counts.columns(rates=rates)} for key, counts in ordered[:top]]
    if "user" in dimensions and "manager" not in dimensions:
        await _name_managers(call, read, [key[dimensions.index("user")] for key, _ in ordered[:top]], rows)
    if len(ordered) > top:
        rest = Counts()
        for _, counts in ordered[top:]:
            rest.merge(counts)
        rows.append({dimensions[0]: f"({len(ordered) - top:,} more)", **rest.columns(rates=rates)})
    return ReportAnswer(
        summary=_summary(groups, read, selection, dimensions),
        rows=rows,
        totals={**groups.totals.columns(rates=rates), "by_state": groups.totals.states()},
        coverage=coverage_answer(read.coverage, read.how),
    )


async def all_assignment_rows(call: Call, values: dict[str, Any]) -> tuple[list[dict[str, Any]], Read]:
    """Every row of the report that these arguments ask for, with each person's manager named; for the CSV."""
    asked = {name: values[name] for name in ("user", "manager", "group", "content_item")}
    names = ("content_type", "state", "is_overdue", "due_date_gte", "due_date_lte", "created_gte", "created_lte")
    selection = Selection(**asked, filters=_filters(*(values[name] for name in names)))
    dimensions: list[str] = list(dict.fromkeys(values["group_by"] or _natural(selection)))
    groups, read = await count_assignments(
        call, selection, dimensions, profiles=any(name in dimensions for name in NEEDS_PROFILES)
    )
    rates = read.coverage.complete and selection.allows_rates
    rows: list[dict[str, Any]] = []
    for key, counts in groups.ordered():
        row = groups.named(key)
        if "user" in dimensions and "manager" not in dimensions:
            row |= manager_columns(groups.profiles.get(key[dimensions.index("user")]))
        rows.append({**row, **counts.columns(rates=rates, zeros=True)})
    return rows, read


async def count_assignments(
    call: Call, selection: Selection, dimensions: list[str], *, profiles: bool
) -> tuple[Groups, Read]:
    """Counts a selection by dimensions. `profiles`: people's managers are needed, so people are read first."""
    known: dict[str, User] = {}
    if profiles:
        people = await people_of(call, selection)
        if people is None and selection.user is not None:
            people = {selection.user.public_id: selection.user}
        if people is None:
            people = {one.public_id: one for one in await drain(call.api, "list_users", User)}
        known = people
    groups = Groups(dimensions, known)
    read = await read_assignments(call, selection, groups.add, groups.restart)
    return groups, read


def _filters(
    content_type: Any, state: Any, is_overdue: Any, due_gte: Any, due_lte: Any, created_gte: Any, created_lte: Any
) -> dict[str, str | bool | None]:
    return {
        "content_type": content_type,
        "state": state,
        "is_overdue": is_overdue,
        "due_date_gte": due_gte.isoformat() if due_gte else None,
        "due_date_lte": due_lte.isoformat() if due_lte else None,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }


def _natural(selection: Selection) -> list[Dimension]:
    """What to group by where nothing is said: what the selection leaves open."""
    if selection.content_item is None:
        return ["content_item"]
    return ["user"] if selection.group or selection.manager or selection.user else ["manager"]


async def _name_managers(call: Call, read: Read, people: list[str], rows: list[dict[str, Any]]) -> None:
    """Puts each shown person's manager into the row: from the people read anyway, else the cheaper of looking up each
    and reading all."""
    profiles = dict(read.people or {})
    missing = [one for one in people if one not in profiles]
    if missing:
        first = await call.api.page("list_users", User, page_size=PAGE_SIZE)
        profiles |= {one.public_id: one for one in first.items}
        missing = [one for one in missing if one not in profiles]
        if missing and first.total_pages <= len(missing):
            profiles |= {one.public_id: one for one in await drain(call.api, "list_users", User)}
        else:
            for one in missing:
                profiles[one] = await call.api.one("get_user", User, one)
    for row, person in zip(rows, people, strict=False):
        row |= manager_columns(profiles.get(person))


def manager_columns(profile: User | None) -> dict[str, Any]:
    """A person's manager as columns; "none" where there is none."""
    if profile is None or profile.manager is None:
        return {"manager": "none"}
    return {"manager": profile.manager.name, "manager_email": profile.manager.email}


def _summary(groups: Groups, read: Read, selection: Selection, dimensions: list[str]) -> str:
    totals = groups.totals
    if totals.total == 0:
        kind = "overdue assignments" if selection.filters.get("is_overdue") else "assignments"
        return f"{caution(read.coverage)}No {kind}{selection.words}."
    said = caution(read.coverage)
    if selection.filters.get("is_overdue"):
        said += f"{plural(totals.total, 'overdue assignment')}{selection.words}"
    else:
        said += f"{totals.overdue:,} of {plural(totals.total, 'assignment')}{selection.words}"
        said += f" {'is' if totals.overdue == 1 else 'are'} overdue"
        if read.coverage.complete:
            said += f" ({share(totals.overdue, totals.total)})"
    worst = [
        f"{_label(groups, dimensions, key)} ({counts.overdue:,})"
        for key, counts in groups.ordered()[:3]
        if counts.overdue
    ]
    if worst and len(groups.groups) > 1:
        said += f", most {'under' if dimensions[0] == 'manager' else 'for'} {listed(worst)}"
    if not selection.allows_rates:
        return f"{said}."
    done = f"{totals.completed:,} completed"
    if read.coverage.complete and totals.rate is not None:
        done += f", completion rate {totals.rate:.1%}".replace("%", " %")
    return f"{said}. {done}; {totals.outstanding:,} outstanding."


def _label(groups: Groups, dimensions: list[str], key: tuple[str, ...]) -> str:
    named = groups.named(key)
    return " / ".join(quoted(str(named[dimension]), 60) for dimension in dimensions)

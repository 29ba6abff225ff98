"""Who is late, how much is done: assignments counted by person, manager, content, state or month."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.operations import params
from pp_mcp.operations.assignments import (
    OUTSTANDING,
    CompletedFromArg,
    CompletedUntilArg,
    CompletedWithin,
    DueFromArg,
    DueUntilArg,
)
from pp_mcp.reports.answers import EVERY, Found, ReportAnswer, TopArg, caution, percent
from pp_mcp.reports.counting import STATES, Bucket, Figures, base, outstanding
from pp_mcp.reports.joining import Joined
from pp_mcp.reports.missing import who_is_missing
from pp_mcp.reports.reading import Read
from pp_mcp.reports.selection import Selection
from pp_mcp.text import listed, plural, share

Dimension = Literal["user", "manager", "content_item", "content_type", "state", "due_month"]


@operation(
    toolset="reports",
    title="Report on training progress",
    effect=Effect.READ,
    csv="reports/assignments",
    columns="for each of group_by its name, and user_email, manager_email or content_item_id; of a user also manager, "
    "manager_email and is_active (true or false), and completed_all where several content items were asked for; then "
    "total, people (distinct), completed, outstanding, overdue, in_progress, dropped, exempted, other, inactive "
    "(assignments of deactivated people), average_progress (0 to 1, of what is outstanding) and completion_rate (0 to "
    "1). Where PlusPlus counted, as it does for large reports that name no people: without people, inactive and "
    "average_progress. With missing=true: user, user_email, manager, manager_email, is_active, missing (content "
    "items).",
)
async def report_assignments(
    call: Call,
    group_by: Annotated[list[Dimension], Field(description="One row for each.", min_length=1, max_length=3)]
    | None = None,
    user: params.SomeUsersArg | None = None,
    manager: params.ManagerArg | None = None,
    group: params.GroupArg | None = None,
    content_item: params.SomeItemsArg | None = None,
    content_type: params.ContentTypeArg | None = None,
    state: params.StateArg | None = None,
    is_overdue: params.OverdueArg | None = None,
    is_active: params.ActiveFilterArg | None = None,
    due_date_gte: DueFromArg | None = None,
    due_date_lte: DueUntilArg | None = None,
    created_gte: params.FromArg | None = None,
    created_lte: params.UntilArg | None = None,
    completed_gte: CompletedFromArg | None = None,
    completed_lte: CompletedUntilArg | None = None,
    missing: Annotated[
        bool, Field(description="true: who of a user, manager or group was never assigned content_item.")
    ]
    | None = None,
    top: TopArg = 15,
) -> ReportAnswer:
    """Count training progress: completion (compliance) rate or percentage of a course, team or group, which managers
    have most overdue, done and open by month, who never got it (missing). Overdue: outstanding (not started or in
    progress) past its due date. Rate: completed ÷ (all - dropped - exempted). For single rows use list_assignments."""
    filters = {
        "content_type": content_type,
        "state": state,
        "is_overdue": is_overdue,
        "due_date_gte": due_date_gte.isoformat() if due_date_gte else None,
        "due_date_lte": due_date_lte.isoformat() if due_date_lte else None,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }
    completed = CompletedWithin(completed_gte, completed_lte)
    selection = Selection(user, manager, group, content_item, filters, is_active, completed)
    if missing:
        _check_missing(selection, group_by)
        return await who_is_missing(call, selection, top)
    joined = Joined(call, selection, list(dict.fromkeys(group_by or _open(selection))))
    read = await joined.read(everyone=joined.needs_managers or (joined.names_managers and top == EVERY))
    if joined.names_managers and top != EVERY:
        await joined.look_up_managers(top)
    totals = joined.counting.totals
    knows = joined.knows_who_is_active
    figures = Figures(read.coverage.complete, selection.allows_rates, knows, progress=not joined.was_counted)
    # A rate within one state says nothing: it is all or nothing.
    of_rest = replace(figures, rates=figures.rates and "state" not in joined.dimensions)
    of_rows = replace(of_rest, by_person="user" in joined.dimensions)

    def row(bucket: Bucket, whole: bool) -> dict[str, Any]:
        return {**joined.labels(bucket.key, whole=whole), **of_rows.of(bucket.counts, whole=whole)}

    by_state = {state: totals[state] for state in (*STATES, "other") if totals[state]}
    done_all = {"completed_all": joined.completed_all} if joined.tells_completed_all else {}
    return Found(
        counting=joined.counting,
        row=row,
        figures=of_rest.of,
        header=[*joined.header(), *of_rows.of(totals, whole=True)],
        coverage=read.coverage,
        how=read.how,
        things=_THINGS[joined.dimensions[0]] if len(joined.dimensions) == 1 else "combinations",
        narrow=_narrower(selection),
        fixed=joined.fixed(),
    ).answer(
        top,
        summary=_summary(joined, read, totals),
        totals={**figures.of(totals), **done_all, "by_state": by_state},
    )


_THINGS = {
    "user": "people",
    "manager": "managers",
    "content_item": "content items",
    "content_type": "types",
    "state": "states",
    "due_month": "months",
}


def _open(selection: Selection) -> list[Dimension]:
    """What to group by where nothing is said: what the selection leaves open."""
    if not selection.content_item:
        return ["content_item"]
    if selection.group or selection.manager or selection.user:
        return ["user"]
    return ["manager"] if len(selection.items) == 1 else ["content_item"]


def _narrower(selection: Selection) -> list[str]:
    """The arguments that are not given and would leave out most."""
    given = {
        "manager": selection.manager,
        "group": selection.group,
        "content_item": selection.content_item,
        "user": selection.user,
        "is_overdue": selection.filters.get("is_overdue"),
        "content_type": selection.filters.get("content_type"),
        "state": selection.filters.get("state"),
    }
    return [name for name, value in given.items() if value is None][:4]


def _check_missing(selection: Selection, group_by: list[Dimension] | None) -> None:
    """Raises InvalidArgument where nobody can be told to lack something by these arguments."""
    others = [name for name, value in selection.filters.items() if value is not None]
    others += [f"completed_{end}" for end in ("gte", "lte") if getattr(selection.completed, end) is not None]
    others += ["group_by"] if group_by not in (None, ["user"]) else []
    problems: dict[str, list[str]] = {name: ["not with missing=true"] for name in others}
    if not selection.content_item:
        problems["content_item"] = ["is required with missing=true: who lacks what?"]
    if not (selection.user or selection.manager or selection.group):
        problems["group"] = ["missing=true needs one of group, manager and user: who should have it?"]
    if problems:
        said = listed([f"{name}: {words[0]}" for name, words in problems.items()], 8)
        raise InvalidArgument(f"report_assignments: {said}. Nothing was read.", field_errors=problems)


def _summary(joined: Joined, read: Read, totals: Counter[str]) -> str:
    selection, coverage = joined.selection, read.coverage
    total, overdue = totals["total"], totals["overdue"]
    if not total:
        none = "No overdue assignments" if selection.filters.get("is_overdue") else "No assignments"
        return f"{caution(coverage)}{none}{selection.words}{'' if coverage.complete else ' among those'}."
    every = selection.counted(total)
    if (
        selection.completed.is_given
        or selection.filters.get("is_overdue") is not None
        or selection.filters.get("state") not in (None, *OUTSTANDING)
    ):
        said = every
    elif total == 1:
        said = f"{every}, {'overdue' if overdue else 'not overdue'}"
    elif not overdue:
        said = f"None of {every} is overdue"
    else:
        said = f"{overdue:,} of {every} {'is' if overdue == 1 else 'are'} overdue"
        if coverage.complete:
            said += f" ({share(overdue, total)})"
    said = f"{caution(coverage)}{said}{joined.worst()}."
    if joined.tells_completed_all:
        people = plural(totals["people"], "person", "people")
        said += f" {joined.completed_all:,} of {people} completed all {len(selection.items)}."
    if not selection.allows_rates:
        return said
    done = f"{totals['completed']:,} completed"
    if coverage.complete and base(totals):
        done += f", completion rate {percent(totals['completed'], base(totals))}"
    return f"{said} {done}; {outstanding(totals):,} outstanding."

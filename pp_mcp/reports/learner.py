"""One person's plate: what is to do, what is late, what was done lately."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from pp_mcp.answers import Answer, UserRow, marked, rows_of
from pp_mcp.api.walk import walk
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import AssignmentFacts
from pp_mcp.operations.assignments import OUTSTANDING
from pp_mcp.operations.params import UserArg
from pp_mcp.reports.answers import LONGEST_NAME, CoverageAnswer, caution, coverage_answer
from pp_mcp.reports.counting import Figures, counted, is_late, outstanding
from pp_mcp.text import listed, neutralise, person, plural, quoted, word

LATELY = 30
"""Days."""

SHOWN = 8
"""Rows of each list."""


class LearnerAnswer(Answer):
    """One person's learning at a glance."""

    user: UserRow
    totals: dict[str, Any]
    overdue: list[dict[str, Any]]
    next_due: list[dict[str, Any]]
    completed_lately: list[dict[str, Any]]
    coverage: CoverageAnswer


@operation(toolset="reports", title="Summarise one person's training", effect=Effect.READ)
async def get_learner_summary(call: Call, user: UserArg) -> LearnerAnswer:
    """Show what is on one person's plate (list) and where they stand: is everything done, what is still open or
    overdue, next deadlines, what they completed in the last 30 days. For all rows use list_assignments; for a team
    report_assignments."""
    rows: list[AssignmentFacts] = []
    coverage = await walk(
        call.api, "list_assignments", AssignmentFacts, rows.append, rows.clear, filters={"user": user.public_id}
    )
    counts = Counter[str]()
    for row in rows:
        counts.update(dict(counted(row, call.today)))
    to_do = sorted(
        (row for row in rows if row.state in OUTSTANDING), key=lambda row: (row.due_date or "9999", row.public_id)
    )
    late = [row for row in to_do if is_late(row, call.today)]
    coming = [row for row in to_do if row not in late]
    since = (call.today - timedelta(days=LATELY)).isoformat()
    done = sorted(
        (row for row in rows if row.state == "completed" and (row.completed_datetime or "")[:10] >= since),
        key=lambda row: (row.completed_datetime or "", row.public_id),
        reverse=True,
    )
    inactive = " (inactive)" if user.is_active is False else ""
    said = f"{caution(coverage)}{person(user.name, user.email)}{inactive}: "
    if rows:
        said += f"{outstanding(counts):,} outstanding, {counts['overdue']:,} of them overdue; "
        said += f"{counts['completed']:,} completed ({len(done):,} in the last {LATELY} days)."
    else:
        said += f"no assignments{'' if coverage.complete else ' among those'}."
    if late:
        first = [f"{quoted(row.content_item.name)} (due {word(row.due_date)})" for row in late]
        said += f" Late: {listed(first, 3)}."
    upcoming = next((row for row in coming if row.due_date), None)
    if upcoming is not None:
        said += f" Next: {quoted(upcoming.content_item.name)}, due {word(upcoming.due_date)}."
    return LearnerAnswer(
        summary=said,
        user=rows_of(UserRow, [user], "concise")[0],
        totals=Figures(complete=coverage.complete, rates=True).of(counts),
        overdue=[_row(row) for row in late[:SHOWN]],
        next_due=[_row(row) for row in coming[:SHOWN]],
        completed_lately=[_row(row) for row in done[:SHOWN]],
        coverage=coverage_answer(coverage, plural(coverage.rows_read, "assignment") + " of this person"),
    )


def _row(assignment: AssignmentFacts) -> dict[str, Any]:
    row: dict[str, Any] = {
        "assignment": assignment.public_id,
        "content_item": neutralise(assignment.content_item.name, LONGEST_NAME),
        "content_type": assignment.content_item.content_type,
        "state": assignment.state,
        "due_date": assignment.due_date,
        "progress": assignment.progress if assignment.state == "in_progress" else None,
        "completed": (assignment.completed_datetime or "")[:10] or None,
    }
    return marked({name: value for name, value in row.items() if value is not None})

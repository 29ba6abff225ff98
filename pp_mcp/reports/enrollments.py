"""Attendance: who came, who did not, who waits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.api.walk import Coverage, walk
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Enrollment
from pp_mcp.operations.lists import scope_of
from pp_mcp.operations.params import EventArg, FromArg, UntilArg, UserArg
from pp_mcp.reports.answers import ReportAnswer, caution, coverage_answer
from pp_mcp.reports.assignments import TopArg
from pp_mcp.reports.selection import WORKERS, progress_of
from pp_mcp.text import listed, person, plural, quoted, word

Dimension = Literal["event", "status", "attendance_method", "user"]

NAMES_KEPT = 200
"""No-shows whose names are kept for the summary; counts need none."""


@operation(toolset="reports", title="Report on attendance", effect=Effect.READ)
async def report_enrollments(
    call: Call,
    event: EventArg | None = None,
    user: UserArg | None = None,
    created_gte: FromArg | None = None,
    created_lte: UntilArg | None = None,
    group_by: Annotated[list[Dimension], Field(description="A row for each.", min_length=1, max_length=3)]
    | None = None,
    top: TopArg = 15,
) -> ReportAnswer:
    """Count enrollments over all pages: attendance, no-shows and waiting lists of events and workshops. No-show: not checked
    in when self check-in closed. No-show rate: no-shows ÷ (checked in + no-shows). For single rows use list_enrollments."""
    dimensions: list[str] = list(dict.fromkeys(group_by or (["user"] if event else ["event"])))
    filters: dict[str, str | None] = {
        "event": event.public_id if event else None,
        "user": user.public_id if user else None,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }
    attendance, coverage = await count_enrollments(call, dimensions, filters)
    ordered = attendance.ordered()
    rows = [attendance.row(key, rates=coverage.complete) for key in ordered[:top]]
    if len(ordered) > top:
        rest: Counter[str] = Counter()
        for key in ordered[top:]:
            rest.update(attendance.groups[key])
        rows.append({dimensions[0]: f"({len(ordered) - top:,} more)", **columns(rest, rates=coverage.complete)})
    scope = scope_of(in_=event.name if event else None, of=user.name if user else None)
    return ReportAnswer(
        summary=_summary(attendance, coverage, scope),
        rows=rows,
        totals=columns(attendance.totals, rates=coverage.complete),
        coverage=coverage_answer(coverage, f"one pass over {plural(coverage.rows_read, 'enrollment')}"),
    )


@dataclass
class Attendance:
    """Enrollments counted by dimensions."""

    dimensions: list[str]
    totals: Counter[str] = field(default_factory=Counter[str])
    groups: dict[tuple[str, ...], Counter[str]] = field(default_factory=dict[tuple[str, ...], Counter[str]])
    names: dict[str, str] = field(default_factory=dict[str, str])
    emails: dict[str, str] = field(default_factory=dict[str, str])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """People who did not come: how a sentence names them."""

    def take(self, enrollment: Enrollment) -> None:
        """Counts one enrollment."""
        status = enrollment.status or "unknown"
        self.totals[status] += 1
        key = tuple(self._value(dimension, enrollment) for dimension in self.dimensions)
        self.groups.setdefault(key, Counter())[status] += 1
        if status == "no_show" and len(self.missing) < NAMES_KEPT:
            self.missing[enrollment.user.public_id] = person(enrollment.user.name, enrollment.user.email)

    def restart(self) -> None:
        """Forgets what was counted."""
        self.totals.clear()
        self.groups.clear()
        self.missing.clear()

    def _value(self, dimension: str, enrollment: Enrollment) -> str:
        if dimension == "event":
            self.names[enrollment.event.public_id] = enrollment.event.name
            return enrollment.event.public_id
        if dimension == "user":
            self.names[enrollment.user.public_id] = enrollment.user.name
            self.emails[enrollment.user.public_id] = enrollment.user.email or ""
            return enrollment.user.public_id
        return (enrollment.status if dimension == "status" else enrollment.attendance_method) or "none"

    def ordered(self) -> list[tuple[str, ...]]:
        """Most no-shows first, then the largest."""
        return sorted(self.groups, key=lambda key: (-self.groups[key]["no_show"], -sum(self.groups[key].values()), key))

    def row(self, key: tuple[str, ...], *, rates: bool) -> dict[str, Any]:
        """A group as a row."""
        row: dict[str, Any] = {}
        for dimension, value in zip(self.dimensions, key, strict=True):
            row[dimension] = self.names.get(value, value) if dimension in ("event", "user") else value
            if dimension == "event":
                row["event_id"] = value
            elif dimension == "user":
                row["email"] = self.emails.get(value)
        return {**row, **columns(self.groups[key], rates=rates)}


def columns(counts: Counter[str], *, rates: bool) -> dict[str, Any]:
    """Counts by status, the total, and the no-show rate where everything was read and somebody was expected."""
    shown: dict[str, Any] = {"total": sum(counts.values()), **{name: counts[name] for name in sorted(counts)}}
    expected = counts["checked_in"] + counts["no_show"]
    if rates and expected:
        shown["no_show_rate"] = round(counts["no_show"] / expected, 3)
    return shown


async def count_enrollments(
    call: Call, dimensions: list[str], filters: dict[str, str | None]
) -> tuple[Attendance, Coverage]:
    """Reads the enrollments and counts them by dimensions."""
    attendance = Attendance(dimensions)
    coverage = await walk(
        call.api,
        "list_enrollments",
        Enrollment,
        attendance.take,
        attendance.restart,
        filters=filters,
        workers=WORKERS,
        progress=progress_of(call),
    )
    return attendance, coverage


def _summary(attendance: Attendance, coverage: Coverage, scope: str) -> str:
    totals = attendance.totals
    total = sum(totals.values())
    if not total:
        return f"{caution(coverage)}No enrollments{scope}."
    said = f"{caution(coverage)}{plural(total, 'enrollment')}{scope}: "
    said += listed(
        [f"{count:,} {word(name)}" for name, count in totals.most_common()], 7
    )
    expected = totals["checked_in"] + totals["no_show"]
    if coverage.complete and expected:
        said += f". No-show rate {totals['no_show'] / expected:.1%}".replace("%", " %")
    if attendance.missing:
        said += f". Did not come: {listed(sorted(attendance.missing.values()), 5)}"
    return said + "."

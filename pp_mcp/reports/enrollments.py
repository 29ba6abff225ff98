"""Attendance: who came, who did not, who waits."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.answers import scope_of
from pp_mcp.api.walk import Coverage, walk
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Enrollment
from pp_mcp.operations.params import EventArg, FromArg, UntilArg, UserArg
from pp_mcp.reports.answers import ReportAnswer, Table, TopArg, caution, coverage_answer, first_rows, percent
from pp_mcp.text import listed, person, plural, word

Dimension = Literal["event", "status", "attendance_method", "user"]
Key = tuple[str, ...]

_STATUSES = ("enrolled", "waitlisted", "checked_in", "no_show", "dropped", "cancelled")


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
    """Count enrollments over all pages: attendance, no-shows and waiting lists of events and workshops. No-show: not
    checked in when self check-in closed. No-show rate: no-shows ÷ (checked in + no-shows). For single rows use
    list_enrollments."""
    values = {"event": event, "user": user, "created_gte": created_gte, "created_lte": created_lte}
    attendance, coverage = await _count(call, {**values, "group_by": group_by})
    ordered = attendance.ordered()
    rates = coverage.complete
    rows = first_rows([attendance.row(key, rates=rates) for key in ordered[:top]], top)
    if len(ordered) > len(rows):
        rest: Counter[str] = Counter()
        for key in ordered[len(rows) :]:
            rest.update(attendance.groups[key])
        name = f"({len(ordered) - len(rows):,} more)"
        rows.append({attendance.dimensions[0]: name, **_columns(rest, rates=rates and attendance.allows_rates)})
    scope = scope_of(in_=event.name if event else None, of=user.name if user else None)
    return ReportAnswer(
        summary=_summary(attendance, coverage, scope),
        rows=rows,
        totals=_columns(attendance.totals, rates=rates),
        coverage=coverage_answer(coverage, f"one pass over {plural(coverage.rows_read, 'enrollment')}"),
    )


async def enrollment_table(call: Call, values: dict[str, Any]) -> Table:
    """Every row of the report that these arguments ask for; for the CSV."""
    attendance, coverage = await _count(call, values)
    header = [column for name in attendance.dimensions for column in _NAMED.get(name, (name,))]
    header += ["total", *_STATUSES, *(["no_show_rate"] if attendance.allows_rates else [])]
    zeros = dict.fromkeys(_STATUSES, 0)
    rows = (zeros | attendance.row(key, rates=True) for key in attendance.ordered())
    return Table(header, rows, coverage)


_NAMED = {"event": ("event", "event_id"), "user": ("user", "email")}
"""What a dimension's value takes in a row, where that is not just its name."""


class Attendance:
    """Enrollments counted by dimensions."""

    def __init__(self, dimensions: list[str]) -> None:
        self.dimensions = dimensions
        self.totals: Counter[str] = Counter()
        self.groups: dict[Key, Counter[str]] = {}
        self.missed: Counter[str] = Counter()
        """How often people did not come, by their id."""
        self._names: dict[str, tuple[str, str | None]] = {}

    @property
    def allows_rates(self) -> bool:
        """Whether a row's no-show rate means anything: within one status it does not."""
        return "status" not in self.dimensions

    def take(self, enrollment: Enrollment) -> None:
        """Counts one enrollment."""
        status = enrollment.status or "unknown"
        self.totals[status] += 1
        key = tuple(self._value(dimension, enrollment) for dimension in self.dimensions)
        self.groups.setdefault(key, Counter())[status] += 1
        if status == "no_show":
            self.missed[self._person(enrollment)] += 1

    def restart(self) -> None:
        """Forgets what was counted."""
        self.totals.clear()
        self.groups.clear()
        self.missed.clear()

    def _person(self, enrollment: Enrollment) -> str:
        user = enrollment.user
        self._names.setdefault(user.public_id, (user.label, user.email))
        return user.public_id

    def _value(self, dimension: str, enrollment: Enrollment) -> str:
        match dimension:
            case "event":
                self._names.setdefault(enrollment.event.public_id, (enrollment.event.label, None))
                return enrollment.event.public_id
            case "user":
                return self._person(enrollment)
            case "status":
                return enrollment.status or "unknown"
            case _:
                return enrollment.attendance_method or "none"

    def ordered(self) -> list[Key]:
        """Most no-shows first, then the largest."""
        return sorted(self.groups, key=lambda key: (-self.groups[key]["no_show"], -self.groups[key].total(), key))

    def row(self, key: Key, *, rates: bool) -> dict[str, Any]:
        """A group as a row."""
        row: dict[str, Any] = {}
        for dimension, value in zip(self.dimensions, key, strict=True):
            name, email = self._names[value] if dimension in _NAMED else (value, None)
            row[dimension] = name
            if dimension == "event":
                row["event_id"] = value
            elif dimension == "user":
                row["email"] = email
        # Twice: the row's own fields come first, and no status of a tenant's own making covers them.
        return {**row, **_columns(self.groups[key], rates=rates and self.allows_rates), **row}

    def missing(self, most: int = 5) -> str:
        """Who did not come, the most absent first."""
        worst = sorted(self.missed, key=lambda one: (-self.missed[one], *map(str, self._names[one])))
        words = [
            person(*self._names[one]) + (f" {self.missed[one]:,} times" if self.missed[one] > 1 else "")
            for one in worst
        ]
        return listed(words, most)


def _columns(counts: Counter[str], *, rates: bool) -> dict[str, Any]:
    """Counts by status, the total, and the no-show rate where it means something and somebody was expected."""
    shown: dict[str, Any] = {"total": 0, **{name: counts[name] for name in sorted(counts)}}
    shown["total"] = counts.total()
    expected = counts["checked_in"] + counts["no_show"]
    if rates and expected:
        shown["no_show_rate"] = round(counts["no_show"] / expected, 3)
    return shown


async def _count(call: Call, values: dict[str, Any]) -> tuple[Attendance, Coverage]:
    """Reads the enrollments that a call's arguments ask for and counts them."""
    event, user = values["event"], values["user"]
    filters: dict[str, str | None] = {
        "event": event.public_id if event else None,
        "user": user.public_id if user else None,
        "created_gte": values["created_gte"],
        "created_lte": values["created_lte"],
    }
    attendance = Attendance(list(dict.fromkeys(values["group_by"] or (["user"] if event else ["event"]))))
    coverage = await walk(
        call.api,
        "list_enrollments",
        Enrollment,
        attendance.take,
        attendance.restart,
        filters=filters,
        progress=call.rows_read,
    )
    return attendance, coverage


def _summary(attendance: Attendance, coverage: Coverage, scope: str) -> str:
    totals = attendance.totals
    if not totals:
        return f"{caution(coverage)}No enrollments{scope}{'' if coverage.complete else ' among those'}."
    by_status = [f"{count:,} {word(name).replace('_', ' ')}" for name, count in totals.most_common()]
    said = f"{caution(coverage)}{plural(totals.total(), 'enrollment')}{scope}: {listed(by_status, 7)}"
    expected = totals["checked_in"] + totals["no_show"]
    if coverage.complete and expected:
        said += f". No-show rate {percent(totals['no_show'], expected)}"
    if attendance.missed:
        said += f". Did not come: {attendance.missing()}"
    return said + "."

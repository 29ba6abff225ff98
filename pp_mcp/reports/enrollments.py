"""Attendance: who came, who did not, who waits."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.answers import scope_of
from pp_mcp.api.walk import Coverage
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Enrollment
from pp_mcp.operations.params import EventArg, FromArg, UntilArg, UserArg
from pp_mcp.reports.answers import Found, ReportAnswer, TopArg, caution, percent
from pp_mcp.reports.counting import PEOPLE, Bucket, Counting, Label
from pp_mcp.reports.reading import read_all
from pp_mcp.text import listed, person, plural, word

Dimension = Literal["event", "status", "attendance_method", "user"]

_BESIDE = {"event": "event_id", "user": "email"}
"""What a row has beside the name of a dimension's value."""

_STATUSES = ("enrolled", "waitlisted", "checked_in", "no_show", "dropped", "cancelled")


@operation(
    toolset="reports",
    title="Report on attendance",
    effect=Effect.READ,
    csv="reports/enrollments",
    columns="for each of group_by its name, and event_id or email; then total, people (distinct), a column for each "
    "status (enrolled, waitlisted, checked_in, no_show, dropped, cancelled) and no_show_rate (0 to 1).",
)
async def report_enrollments(
    call: Call,
    event: EventArg | None = None,
    user: UserArg | None = None,
    created_gte: FromArg | None = None,
    created_lte: UntilArg | None = None,
    group_by: Annotated[list[Dimension], Field(description="One row for each.", min_length=1, max_length=3)]
    | None = None,
    top: TopArg = 15,
) -> ReportAnswer:
    """Count attendance (turnout) of events, workshops and classes: how many came, no-shows, waiting lists, by event or
    person. No-show: not checked in when self check-in closed. No-show rate: no-shows ÷ (checked in + no-shows). For
    single rows use list_enrollments."""
    dimensions = list(dict.fromkeys(group_by or (["user"] if event else ["event"])))
    attendance = _Attendance(dimensions)
    filters = {
        "event": event.public_id if event else None,
        "user": user.public_id if user else None,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }
    coverage = await read_all(call, "list_enrollments", Enrollment, attendance.take, attendance.restart, filters)
    # Within one status a rate says nothing.
    rates = coverage.complete and "status" not in dimensions
    counting = attendance.counting
    header = [
        *counting.header(),
        "total",
        PEOPLE,
        *_STATUSES,
        *(["no_show_rate"] if "status" not in dimensions else []),
    ]

    def row(bucket: Bucket, whole: bool) -> dict[str, Any]:
        labels = counting.labels(bucket.key)
        zeros = dict.fromkeys(_STATUSES, 0) if whole else {}
        # Twice: the row's own fields come first, and no status of a tenant's own making covers them.
        shown = {**labels, **zeros, **_figures(bucket.counts, rates=rates), **labels}
        if "user" in dimensions and not whole:
            del shown[PEOPLE]
        return shown

    given = {"event": event, "user": user}
    found = Found(
        counting=counting,
        row=row,
        figures=lambda counts: _figures(counts, rates=rates),
        header=header,
        coverage=coverage,
        how=f"one pass over {plural(coverage.rows_read, 'enrollment')}",
        things=_THINGS[dimensions[0]] if len(dimensions) == 1 else "combinations",
        narrow=[
            name for name, given in {"event": event, "user": user, "created_gte": created_gte}.items() if not given
        ],
        fixed=_fixed(dimensions, given),
    )
    scope = scope_of(in_=event.name if event else None, of=user.name if user else None)
    return found.answer(
        top,
        summary=_summary(attendance, coverage, scope),
        totals=_figures(counting.totals, rates=coverage.complete),
    )


_THINGS = {"event": "events", "status": "statuses", "attendance_method": "ways to attend", "user": "people"}


def _fixed(dimensions: list[str], given: dict[str, Any]) -> frozenset[str]:
    """The columns that hold what the filters say already; none where nothing else would name a row."""
    names = {name for name, value in given.items() if value is not None}
    return frozenset() if names >= set(dimensions) else frozenset(names | {_BESIDE[name] for name in names})


class _Attendance:
    """Enrollments counted by dimensions, and who did not come."""

    def __init__(self, dimensions: list[str]) -> None:
        self.counting = Counting({name: _BESIDE.get(name) for name in dimensions}, ("no_show", "total"))
        self.missed: Counter[str] = Counter()
        """How often people did not come, by their id."""

    def take(self, enrollment: Enrollment) -> None:
        """Counts one enrollment."""
        status = enrollment.status or "unknown"
        user, event = enrollment.user, enrollment.event
        values = {
            "user": self.counting.named(Label(user.public_id, user.label, user.email)),
            "event": self.counting.named(Label(event.public_id, event.label)),
            "status": status,
            "attendance_method": enrollment.attendance_method or "none",
        }
        # A tenant may have a status called "total" or "people".
        counted = (("total", 1), (status, int(status not in ("total", PEOPLE))))
        self.counting.add((values[name] for name in self.counting.dimensions), counted, user.public_id)
        if status == "no_show":
            self.missed[user.public_id] += 1

    def restart(self) -> None:
        """Forgets what was counted."""
        self.counting.restart()
        self.missed.clear()

    def absent(self) -> str:
        """Who did not come, the most absent first."""
        names = self.counting.names
        worst = sorted(self.missed, key=lambda one: (-self.missed[one], names[one].name, str(names[one].email)))
        times = {one: f" {count:,} times" if count > 1 else "" for one, count in self.missed.items()}
        return listed([person(names[one].name, names[one].email) + times[one] for one in worst])


def _figures(counts: Counter[str], *, rates: bool) -> dict[str, Any]:
    """Counts by status, the total, and the no-show rate where it means something and somebody was expected."""
    shown: dict[str, Any] = {"total": counts["total"], PEOPLE: counts[PEOPLE]}
    shown |= {name: counts[name] for name in sorted(counts) if counts[name]}
    expected = counts["checked_in"] + counts["no_show"]
    if rates and expected:
        shown["no_show_rate"] = round(counts["no_show"] / expected, 3)
    return shown


def _summary(attendance: _Attendance, coverage: Coverage, scope: str) -> str:
    totals = attendance.counting.totals
    if not totals["total"]:
        return f"{caution(coverage)}No enrollments{scope}{'' if coverage.complete else ' among those'}."
    counts = [(name, count) for name, count in totals.most_common() if count and name not in ("total", PEOPLE)]
    by_status = [f"{count:,} {word(name).replace('_', ' ')}" for name, count in counts]
    said = f"{caution(coverage)}{plural(totals['total'], 'enrollment')}{scope}: {listed(by_status, 7)}"
    expected = totals["checked_in"] + totals["no_show"]
    if coverage.complete and expected:
        said += f". No-show rate {percent(totals['no_show'], expected)}"
    if attendance.missed:
        said += f". Did not come: {attendance.absent()}"
    return said + "."

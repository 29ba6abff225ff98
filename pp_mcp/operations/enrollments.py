"""Enrollments: who is at which event. The API reads them; enrolling and checking in stay in PlusPlus."""

from __future__ import annotations

from pp_mcp.answers import EnrollmentRow, ListAnswer, enrollment_row, list_answer, scope_of, tally
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Enrollment
from pp_mcp.operations.params import (
    AttendanceArg,
    DetailArg,
    EnrollmentStatusArg,
    EventArg,
    FromArg,
    PageArg,
    PageSizeArg,
    UntilArg,
    UserArg,
)


@operation(
    toolset="enrollments", title="List enrollments", effect=Effect.READ, csv="lists/enrollments", record=Enrollment
)
async def list_enrollments(
    call: Call,
    user: UserArg | None = None,
    event: EventArg | None = None,
    status: EnrollmentStatusArg | None = None,
    attendance_method: AttendanceArg | None = None,
    created_gte: FromArg | None = None,
    created_lte: UntilArg | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[EnrollmentRow]:
    """Show who is enrolled in, on the waiting list of, checked in to or missing from (no-show) an event or workshop, a
    page at a time. For attendance figures over all pages use report_enrollments. Read only: enrolling and check-in are
    done in PlusPlus."""
    found = await call.api.page(
        "list_enrollments",
        Enrollment,
        page=page,
        page_size=page_size,
        user=user.public_id if user else None,
        event=event.public_id if event else None,
        status=status,
        attendance_method=attendance_method,
        created_gte=created_gte,
        created_lte=created_lte,
    )
    return list_answer(
        found,
        lambda enrollment: enrollment_row(enrollment, detail),
        one="enrollment",
        many="enrollments",
        scope=scope_of(in_=event.name if event else None, of=user.name if user else None),
        stands_out=[tally([enrollment.status for enrollment in found.items])] if status is None else [],
        narrow="user, event, status, attendance_method, dates",
    )

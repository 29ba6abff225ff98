"""Enrollments: who is at which event. The API reads them; enrolling and checking in stay in PlusPlus."""

from __future__ import annotations

from pp_mcp.answers import EnrollmentRow, ListAnswer, scope_of
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Enrollment
from pp_mcp.operations import params
from pp_mcp.operations.lists import list_page


@operation(
    toolset="enrollments",
    title="List sign-ups for events",
    effect=Effect.READ,
    csv="lists/enrollments",
    record=Enrollment,
)
async def list_enrollments(
    call: Call,
    user: params.UserArg | None = None,
    event: params.EventArg | None = None,
    status: params.EnrollmentStatusArg | None = None,
    attendance_method: params.AttendanceArg | None = None,
    created_gte: params.FromArg | None = None,
    created_lte: params.UntilArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[EnrollmentRow]:
    """Show who signed up (registered) for, waits for (waitlist), cancelled, checked in to or missed (no-show) an event,
    workshop or class, online or in person, or what a person is booked on. For attendance figures use
    report_enrollments. Enrolling and check-in are done in PlusPlus."""
    return await list_page(
        call,
        "list_enrollments",
        Enrollment,
        EnrollmentRow,
        noun="enrollment",
        scope=scope_of(in_=event.name if event else None, of=user.name if user else None),
        page=page,
        page_size=page_size,
        detail=detail,
        user=user,
        event=event,
        status=status,
        attendance_method=attendance_method,
        created_gte=created_gte,
        created_lte=created_lte,
    )

"""Enrollments: one person, one event."""

from typing import Annotated

from pp_mcp.models.record import Named, PublicId, Record, Reference
from pp_mcp.models.users import PersonRef


class EventRef(Named):
    """An event as an enrollment names it."""


class Enrollment(Record):
    """An enrollment (documented); the API can only list them. Dates are ISO 8601, as sent."""

    public_id: PublicId
    user: Annotated[PersonRef, Reference]
    event: Annotated[EventRef, Reference]
    status: str
    """enrolled, waitlisted, checked_in, no_show, dropped, cancelled; an open set (partly inferred)."""
    attendance_method: str | None = None
    checkin_datetime: str | None = None
    state: str | None = None
    created: str | None = None

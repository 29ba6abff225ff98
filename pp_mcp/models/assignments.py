"""Assignments: one person, one content item."""

from typing import Annotated

from pp_mcp.models.content import ContentRef
from pp_mcp.models.record import PublicId, Record, Reference
from pp_mcp.models.users import PersonRef


class Assignment(Record):
    """An assignment (documented). Dates are as sent: `due_date` YYYY-MM-DD, all others ISO 8601 date and time."""

    public_id: PublicId
    user: Annotated[PersonRef, Reference]
    content_item: Annotated[ContentRef, Reference]
    state: str
    """not_started, in_progress, completed, dropped, exempted; an open set (partly inferred)."""
    progress: float | None = None
    """0 to 1."""
    score: float | None = None
    """0 to 1."""
    is_success: bool | None = None
    due_date: str | None = None
    is_overdue: bool | None = None
    started_at: str | None = None
    completed_datetime: str | None = None
    dropped_at: str | None = None
    exempted_at: str | None = None
    expires_at: str | None = None
    feedback_rating: int | float | None = None
    attempt: int | None = None
    created: str | None = None

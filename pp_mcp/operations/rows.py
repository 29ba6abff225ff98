"""Rows as lists show them: `concise` holds what the next step needs, `full` every field the API sent."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from pp_mcp.answers import Row
from pp_mcp.models import Assignment, ContentItem, Enrollment, Group, User

Detail = str
RowT = TypeVar("RowT", bound=Row)


class Part(BaseModel):
    """A thing inside a row: its name, and what else the API sent in `full`."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None


class PersonPart(Part):
    """A person inside a row; the e-mail is good as a `user` argument."""

    email: str | None = None


class UserRow(Row):
    """A person."""

    name: str | None = None
    email: str | None = None
    role: str | None = None
    is_active: bool | None = None
    manager: PersonPart | None = None


class GroupRow(Row):
    """A group."""

    name: str | None = None
    source: str | None = None
    member_count: int | None = None


class ContentRow(Row):
    """A content item; `is_archived` and `is_hidden` stand in a concise row only where they are true."""

    name: str | None = None
    content_type: str | None = None
    is_archived: bool | None = None
    is_hidden: bool | None = None
    total_assignments: int | None = None
    completed_assignments_count: int | None = None
    avg_feedback_rating: float | None = None
    modified: str | None = None


class AssignmentRow(Row):
    """An assignment: one person, one content item."""

    user: PersonPart | None = None
    content_item: Part | None = None
    state: str | None = None
    due_date: str | None = None
    is_overdue: bool | None = None
    completed_datetime: str | None = None


class EnrollmentRow(Row):
    """An enrollment: one person at one event."""

    user: PersonPart | None = None
    event: Part | None = None
    status: str | None = None
    attendance_method: str | None = None
    checkin_datetime: str | None = None


def full(row: type[RowT], thing: BaseModel) -> RowT:
    """The row with every field the API sent, as it sent it."""
    return row.model_validate(thing.model_dump(mode="json", exclude_unset=True))


def _concise(row: type[RowT], **fields: Any) -> RowT:
    return row.model_validate({name: value for name, value in fields.items() if value is not None})


def user_row(user: User, detail: Detail = "concise") -> UserRow:
    """A person as a row."""
    if detail == "full":
        return full(UserRow, user)
    return _concise(
        UserRow,
        public_id=user.public_id,
        name=user.name,
        email=user.email,
        role=user.role,
        is_active=user.is_active,
        manager={"name": user.manager.name} if user.manager else None,
    )


def group_row(group: Group, detail: Detail = "concise") -> GroupRow:
    """A group as a row."""
    if detail == "full":
        return full(GroupRow, group)
    return _concise(
        GroupRow, public_id=group.public_id, name=group.name, source=group.source, member_count=group.member_count
    )


def content_row(item: ContentItem, detail: Detail = "concise") -> ContentRow:
    """A content item as a row."""
    if detail == "full":
        return full(ContentRow, item)
    return _concise(
        ContentRow,
        public_id=item.public_id,
        name=item.name,
        content_type=item.content_type,
        is_archived=item.is_archived or None,
        is_hidden=item.is_hidden or None,
        total_assignments=item.total_assignments,
        completed_assignments_count=item.completed_assignments_count,
        avg_feedback_rating=item.avg_feedback_rating,
        modified=(item.modified or "")[:10] or None,
    )


def assignment_row(assignment: Assignment, detail: Detail = "concise") -> AssignmentRow:
    """An assignment as a row."""
    if detail == "full":
        return full(AssignmentRow, assignment)
    return _concise(
        AssignmentRow,
        public_id=assignment.public_id,
        user={"name": assignment.user.name, "email": assignment.user.email},
        content_item={"name": assignment.content_item.name},
        state=assignment.state,
        due_date=assignment.due_date,
        is_overdue=assignment.is_overdue or None,
        completed_datetime=assignment.completed_datetime,
    )


def enrollment_row(enrollment: Enrollment, detail: Detail = "concise") -> EnrollmentRow:
    """An enrollment as a row."""
    if detail == "full":
        return full(EnrollmentRow, enrollment)
    return _concise(
        EnrollmentRow,
        public_id=enrollment.public_id,
        user={"name": enrollment.user.name, "email": enrollment.user.email},
        event={"name": enrollment.event.name},
        status=enrollment.status,
        attendance_method=enrollment.attendance_method,
        checkin_datetime=enrollment.checkin_datetime,
    )

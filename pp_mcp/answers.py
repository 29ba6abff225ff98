"""What tools answer: the shapes behind every output schema.

Each begins with `summary`, one or two sentences that can be read out as they stand. `structuredContent` and the text
block carry the same object (some clients show a model only the one, some only the other).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pp_mcp.models import Assignment, ContentItem, Enrollment, Group, Page, User
from pp_mcp.text import listed, plural, quoted, word

Json = dict[str, Any]


class Row(BaseModel):
    """One row of a list: the named fields in `concise`, every field the API sent in `full`."""

    model_config = ConfigDict(extra="allow")

    public_id: str


RowT = TypeVar("RowT", bound=Row)


class Named(BaseModel):
    """A thing that was found or changed: what it is, its id and its name."""

    kind: str
    public_id: str | None = None
    name: str | None = None


class ToolCall(BaseModel):
    """A call that can be made as it stands."""

    tool: str
    arguments: Json


class Answer(BaseModel):
    """What every answer begins with. Fields that were not set are absent, not null."""

    summary: str
    resolved: dict[str, Any] | None = None
    """What a name, e-mail or URL in the arguments was taken to mean (kind, public_id, name); absent for ids."""
    left_out: int | None = None
    """Rows that did not fit; `summary` says how to get them."""


class ListAnswer(Answer, Generic[RowT]):
    """One page of a list."""

    total_count: int
    page: int
    page_size: int
    next_page: int | None
    items: list[RowT]
    csv: str | None = None
    """URI of all rows of all pages as CSV, where this is not the only page."""


class ItemAnswer(Answer, Generic[RowT]):
    """One thing with every field the API sent."""

    item: RowT


Status = Literal["done", "unchanged", "partial", "confirmation_required"]


class WriteAnswer(Answer):
    """What a write did, or, with `status: confirmation_required`, what it would do."""

    status: Status
    target: Named | None = None
    changes: dict[str, list[Any]] | None = None
    not_applied: list[str] | None = None
    undo: ToolCall | list[ToolCall] | None = None
    undo_note: str | None = None
    effects: list[str] | None = None
    affected: list[Json] | None = None
    affected_total: int | None = None
    irreversible: bool | None = None
    needs: list[str] | None = None
    """Arguments that must be given as well before the call can be carried out."""
    confirm_token: str | None = None
    expires_at: str | None = None


OutcomeStatus = Literal["succeeded", "unchanged", "skipped", "failed", "unknown"]


class Outcome(BaseModel):
    """One item of a call that writes many."""

    public_id: str
    name: str | None = None
    status: OutcomeStatus
    reason: str | None = None


class ManyAnswer(WriteAnswer):
    """What a call that writes many things did to them: counts, and each item skipped, failed or with no known end."""

    succeeded: int | None = None
    unchanged: int | None = None
    skipped: int | None = None
    failed: int | None = None
    unknown: int | None = None
    not_sent: int | None = None
    items: list[Outcome] | None = None
    continue_: ToolCall | None = Field(default=None, alias="continue")


class ErrorAnswer(BaseModel):
    """An error, for the reader: what happened, what to do next."""

    code: str
    message: str
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None
    request_id: str | None = None
    field_errors: dict[str, list[str]] | None = None
    candidates: list[dict[str, str]] | None = None
    check: ToolCall | None = None
    """After a lost answer: the call that shows whether the write happened."""


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


ThingT = TypeVar("ThingT")


def list_answer(
    page: Page[ThingT],
    row: Callable[[ThingT], RowT],
    *,
    one: str,
    many: str,
    scope: str = "",
    stands_out: Sequence[str] = (),
    narrow: str = "",
) -> ListAnswer[Any]:
    """The answer for one page. `scope` follows the noun (" of the group “Platform”"); `narrow` names other filters."""
    total, pages = page.total_count, page.total_pages
    first = (page.page - 1) * page.page_size + 1
    last = first + len(page.items) - 1
    next_page = page.page + 1 if page.items and page.page < pages else None
    if total == 0:
        summary = f"No {many}{scope} match."
        if narrow:
            summary += f" Try fewer filters or other ones: {narrow}."
    elif not page.items:
        summary = (
            f"Page {page.page:,} is past the last one: {plural(total, one, many)}{scope} on {plural(pages, 'page')}."
        )
    elif last - first + 1 >= total:
        summary = f"{plural(total, one, many)}{scope}."
    else:
        summary = (
            f"{many[:1].upper()}{many[1:]} {first:,}-{last:,} of {total:,}{scope} (page {page.page:,} of {pages:,})."
        )
    noted = [fact for fact in stands_out if fact]
    if page.items and noted:
        summary += f" {'On this page' if total > len(page.items) else 'Among them'}: {listed(noted, 6)}."
    if next_page is not None:
        summary += f" Go on with page={next_page}" + (f" or narrow by {narrow}." if narrow else ".")
    return ListAnswer[RowT](
        summary=summary,
        total_count=total,
        page=page.page,
        page_size=page.page_size,
        next_page=next_page,
        items=[row(thing) for thing in page.items],
    )


def scope_of(**parts: str | None) -> str:
    """What a list was narrowed to, after its noun: `scope_of(of="Security 101")` is ` of “Security 101”`."""
    return "".join(f" {word.replace('_', ' ').strip()} {quoted(name)}" for word, name in parts.items() if name)


def counted(count: int, words: str) -> str:
    """`14 overdue`, or nothing where there is none."""
    return f"{count:,} {words}" if count else ""


def tally(values: Sequence[str | None]) -> str:
    """`12 completed, 3 dropped`: how often each value stands, most frequent first."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value or "none"] = counts.get(value or "none", 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return listed([f"{count:,} {word(value)}" for value, count in ordered], 6)

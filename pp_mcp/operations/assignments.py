"""Assignments: what each person has to learn, till when, and how far they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import (
    AssignmentRow,
    ItemAnswer,
    ListAnswer,
    Named,
    ToolCall,
    assignment_row,
    counted,
    full,
    list_answer,
    scope_of,
)
from pp_mcp.api import Written
from pp_mcp.declare import UNSET, Call, Effect, Unset, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Assignment, ContentItem, User
from pp_mcp.operations.params import (
    AssignmentArg,
    ContentTypeArg,
    DayArg,
    DetailArg,
    DueArg,
    ExpiryArg,
    FromArg,
    ItemArg,
    OverdueArg,
    PageArg,
    PageSizeArg,
    StateArg,
    UntilArg,
    UserArg,
    same_moment,
)
from pp_mcp.plan import Done, Plan, left_out, update_plan
from pp_mcp.text import person, quoted, word

OUTSTANDING = ("not_started", "in_progress")
"""States in which there is still something to do (inferred from the help centre; not itself a value of the API)."""

DueFromArg = Annotated[DayArg, Field(description="Due on or after, YYYY-MM-DD.")]
DueUntilArg = Annotated[DayArg, Field(description="Due on or before, YYYY-MM-DD.")]


@operation(
    toolset="assignments", title="List assignments", effect=Effect.READ, csv="lists/assignments", record=Assignment
)
async def list_assignments(
    call: Call,
    user: UserArg | None = None,
    content_item: ItemArg | None = None,
    state: StateArg | None = None,
    content_type: ContentTypeArg | None = None,
    is_overdue: OverdueArg | None = None,
    due_date_gte: DueFromArg | None = None,
    due_date_lte: DueUntilArg | None = None,
    created_gte: FromArg | None = None,
    created_lte: UntilArg | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[AssignmentRow]:
    """Look through assignments (who has to learn what, state, deadline) a page at a time, by person, content item,
    state or date. For counts, completion rates, groups or managers use report_assignments: it reads all pages at once.
    Late ones alone: list_overdue_assignments."""
    return await _page(
        call,
        user,
        content_item,
        page,
        page_size,
        detail,
        state=state,
        content_type=content_type,
        is_overdue=is_overdue,
        due_date_gte=due_date_gte.isoformat() if due_date_gte else None,
        due_date_lte=due_date_lte.isoformat() if due_date_lte else None,
        created_gte=created_gte,
        created_lte=created_lte,
    )


@operation(
    toolset="assignments",
    title="List overdue assignments",
    effect=Effect.READ,
    csv="lists/overdue_assignments",
    record=Assignment,
)
async def list_overdue_assignments(
    call: Call,
    user: UserArg | None = None,
    content_item: ItemArg | None = None,
    content_type: ContentTypeArg | None = None,
    due_date_gte: DueFromArg | None = None,
    due_date_lte: DueUntilArg | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[AssignmentRow]:
    """Show who is late: assignments past their deadline and not finished, a page at a time, by person or content item.
    For who is overdue by manager or group, with totals, use report_assignments; for other states list_assignments."""
    return await _page(
        call,
        user,
        content_item,
        page,
        page_size,
        detail,
        is_overdue=True,
        content_type=content_type,
        due_date_gte=due_date_gte.isoformat() if due_date_gte else None,
        due_date_lte=due_date_lte.isoformat() if due_date_lte else None,
    )


async def _page(
    call: Call,
    user: User | None,
    content_item: ContentItem | None,
    page: int,
    page_size: int,
    detail: str,
    **filters: str | bool | None,
) -> ListAnswer[AssignmentRow]:
    found = await call.api.page(
        "list_assignments",
        Assignment,
        page=page,
        page_size=page_size,
        user=user.public_id if user else None,
        content_item=content_item.public_id if content_item else None,
        **filters,
    )
    overdue = filters.get("is_overdue") is True
    return list_answer(
        found,
        lambda assignment: assignment_row(assignment, detail),
        one="overdue assignment" if overdue else "assignment",
        many="overdue assignments" if overdue else "assignments",
        scope=scope_of(of=content_item.name if content_item else None, for_=user.name if user else None),
        stands_out=_facts(found.items, overdue),
        narrow="user, content_item, content_type, due dates"
        if overdue
        else "user, content_item, state, is_overdue, dates",
    )


def _facts(assignments: list[Assignment], all_overdue: bool) -> list[str]:
    states = Counter(assignment.state or "unknown" for assignment in assignments)
    facts = [f"{count:,} {word(state)}" for state, count in states.most_common()] if len(states) > 1 else []
    late = [assignment for assignment in assignments if assignment.is_overdue]
    if late and not all_overdue:
        facts.append(counted(len(late), "overdue"))
    due = min((assignment.due_date for assignment in late if assignment.due_date), default=None)
    if due:
        facts.append(f"the oldest due {word(due)}")
    return facts


@operation(toolset="assignments", title="Get one assignment", effect=Effect.READ)
async def get_assignment(call: Call, assignment: AssignmentArg) -> ItemAnswer[AssignmentRow]:
    """Show one assignment: person, content item, state, progress, score, due and expiry dates, attempt, rating. To find
    assignments by person or content item use list_assignments."""
    late = " (overdue)" if assignment.is_overdue else ""
    due = f", due {word(assignment.due_date)}{late}" if assignment.due_date else ""
    return ItemAnswer[AssignmentRow](
        summary=f"{label_of(assignment)}: {word(assignment.state)}{due}.", item=full(AssignmentRow, assignment)
    )


@operation(toolset="assignments", title="Assign content to a person", effect=Effect.ADD)
async def assign_content(
    call: Call,
    user: UserArg,
    content_item: ItemArg,
    due_date: DueArg | None = None,
    expires_at: ExpiryArg | None = None,
) -> Plan:
    """Give one person something to learn (a course, track, video…), with a deadline if wanted. Where it is outstanding
    already nothing changes and the answer says so: change its deadline with update_assignment. PlusPlus may notify the
    person. For many people use bulk_assign_content."""
    existing = await call.api.page(
        "list_assignments", Assignment, user=user.public_id, content_item=content_item.public_id, page_size=100
    )
    active = next((one for one in existing.items if one.state in OUTSTANDING), None)
    body: dict[str, Any] = {"user_id": user.public_id, "content_item_id": content_item.public_id}
    if due_date is not None:
        body["due_date"] = due_date.isoformat()
    if expires_at is not None:
        body["expires_at"] = expires_at
    known = {one.public_id for one in existing.items}

    async def apply() -> Done:
        written = await call.api.write("assign_content", Assignment, body)
        made = written.value
        if made.public_id in known or was_there(written):
            due = word(made.due_date or "never")
            return Done(
                summary=f"{label_of(made)} was there already, {word(made.state)}, due {due}: nothing changed.",
                target=target_of(made),
            )
        asked = {field: body[field] for field in ("due_date", "expires_at") if field in body}
        after = _dates(made)
        missed = [field for field, value in asked.items() if not same_moment(after[field], value)]
        due = f"due {word(made.due_date)}" if made.due_date else "with no due date"
        return Done(
            summary=(
                f"Assigned {quoted(content_item.name)} to {person(user.name, user.email)}, {due}.{left_out(missed)}"
            ),
            target=target_of(made),
            changes={"state": [None, made.state], **{field: [None, after[field]] for field in asked}},
            not_applied=missed,
            undo=ToolCall(tool="drop_assignment", arguments={"assignment": made.public_id}),
            undo_note="Dropping leaves a dropped assignment in the history.",
        )

    unchanged = None
    if active is not None:
        due = f"due {word(active.due_date)}" if active.due_date else "with no due date"
        unchanged = (
            f"{label_of(active)} is outstanding already: {word(active.state)}, {due}, "
            f"public_id {word(active.public_id)}. Its dates are changed with update_assignment."
        )
    return Plan(
        target=target_of(active) if active else Named(kind="assignment", name=f"{content_item.name} for {user.name}"),
        summary=f"Assign {quoted(content_item.name)} to {person(user.name, user.email)}.",
        apply=apply,
        unchanged=unchanged,
        check=ToolCall(
            tool="list_assignments", arguments={"user": user.public_id, "content_item": content_item.public_id}
        ),
    )


@operation(toolset="assignments", title="Change an assignment's dates", effect=Effect.CHANGE)
async def update_assignment(
    call: Call,
    assignment: AssignmentArg,
    due_date: Annotated[DayArg, Field(description="New due date, YYYY-MM-DD; null removes it.")] | Unset | None = UNSET,
    expires_at: Annotated[ExpiryArg, Field(description="New expiry, ISO 8601; null removes it.")]
    | Unset
    | None = UNSET,
) -> Plan:
    """Extend, set or remove the deadline or expiry of one assignment ("give Jane two more weeks"). Only given fields
    change. Dates of event enrollments are managed by the event and refused. For many assignments use
    bulk_update_assignments."""
    asked: dict[str, Any] = {}
    if not isinstance(due_date, Unset):
        asked["due_date"] = due_date.isoformat() if due_date else None
    if not isinstance(expires_at, Unset):
        asked["expires_at"] = expires_at
    if not asked:
        raise InvalidArgument("Nothing to change: give due_date or expires_at (null removes).", field_errors={})
    before = _dates(assignment)
    asked = {field: before[field] if same_moment(before[field], value) else value for field, value in asked.items()}

    async def send() -> Mapping[str, Any]:
        body = {field: value for field, value in asked.items() if before[field] != value}
        after = _dates(
            (await call.api.write("update_assignment", Assignment, body, public_id=assignment.public_id)).value
        )
        return {
            field: asked[field] if field in asked and same_moment(value, asked[field]) else value
            for field, value in after.items()
        }

    return update_plan(
        target=target_of(assignment),
        tool="update_assignment",
        reference="assignment",
        before=before,
        asked=asked,
        send=send,
        check=ToolCall(tool="get_assignment", arguments={"assignment": assignment.public_id}),
        clears=frozenset({"due_date", "expires_at"}),
    )


def was_there(written: Written[Assignment]) -> bool:
    """Whether the answer to an assign says that somebody else had assigned it meanwhile: 200 is the one there already,
    201 a new one (documented). After a repeat 200 may be the one that the first attempt made."""
    return written.status == 200 and not written.retried


def _dates(assignment: Assignment) -> dict[str, Any]:
    return {"due_date": assignment.due_date, "expires_at": assignment.expires_at}


def label_of(assignment: Assignment) -> str:
    """An assignment in words: its content item and its person."""
    return f"{quoted(assignment.content_item.name)} for {person(assignment.user.name, assignment.user.email)}"


def target_of(assignment: Assignment) -> Named:
    """An assignment as an answer's target."""
    return Named(
        kind="assignment",
        public_id=assignment.public_id,
        name=f"{assignment.content_item.name} for {assignment.user.name}",
    )

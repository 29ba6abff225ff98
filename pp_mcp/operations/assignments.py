"""Assignments: what each person has to learn, till when, and how far they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.answers import AssignmentRow, ItemAnswer, ListAnswer, Named, ToolCall, full, scope_of
from pp_mcp.api import Written
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Assignment, AssignmentFacts, ContentItem, User
from pp_mcp.operations import params
from pp_mcp.operations.lists import OUTSTANDING, kept_page, list_page, sent
from pp_mcp.plan import Done, Plan, call_of, left_out, update_plan
from pp_mcp.text import person, quoted, word

NO_ENROLLMENT = "An assignment of an event is not an enrollment: people enroll themselves, or are enrolled in PlusPlus."

DueFromArg = Annotated[params.DayArg, Field(description="Due on or after.")]
DueUntilArg = Annotated[params.DayArg, Field(description="Due on or before.")]

CompletedFromArg = Annotated[params.FromArg, Field(description="Completed from, date (whole day) or ISO time.")]
CompletedUntilArg = Annotated[params.UntilArg, Field(description="Completed until, date or time.")]


@dataclass(frozen=True)
class CompletedWithin:
    """The time within which assignments were completed, ISO 8601. The API cannot filter by it: it is done here."""

    gte: str | None = None
    lte: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether it leaves anything out."""
        return self.gte is not None or self.lte is not None

    @property
    def words(self) -> str:
        """` completed from 2026-01-01 until 2026-03-31`; a whole day is said as one."""
        said = [f"from {self.gte.removesuffix('T00:00:00Z')}"] if self.gte else []
        said += [f"until {self.lte.removesuffix('T23:59:59.999999Z')}"] if self.lte else []
        return f" completed {' '.join(said)}" if said else ""

    def filters(self, state: object) -> dict[str, str]:
        """What the API can be asked beside a filter by `state`, so that less has to be read."""
        return {"state": "completed"} if self.is_given and state is None else {}

    def has(self, assignment: Assignment | AssignmentFacts) -> bool:
        """Whether the assignment was completed in that time."""
        if not self.is_given:
            return True
        try:
            when = _instant(assignment.completed_datetime or "")
        except ValueError:
            return False
        after = self.gte is None or when >= _instant(self.gte)
        return after and (self.lte is None or when <= _instant(self.lte))


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@operation(
    toolset="assignments",
    title="List training assigned to people",
    effect=Effect.READ,
    csv="lists/assignments",
    record=Assignment,
)
async def list_assignments(
    call: Call,
    user: params.UserArg | None = None,
    content_item: params.ItemArg | None = None,
    state: params.StateArg | None = None,
    content_type: params.ContentTypeArg | None = None,
    is_overdue: params.OverdueArg | None = None,
    due_date_gte: DueFromArg | None = None,
    due_date_lte: DueUntilArg | None = None,
    created_gte: params.FromArg | None = None,
    created_lte: params.UntilArg | None = None,
    completed_gte: CompletedFromArg | None = None,
    completed_lte: CompletedUntilArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[AssignmentRow]:
    """List training assigned (given) to people, by person, course, state or date: who has not started, is in progress,
    completed, dropped or was excused, what a person still has open, what falls due when. For counts, rates, groups or
    managers use report_assignments; late ones: list_overdue_assignments."""
    filters: dict[str, Any] = {
        "user": user,
        "content_item": content_item,
        "state": state,
        "content_type": content_type,
        "is_overdue": is_overdue,
        "due_date_gte": due_date_gte,
        "due_date_lte": due_date_lte,
        "created_gte": created_gte,
        "created_lte": created_lte,
    }
    completed = CompletedWithin(completed_gte, completed_lte)
    if completed.is_given:
        asked = {name: sent(value) for name, value in {**filters, **completed.filters(state)}.items()}
        return await kept_page(
            call,
            "list_assignments",
            Assignment,
            AssignmentRow,
            keep=completed.has,
            order=lambda assignment: assignment.completed_datetime or "",
            asked=asked,
            noun="assignment",
            scope=_scope(user, content_item) + completed.words,
            page=page,
            page_size=page_size,
            detail=detail,
            filters={**filters, "completed_gte": completed_gte, "completed_lte": completed_lte},
        )
    return await list_page(
        call,
        "list_assignments",
        Assignment,
        AssignmentRow,
        noun="assignment",
        scope=_scope(user, content_item),
        page=page,
        page_size=page_size,
        detail=detail,
        **filters,
    )


@operation(
    toolset="assignments",
    title="List late learners and overdue training",
    effect=Effect.READ,
    csv="lists/overdue_assignments",
    record=Assignment,
)
async def list_overdue_assignments(
    call: Call,
    user: params.UserArg | None = None,
    content_item: params.ItemArg | None = None,
    content_type: params.ContentTypeArg | None = None,
    due_date_gte: DueFromArg | None = None,
    due_date_lte: DueUntilArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[AssignmentRow]:
    """Show who is late or behind: training past its deadline (due date missed) and not finished, by person or content;
    whom to chase or remind. For totals by manager or group use report_assignments; for other states
    list_assignments."""
    return await list_page(
        call,
        "list_assignments",
        Assignment,
        AssignmentRow,
        noun="overdue assignment",
        scope=_scope(user, content_item),
        page=page,
        page_size=page_size,
        detail=detail,
        always={"is_overdue": True},
        user=user,
        content_item=content_item,
        content_type=content_type,
        due_date_gte=due_date_gte,
        due_date_lte=due_date_lte,
    )


def _scope(user: User | None, content_item: ContentItem | None) -> str:
    return scope_of(of=content_item.name if content_item else None, for_=user.name if user else None)


@operation(toolset="assignments", title="Get one assignment", effect=Effect.READ)
async def get_assignment(call: Call, assignment: params.AssignmentArg) -> ItemAnswer[AssignmentRow]:
    """Open one assignment by its id or URL: person, content, status (state), how far along (progress), score, when due
    and when it expires, attempt, rating. To find it by person or content use list_assignments."""
    late = " (overdue)" if assignment.is_overdue else ""
    due = f", due {word(assignment.due_date)}{late}" if assignment.due_date else ""
    return ItemAnswer[AssignmentRow](
        summary=f"{label_of(assignment)}: {word(assignment.state)}{due}.", item=full(AssignmentRow, assignment)
    )


@operation(toolset="assignments", title="Assign training to a person", effect=Effect.ADD)
async def assign_content(
    call: Call,
    user: params.UserArg,
    content_item: params.ItemArg,
    due_date: params.DueArg | None = None,
    expires_at: params.ExpiryArg | None = None,
) -> Plan:
    """Give (assign) one person training to do (a course, learning path, video…), mandatory, by a deadline if wanted:
    "Ann must take it by June". If they have it outstanding nothing changes: move its deadline with update_assignment.
    Assigning an event enrolls nobody. May notify them. For many people use bulk_assign_content."""
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
    effects = [NO_ENROLLMENT] if content_item.content_type == "event" else []

    async def apply() -> Done:
        written = await call.api.write("assign_content", Assignment, body)
        made = written.value
        if made.public_id in known or was_there(written):
            return Done(
                summary=f"{label_of(made)} already existed: {word(made.state)}, {_due(made)}. Nothing changed.",
                target=target_of(made),
            )
        asked = {field: body[field] for field in ("due_date", "expires_at") if field in body}
        after = _dates(made)
        missed = [field for field, value in asked.items() if not params.same_moment(after[field], value)]
        return Done(
            summary=f"Assigned {quoted(content_item.name)} to {person(user.name, user.email)}, {_due(made)}."
            + left_out(missed)
            + "".join(f" {effect}" for effect in effects),
            target=target_of(made),
            changes={"state": [None, made.state], **{field: [None, after[field]] for field in asked}},
            not_applied=missed,
            undo=call_of("drop_assignment", "assignment", made.public_id),
            undo_note="Dropping leaves a dropped assignment in the history.",
        )

    return Plan(
        target=target_of(active) if active else Named(kind="assignment", name=f"{content_item.name} for {user.name}"),
        summary=f"Assign {quoted(content_item.name)} to {person(user.name, user.email)}.",
        apply=apply,
        effects=effects,
        unchanged=f"{label_of(active)} is already outstanding: {word(active.state)}, {_due(active)}, public_id "
        f"{word(active.public_id)}. Change its dates with update_assignment."
        if active
        else None,
        check=ToolCall(
            tool="list_assignments", arguments={"user": user.public_id, "content_item": content_item.public_id}
        ),
    )


@operation(toolset="assignments", title="Extend or change a deadline", effect=Effect.CHANGE)
async def update_assignment(
    call: Call,
    assignment: params.AssignmentArg,
    due_date: Annotated[params.DayArg, Field(description="New due date.")] | None = None,
    expires_at: Annotated[params.ExpiryArg, Field(description="New expiry: date (its end) or ISO time.")] | None = None,
    clear: Annotated[
        list[Literal["due_date", "expires_at"]], Field(description="Fields to empty.", min_length=1, max_length=2)
    ]
    | None = None,
) -> Plan:
    """Move, extend, set or remove the due date (deadline) or expiry of one person's training ("give Jane two more
    weeks"). Event enrollments are refused: the event manages their dates. For many use bulk_update_assignments."""

    async def after_conflict() -> str:
        now = await call.api.one("get_assignment", Assignment, assignment.public_id)
        return f"Dates of an event's enrollment are managed by the event. It is {word(now.state)} now."

    return update_plan(
        call.api,
        "update_assignment",
        Assignment,
        assignment,
        params.asked_for(clear, due_date=due_date.isoformat() if due_date else None, expires_at=expires_at),
        target=target_of(assignment),
        comparable=_dates,
        same=params.same_moment,
        clearable=frozenset({"due_date", "expires_at"}),
        after_conflict=after_conflict,
    )


def was_there(written: Written[Assignment]) -> bool:
    """Whether the answer to an assign says that somebody else had assigned it meanwhile: 200 is the one there already,
    201 a new one (documented). After a repeat 200 may be the one that the first attempt made."""
    return written.status == 200 and written.attempts == 1


def _due(assignment: Assignment) -> str:
    return f"due {word(assignment.due_date)}" if assignment.due_date else "with no due date"


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

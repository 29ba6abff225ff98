"""The steps of an assignment's life: complete, drop, exempt, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from pp_mcp.answers import ToolCall
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING, label_of, target_of
from pp_mcp.operations.params import AssignmentArg
from pp_mcp.plan import Done, Plan
from pp_mcp.text import word

ReasonArg = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Field(description="Why, for the record."),
]


@operation(toolset="assignments", title="Mark an assignment completed", effect=Effect.CHANGE)
async def complete_assignment(call: Call, assignment: AssignmentArg) -> Plan:
    """Mark one assignment completed (finished elsewhere, proof outside PlusPlus). Works on outstanding and exempted
    ones. Completing a track does not complete its steps. If the person need not do it at all use exempt_assignment. For
    many use bulk_update_assignments."""
    return await _step(call, assignment, "complete_assignment", "completed", (*OUTSTANDING, "exempted"))


@operation(toolset="assignments", title="Drop an assignment", effect=Effect.DESTROY)
async def drop_assignment(call: Call, assignment: AssignmentArg, reason: ReasonArg | None = None) -> Plan:
    """Take an assignment away from a person (unassign). Previews, then needs confirm_token: the API cannot un-drop;
    only a new assignment, starting from zero, can follow. To excuse a person and keep the record use
    exempt_assignment."""
    return await _step(
        call,
        assignment,
        "drop_assignment",
        "dropped",
        (*OUTSTANDING, "exempted"),
        body={"reason": reason} if reason else {},
        effects=["Progress on it no longer counts. It cannot be un-dropped; assign_content makes a new one from zero."],
        irreversible=True,
        undo_note="The API has no un-drop; assign_content makes a new assignment.",
    )


@operation(toolset="assignments", title="Exempt a person from an assignment", effect=Effect.CHANGE)
async def exempt_assignment(call: Call, assignment: AssignmentArg) -> Plan:
    """Excuse a person from an outstanding assignment: it stays on record as exempted and counts neither as done nor as
    late. Undone by revert_exemption. To take it away altogether use drop_assignment; if it was done elsewhere
    complete_assignment."""
    return await _step(call, assignment, "exempt_assignment", "exempted", OUTSTANDING, undo="revert_exemption")


@operation(toolset="assignments", title="Reopen a completed assignment", effect=Effect.DESTROY)
async def revert_completion(call: Call, assignment: AssignmentArg) -> Plan:
    """Set a completed assignment back to outstanding (completed by mistake). Previews, then needs confirm_token:
    completion date and score may be lost, and the person has to do it again. For an exempted one use
    revert_exemption."""
    when = (assignment.completed_datetime or "")[:10]
    lost = [
        f"completed {word(when) if when else 'at an unknown time'}",
        *([f"score {assignment.score:g}"] if assignment.score is not None else []),
    ]
    return await _step(
        call,
        assignment,
        "revert_completion",
        None,
        ("completed",),
        effects=[f"May be lost: {' and '.join(lost)}. It is outstanding again, and late if its due date has passed."],
        irreversible=True,
        undo_note="complete_assignment completes it again, but with the date of that day and no score.",
    )


@operation(toolset="assignments", title="Take back an exemption", effect=Effect.CHANGE)
async def revert_exemption(call: Call, assignment: AssignmentArg) -> Plan:
    """Take back an exemption: the assignment is outstanding again, and late if its due date has passed. Undone by
    exempt_assignment. For a completed one use revert_completion."""
    return await _step(call, assignment, "revert_exemption", None, ("exempted",), undo="exempt_assignment")


_WHAT_WORKS = {
    "completed": "revert_completion sets it back to outstanding.",
    "dropped": "A dropped assignment cannot be brought back; assign_content makes a new one.",
    "exempted": "revert_exemption sets it back to outstanding.",
    "not_started": "It is outstanding: complete_assignment, exempt_assignment and drop_assignment work.",
    "in_progress": "It is outstanding: complete_assignment, exempt_assignment and drop_assignment work.",
}


def what_works(state: str | None) -> str:
    """What can be done with an assignment in this state."""
    return _WHAT_WORKS.get(state or "", "")


async def _step(
    call: Call,
    assignment: Assignment,
    tool: str,
    goal: str | None,
    allowed: tuple[str, ...],
    *,
    body: Mapping[str, Any] | None = None,
    effects: list[str] | None = None,
    irreversible: bool = False,
    undo: str | None = None,
    undo_note: str | None = None,
) -> Plan:
    """The plan of one step. `goal` is the state it leads to, none where that is "outstanding" (started or not)."""
    before = assignment.state or "unknown"
    goals = (goal,) if goal else OUTSTANDING
    if before not in allowed and before not in goals and before in _WHAT_WORKS:
        raise InvalidArgument(
            f"{label_of(assignment)} is {before}: {tool} works on {' or '.join(allowed)}. {what_works(before)}",
            field_errors={"assignment": [f"is {before}"]},
        )
    if tool == "complete_assignment":
        if before == "exempted":
            undo_note = "Two calls undo it: revert_completion, then exempt_assignment."
        else:
            undo, undo_note = "revert_completion", "Progress and dates from before may not come back."

    async def apply() -> Done:
        after = (await call.api.write(tool, Assignment, body, public_id=assignment.public_id)).value
        moved = after.state in goals
        changed = {"state": [before, after.state]} if after.state != before else {}
        return Done(
            summary=f"{label_of(assignment)} is {word(after.state)} now, {word(before)} before."
            if moved
            else f"The API answered, but {label_of(assignment)} is {word(after.state)}.",
            changes=changed,
            not_applied=[] if moved else ["state"],
            undo=ToolCall(tool=undo, arguments={"assignment": assignment.public_id}) if undo and changed else None,
            undo_note=undo_note if changed else None,
        )

    async def after_conflict() -> str:
        now = await call.api.one("get_assignment", Assignment, assignment.public_id)
        advice = what_works(now.state)
        # What was just refused is no advice: something else stands in its way.
        return f"It is {word(now.state)} now." + ("" if tool in advice else f" {advice}")

    late = ", overdue" if assignment.is_overdue else ""
    progress = f", {assignment.progress:.0%} done" if assignment.progress else ""
    return Plan(
        target=target_of(assignment),
        summary=f"{_VERBS[tool]} {label_of(assignment)} ({word(before)}{progress}{late}).",
        apply=apply,
        state=[before, assignment.due_date, assignment.progress, assignment.score, assignment.completed_datetime],
        effects=effects or [],
        irreversible=irreversible,
        unchanged=f"{label_of(assignment)} is {before} already." if before in goals else None,
        check=ToolCall(tool="get_assignment", arguments={"assignment": assignment.public_id}),
        after_conflict=after_conflict,
    )


_VERBS = {
    "complete_assignment": "Complete",
    "drop_assignment": "Drop",
    "exempt_assignment": "Exempt",
    "revert_completion": "Reopen",
    "revert_exemption": "Take back the exemption of",
}


ActionName = Literal["set_due_date", "complete", "exempt", "drop", "revert_completion", "revert_exemption"]


@dataclass(frozen=True)
class Action:
    """One action. `works_on` and `goal` are states; an action without a goal sets dates."""

    operation: str
    verb: str
    did: str
    works_on: tuple[str, ...] = OUTSTANDING
    goal: tuple[str, ...] = ()
    warning: str | None = None
    undone_by: ActionName | None = None
    undo_note: str | None = None
    """A word about the undo, or why there is none."""

    @property
    def irreversible(self) -> bool:
        """Whether nothing brings back what it takes away."""
        return self.undone_by is None


ACTIONS: dict[ActionName, Action] = {
    "set_due_date": Action(
        "update_assignment",
        "Set the due date of",
        "Set the due date of",
        undone_by="set_due_date",
    ),
    "complete": Action(
        "complete_assignment",
        "Complete",
        "Completed",
        goal=("completed",),
        warning="Completing a track does not complete its steps.",
        undone_by="revert_completion",
        undo_note="Progress from before may not come back.",
    ),
    "exempt": Action(
        "exempt_assignment",
        "Exempt",
        "Exempted",
        goal=("exempted",),
        undone_by="revert_exemption",
    ),
    "drop": Action(
        "drop_assignment",
        "Drop",
        "Dropped",
        goal=("dropped",),
        warning="Dropped assignments cannot be brought back; new ones start from zero.",
        undo_note="The API has no un-drop; bulk_assign_content makes new assignments.",
    ),
    "revert_completion": Action(
        "revert_completion",
        "Reopen",
        "Reopened",
        works_on=("completed",),
        goal=OUTSTANDING,
        warning="Completion dates and scores may be lost.",
        undo_note="Completing again would set today's date and no score.",
    ),
    "revert_exemption": Action(
        "revert_exemption",
        "Take back the exemption of",
        "Took back the exemption of",
        works_on=("exempted",),
        goal=OUTSTANDING,
        undone_by="exempt",
    ),
}

"""What can be done to an assignment: complete, drop, exempt, take back, set its due date; for one and for many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pp_mcp.answers import Json, ToolCall
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING, label_of, target_of
from pp_mcp.operations.params import AssignmentArg, NothingHiddenInLines
from pp_mcp.plan import Done, Plan
from pp_mcp.text import listed, word

ActionName = Literal["set_due_date", "complete", "exempt", "drop", "revert_completion", "revert_exemption"]


@dataclass(frozen=True)
class Action:
    """One action. `works_on` and `goal` are states, as documented; an action without a goal sets dates."""

    tool: str
    """The tool that does it to one assignment; the operation of the API has the same name."""
    verb: str
    did: str
    already: str
    """What is said of assignments that are as the action would leave them."""
    works_on: tuple[str, ...] = OUTSTANDING
    goal: tuple[str, ...] = ()
    warning: str | None = None
    undone_by: ActionName | None = None
    undo_note: str | None = None
    """What the undo cannot bring back, or why there is none."""

    @property
    def irreversible(self) -> bool:
        """Whether nothing brings back what it takes away."""
        return self.undone_by is None


ACTIONS: dict[ActionName, Action] = {
    "set_due_date": Action(
        "update_assignment",
        "Set the due date of",
        "Set the due date of",
        "already due then",
        undone_by="set_due_date",
    ),
    "complete": Action(
        "complete_assignment",
        "Complete",
        "Completed",
        "already completed",
        works_on=(*OUTSTANDING, "exempted"),
        goal=("completed",),
        warning="Completing a track does not complete its steps.",
        undone_by="revert_completion",
        undo_note="Progress and dates from before may not come back.",
    ),
    "exempt": Action(
        "exempt_assignment",
        "Exempt",
        "Exempted",
        "already exempted",
        goal=("exempted",),
        undone_by="revert_exemption",
    ),
    "drop": Action(
        "drop_assignment",
        "Drop",
        "Dropped",
        "already dropped",
        works_on=(*OUTSTANDING, "exempted"),
        goal=("dropped",),
        warning="Progress no longer counts; assigning again starts from zero.",
        undo_note="The API cannot undo a drop. Assigning again makes a new assignment.",
    ),
    "revert_completion": Action(
        "revert_completion",
        "Reopen",
        "Reopened",
        "already outstanding",
        works_on=("completed",),
        goal=OUTSTANDING,
        warning="Completion dates and scores may be lost. What is past its due date becomes overdue again.",
        undo_note="Completing again sets the date of that day and no score.",
    ),
    "revert_exemption": Action(
        "revert_exemption",
        "Take back the exemption of",
        "Took back the exemption of",
        "already outstanding",
        works_on=("exempted",),
        goal=OUTSTANDING,
        undone_by="exempt",
    ),
}

_KNOWN = {state for action in ACTIONS.values() for state in (*action.works_on, *action.goal)}


def what_works(state: str | None) -> str:
    """What can be done with an assignment in this state; nothing of a state that is not documented."""
    tools = [action.tool for action in ACTIONS.values() if action.goal and state in action.works_on]
    if tools:
        return f"What works: {listed(tools)}."
    return "It cannot be brought back; assign_content makes a new one." if state in _KNOWN else ""


ReasonArg = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    NothingHiddenInLines,
    Field(description="Why, for the record."),
]


@operation(toolset="assignments", title="Mark a person's training done", effect=Effect.CHANGE)
async def complete_assignment(call: Call, assignment: AssignmentArg) -> Plan:
    """Mark one person's training as done (tick it off, set to completed): finished elsewhere, certificate or proof from
    outside. Works on outstanding and exempted ones. A track's steps are not completed with it. If they need not do it
    use exempt_assignment; for many bulk_update_assignments."""
    return _step(call, assignment, ACTIONS["complete"])


@operation(toolset="assignments", title="Unassign training from a person", effect=Effect.DESTROY)
async def drop_assignment(call: Call, assignment: AssignmentArg, reason: ReasonArg | None = None) -> Plan:
    """Unassign training: take it off (remove it from) one person's list, given by mistake, should not have it any more,
    cancel it. Previews first: it cannot be un-dropped, only assigned again from zero. To excuse them and keep the
    record use exempt_assignment."""
    return _step(call, assignment, ACTIONS["drop"], body={"reason": reason} if reason else {})


@operation(toolset="assignments", title="Excuse a person from training", effect=Effect.CHANGE)
async def exempt_assignment(call: Call, assignment: AssignmentArg) -> Plan:
    """Excuse a person from a course they do not have to do (waive it, exempt them): it stays on record as exempted,
    neither done nor late. Undone by revert_exemption. To take it away use drop_assignment; if done elsewhere
    complete_assignment."""
    return _step(call, assignment, ACTIONS["exempt"])


@operation(toolset="assignments", title="Reopen completed training", effect=Effect.DESTROY)
async def revert_completion(call: Call, assignment: AssignmentArg) -> Plan:
    """Reopen training marked done by mistake or too early, or to be repeated: undoes the completion, so it is
    outstanding again. Previews first: completion date and score may be lost. For an exempted one use
    revert_exemption."""
    when = (assignment.completed_datetime or "")[:10]
    score = f", with a score of {assignment.score:g}" if assignment.score is not None else ""
    known = f"Completed {f'on {word(when)}' if when else 'at an unknown time'}{score}."
    return _step(call, assignment, ACTIONS["revert_completion"], effects=[known])


@operation(toolset="assignments", title="Undo an exemption", effect=Effect.CHANGE)
async def revert_exemption(call: Call, assignment: AssignmentArg) -> Plan:
    """Undo (withdraw) an exemption or waiver: the person is no longer excused and has to do the training after all;
    late if its due date has passed. Undone by exempt_assignment. For a completed one use revert_completion."""
    return _step(call, assignment, ACTIONS["revert_exemption"])


def _step(
    call: Call, assignment: Assignment, action: Action, *, body: Json | None = None, effects: list[str] | None = None
) -> Plan:
    """The plan of one action on one assignment. A state that is not documented is tried: the API knows best."""
    before, label = assignment.state or "unknown", label_of(assignment)
    if before in _KNOWN and before not in (*action.works_on, *action.goal):
        raise InvalidArgument(
            f"{label} is {before}: {action.tool} works on {' or '.join(action.works_on)}. {what_works(before)}",
            field_errors={"assignment": [f"is {before}"]},
        )
    back = [ACTIONS[action.undone_by].tool] if action.undone_by else []
    if before == "exempted" and back == ["revert_completion"]:
        back.append("exempt_assignment")
    undo = [ToolCall(tool=tool, arguments={"assignment": assignment.public_id}) for tool in back]

    async def apply() -> Done:
        after = (await call.api.write(action.tool, Assignment, body, public_id=assignment.public_id)).value
        moved, changed = after.state in action.goal, after.state != before
        return Done(
            summary=f"{label} is {word(after.state)} now, {word(before)} before."
            if moved
            else f"The API answered, but {label} is {word(after.state)}.",
            changes={"state": [before, after.state]} if changed else {},
            not_applied=[] if moved else ["state"],
            undo=(undo if len(undo) > 1 else undo[0]) if undo and changed else None,
            undo_note=action.undo_note if changed else None,
        )

    async def after_conflict() -> str:
        now = await call.api.one("get_assignment", Assignment, assignment.public_id)
        advice = what_works(now.state)
        # What was just refused is no advice: something else stands in its way.
        return f"It is {word(now.state)} now." + ("" if action.tool in advice else f" {advice}")

    late = ", overdue" if assignment.is_overdue else ""
    progress = f", {assignment.progress:.0%} done" if assignment.progress else ""
    return Plan(
        target=target_of(assignment),
        summary=f"{action.verb} {label} ({word(before)}{progress}{late}).",
        apply=apply,
        state=[before, assignment.due_date, assignment.progress, assignment.score, assignment.completed_datetime],
        effects=[*([action.warning] if action.warning else []), *(effects or [])],
        irreversible=action.irreversible,
        unchanged=f"{label} is {before} already." if before in action.goal else None,
        check=ToolCall(tool="get_assignment", arguments={"assignment": assignment.public_id}),
        after_conflict=after_conflict,
    )

"""What can be done to many assignments at once, and what each needs, leaves and is undone by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pp_mcp.operations.assignments import OUTSTANDING

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

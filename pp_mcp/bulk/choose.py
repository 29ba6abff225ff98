"""Which assignments a bulk call means, and for which of them its action is possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pp_mcp.api.workers import for_each
from pp_mcp.bulk.actions import Action
from pp_mcp.bulk.engine import MOST, too_many
from pp_mcp.declare import Call
from pp_mcp.errors import InvalidArgument, NotFound, OutOfTime
from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING, label_of
from pp_mcp.reports.selection import Selection, read_assignments
from pp_mcp.text import listed, word

Dates = Callable[[str], str | None]
"""Each assignment's wanted due date, by its id."""

NAMED = 3
"""Assignments that are named beside each reason why it cannot be done."""


class Choice:
    """Assignments sorted by whether the action can be done. Only those for which it can are kept, and not more of them
    than one call takes, so that a filter which fits half the tenant does not fill the memory."""

    def __init__(self, action: Action, dates: Dates | None) -> None:
        self._action = action
        self._dates = dates
        self.restart()

    def restart(self) -> None:
        """Forgets what was taken."""
        self.total = 0
        self.possible = 0
        self.already = 0
        self._ready: list[Assignment] = []
        self._cannot: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def take(self, assignment: Assignment) -> None:
        """Sorts one assignment."""
        self.total += 1
        if self.is_so(assignment):
            self.already += 1
        elif (why := self._why_not(assignment)) is not None:
            self._cannot[why] += 1
            names = self._names.setdefault(why, [])
            if len(names) < NAMED:
                names.append(label_of(assignment))
        else:
            self.possible += 1
            if len(self._ready) < MOST:
                self._ready.append(assignment)

    def is_so(self, assignment: Assignment) -> bool:
        """Whether the assignment is already as the action would leave it."""
        if self._dates is None:
            return assignment.state in self._action.goal
        return assignment.state in OUTSTANDING and assignment.due_date == self._dates(assignment.public_id)

    def _why_not(self, assignment: Assignment) -> str | None:
        if assignment.state not in self._action.works_on:
            return word(assignment.state)
        if self._dates is not None and assignment.content_item.content_type == "event":
            return "the event manages its dates"
        return None

    @property
    def ready(self) -> list[Assignment]:
        """Those to act on, sorted by id.

        Raises:
            InvalidArgument: they are more than one call takes.
        """
        if self.possible > MOST:
            raise too_many(self.possible, "narrow by user, group, manager or content_item, or list assignments")
        return sorted(self._ready, key=lambda assignment: assignment.public_id)

    @property
    def cannot(self) -> list[str]:
        """For how many it cannot be done, why, and some of them by name; a sentence for each reason."""
        return [
            f"Not possible for {count:,} ({why}): {listed(self._names[why], NAMED)}"
            + (f" and {count - NAMED:,} more." if count > NAMED else ".")
            for why, count in self._cannot.most_common(4)
        ]

    def nothing(self, selection: Selection) -> str:
        """Why there is nothing to do."""
        if not self.total:
            return f"No{' overdue' if selection.filters.get('is_overdue') else ''} assignments{selection.words}."
        parts = [f"{self.already:,} so already"] if self.already else []
        parts += [f"not possible for {count:,} ({why})" for why, count in self._cannot.most_common(4)]
        return f"Nothing to do for {selection.counted(self.total)}: {listed(parts)}."


async def by_filters(call: Call, selection: Selection, choice: Choice) -> None:
    """Sorts all assignments that the filters leave.

    Raises:
        OutOfTime: not all of them could be read.
    """
    read = await read_assignments(call, selection, choice.take, choice.restart)
    if not read.coverage.complete:
        raise OutOfTime(f"Not all of them could be read ({read.coverage.reason}). Nothing was changed.", seconds=0)


async def by_ids(call: Call, ids: list[str], choice: Choice) -> None:
    """Sorts the assignments with these ids.

    Raises:
        InvalidArgument: some of them do not exist.
    """
    unknown: list[str] = []
    read = 0

    async def look(public_id: str) -> bool:
        nonlocal read
        try:
            choice.take(await call.api.one("get_assignment", Assignment, public_id))
        except NotFound:
            unknown.append(public_id)
        read += 1
        await call.rows_read(read, len(ids))
        return True

    await for_each(ids, look)
    if unknown:
        raise InvalidArgument(
            f"No assignments have these ids: {listed(sorted(unknown))}. Nothing was changed.",
            field_errors={"due_dates": ["holds unknown ids"]},
        )

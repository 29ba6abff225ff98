"""Which assignments a bulk action means, and to which of them it can be done."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pp_mcp.bulk.run import MOST, NAMED, too_many
from pp_mcp.declare import Call
from pp_mcp.errors import InvalidArgument, NotFound, OutOfTime
from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING, label_of
from pp_mcp.operations.transitions import Action
from pp_mcp.reports.reading import FEW, fewer_by_pages, one_by_one, read_all, read_assignments
from pp_mcp.reports.selection import Selection
from pp_mcp.text import listed, word

Dates = Callable[[str], str | None]
"""Each assignment's wanted due date, by its id."""


@dataclass
class Sorted:
    """Assignments sorted by whether an action can be done. Only those for which it can are kept, and not more of them
    than one call takes, so that a filter which matches half the tenant does not fill the memory."""

    total: int = 0
    possible: int = 0
    already: int = 0
    ready: list[Assignment] = field(default_factory=list[Assignment])
    cannot: Counter[str] = field(default_factory=Counter[str])
    """How many it cannot be done to, by why."""
    names: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Some that it is not done to, by why."""


class Choice:
    """Sorts assignments for an action, or goes on from what was sorted for it before."""

    def __init__(self, action: Action, dates: Dates | None, found: Sorted | None = None) -> None:
        self._action = action
        self._dates = dates
        self.found = found or Sorted()

    def restart(self) -> None:
        """Forgets what was taken."""
        self.found = Sorted()

    def take(self, assignment: Assignment) -> None:
        """Sorts one assignment."""
        found = self.found
        found.total += 1
        if self.is_so(assignment):
            found.already += 1
            self._name("", assignment)
        elif (why := self._why_not(assignment)) is not None:
            found.cannot[why] += 1
            self._name(why, assignment)
        else:
            found.possible += 1
            if len(found.ready) < MOST:
                found.ready.append(assignment)

    def _name(self, why: str, assignment: Assignment) -> None:
        names = self.found.names.setdefault(why, [])
        if len(names) < NAMED:
            names.append(label_of(assignment))

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
        if self.found.possible > MOST:
            raise too_many(self.found.possible, "narrow by user, group, manager or content_item, or list assignments")
        return sorted(self.found.ready, key=lambda assignment: assignment.public_id)

    @property
    def left_out(self) -> list[str]:
        """A sentence for each reason to leave some out: how many, why, and some of them by name."""
        already = self.found.already
        it = "it is" if already == 1 else "they are"
        said = [f"{already:,} {self._action.already}, left as {it}: {self._some('')}."] if already else []
        return said + [
            f"Not possible for {count:,} ({why}): {self._some(why, count)}."
            for why, count in self.found.cannot.most_common(5)
        ]

    def _some(self, why: str, count: int | None = None) -> str:
        names = self.found.names[why]
        more = (self.found.already if count is None else count) - len(names)
        return f"{', '.join(names)} and {more:,} more" if more else listed(names, NAMED)

    def nothing(self, selection: Selection) -> str:
        """Why there is nothing to do."""
        found = self.found
        if not found.total:
            return f"No{' overdue' if selection.filters.get('is_overdue') else ''} assignments{selection.words}."
        parts = [f"{found.already:,} {self._action.already}"] if found.already else []
        parts += [f"not possible for {count:,} ({why})" for why, count in found.cannot.most_common(5)]
        return f"Nothing to do for {selection.counted(found.total)}: {listed(parts, 6)}."


async def read_selected(call: Call, selection: Selection, choice: Choice) -> None:
    """Sorts all assignments of the selection into `choice`.

    Raises:
        OutOfTime: not all of them could be read.
    """
    read = await read_assignments(call, selection, Assignment, choice.take, choice.restart)
    if not read.coverage.complete:
        raise OutOfTime(
            f"Not all of them could be read ({read.coverage.reason}). Nothing was changed. Split them: narrow by user, "
            "group, manager, content_item or state.",
            seconds=0,
        )


async def read_listed(call: Call, ids: list[str]) -> list[Assignment]:
    """The assignments with these ids: one by one, or from the pages of all, whichever takes fewer requests.

    Raises:
        InvalidArgument: some of them do not exist.
        OutOfTime: not all of them could be read.
    """
    found: dict[str, Assignment] = {}
    wanted = set(ids)

    def take(one: Assignment) -> None:
        if one.public_id in wanted:
            found[one.public_id] = one

    async def look(public_id: str) -> None:
        with contextlib.suppress(NotFound):
            found[public_id] = await call.api.one("get_assignment", Assignment, public_id)

    if len(ids) > FEW and await fewer_by_pages(call, "list_assignments", Assignment, {}, singly=len(ids)):
        await read_all(call, "list_assignments", Assignment, take, found.clear, {}, tolerant=True)
    # What the pages did not show may have moved between them: it is asked for by its id.
    reason = await one_by_one(call, [one for one in ids if one not in found], look, "assignment", "assignments")
    if reason is not None:
        raise OutOfTime(
            f"Only {len(found):,} of {len(ids):,} assignments could be read in the time for one call ({reason}). "
            f"Nothing was changed. Split the list: at most {max(len(found) // 2, 1):,} in one call.",
            seconds=0,
        )
    if unknown := [one for one in ids if one not in found]:
        raise InvalidArgument(
            f"No assignments have these ids: {listed(sorted(unknown))}. Nothing was changed.",
            field_errors={"due_dates": ["contains unknown ids"]},
        )
    return [found[one] for one in ids]

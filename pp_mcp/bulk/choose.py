"""Which assignments a bulk action means, and to which of them it can be done."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pp_mcp.answers import Json
from pp_mcp.bulk.run import MOST, NAMED, too_many
from pp_mcp.declare import Call
from pp_mcp.errors import InvalidArgument, NotFound, OutOfTime
from pp_mcp.models import Assignment, ContentItem, User
from pp_mcp.operations.assignments import OUTSTANDING, label_of
from pp_mcp.operations.transitions import Action
from pp_mcp.reports.reading import (
    FEW,
    People,
    Selection,
    fewer_by_pages,
    one_by_one,
    people_of,
    read_all,
    read_assignments,
)
from pp_mcp.text import listed, plural, quoted, word

Dates = Callable[[str], str | None]
"""Each assignment's wanted due date, by its id."""


class Choice:
    """Assignments sorted by whether the action can be done. Only those for which it can are kept, and not more of them
    than one call takes, so that a filter which matches half the tenant does not fill the memory."""

    def __init__(self, action: Action, dates: Dates | None, assignments: Iterable[Assignment] = ()) -> None:
        self._action = action
        self._dates = dates
        self.restart()
        for one in assignments:
            self.take(one)

    def restart(self) -> None:
        """Forgets what was taken."""
        self.total = self.possible = self.already = 0
        self._ready: list[Assignment] = []
        self._cannot: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def take(self, assignment: Assignment) -> None:
        """Sorts one assignment."""
        self.total += 1
        if self.is_so(assignment):
            self.already += 1
            self._name("", assignment)
        elif (why := self._why_not(assignment)) is not None:
            self._cannot[why] += 1
            self._name(why, assignment)
        else:
            self.possible += 1
            if len(self._ready) < MOST:
                self._ready.append(assignment)

    def _name(self, why: str, assignment: Assignment) -> None:
        names = self._names.setdefault(why, [])
        if len(names) < NAMED:
            names.append(label_of(assignment))

    def like(self) -> Choice:
        """An empty one for the same action."""
        return Choice(self._action, self._dates)

    def add(self, other: Choice) -> None:
        """Takes what `other` sorted by the same action."""
        self.total += other.total
        self.possible += other.possible
        self.already += other.already
        self._ready = (self._ready + other._ready)[:MOST]
        self._cannot += other._cannot
        for why, names in other._names.items():
            self._names[why] = (self._names.get(why, []) + names)[:NAMED]

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
    def left_out(self) -> list[str]:
        """A sentence for each reason to leave some out: how many, why, and some of them by name."""
        it = "it is" if self.already == 1 else "they are"
        said = [f"{self.already:,} {self._action.already}, left as {it}: {self._some('')}."] if self.already else []
        return said + [
            f"Not possible for {count:,} ({why}): {self._some(why, count)}."
            for why, count in self._cannot.most_common(5)
        ]

    def _some(self, why: str, count: int | None = None) -> str:
        names = self._names[why]
        more = (self.already if count is None else count) - len(names)
        return f"{', '.join(names)} and {more:,} more" if more else listed(names, NAMED)

    def nothing(self, meant: Meant) -> str:
        """Why there is nothing to do."""
        if not self.total:
            return f"No{' overdue' if meant.is_overdue else ''} assignments{meant.words}."
        parts = [f"{self.already:,} {self._action.already}"] if self.already else []
        parts += [f"not possible for {count:,} ({why})" for why, count in self._cannot.most_common(5)]
        return f"Nothing to do for {meant.counted(self.total)}: {listed(parts, 6)}."


@dataclass(frozen=True)
class Meant:
    """The assignments that filters leave. `rest` holds the group, the manager and the filters the API takes."""

    users: list[User]
    items: list[ContentItem]
    rest: Selection

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows it: it is the whole tenant."""
        return not self.users and not self.items and self.rest.is_empty

    @property
    def is_overdue(self) -> bool:
        return self.rest.filters.get("is_overdue") is True

    @property
    def words(self) -> str:
        """What follows the noun: ` of “Security 101” for “Jane Doe” in the group “Platform”`."""
        parts = [(" of ", self.items), (" for ", self.users)]
        return "".join(f"{of}{listed([quoted(one.name) for one in all_], 3)}" for of, all_ in parts if all_) + (
            self.rest.words
        )

    def counted(self, count: int) -> str:
        """`57 overdue assignments of “Security 101”`."""
        return f"{plural(count, 'overdue assignment' if self.is_overdue else 'assignment')}{self.words}"

    @property
    def shown_by(self) -> Json:
        """The filters of a list that shows how far a run without an answer came, as near as a list can."""
        one = {name: things[0].public_id for name, things in self._named.items() if len(things) == 1}
        return {**one, **{name: value for name, value in self.rest.filters.items() if value is not None}}

    @property
    def _named(self) -> dict[str, list[User] | list[ContentItem]]:
        return {"user": self.users, "content_item": self.items}

    async def read(self, call: Call, choice: Choice) -> None:
        """Sorts all of them into `choice`.

        Raises:
            OutOfTime: not all of them could be read.
        """
        people = await people_of(call, self.rest)
        user = self.users[0] if people is None and len(self.users) == 1 else None
        if self.users and user is None:
            named = People.of(self.users)
            if people is not None:
                named.coverage = people.coverage
                named.profiles = {one: who for one, who in named.profiles.items() if one in people}
            people = named
        for item in self.items or [None]:
            found = choice.like()
            selection = replace(self.rest, user=user, content_item=item)
            read = await read_assignments(call, selection, found.take, found.restart, people=people)
            if not read.coverage.complete:
                raise OutOfTime(
                    f"Not all of them could be read ({read.coverage.reason}). Nothing was changed. Split them: narrow "
                    "by user, group, manager, content_item or state.",
                    seconds=0,
                )
            choice.add(found)


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

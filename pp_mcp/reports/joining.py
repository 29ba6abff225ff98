"""Assignments joined with what only people's profiles say: who reports to whom, and who has left."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pp_mcp.declare import Call
from pp_mcp.errors import PlusPlusError
from pp_mcp.models import AssignmentFacts, PersonRef, User
from pp_mcp.reports.counting import Counting, Key, Label, counted
from pp_mcp.reports.planning import count_instead
from pp_mcp.reports.reading import (
    NOT_KNOWN,
    UNKNOWN,
    People,
    Read,
    add_missing,
    count_of,
    pages_of,
    people_of,
    read_assignments,
    read_people,
)
from pp_mcp.reports.selection import Selection
from pp_mcp.text import listed, plural, quoted, word

BESIDE = {"user": "user_email", "manager": "manager_email", "content_item": "content_item_id"}
"""What a row has beside the name of a dimension's value."""

ASIDE = 25
"""Requests that may be spent on who is active where nobody asked for people."""


class Joined:
    """Assignments of a selection, counted by dimensions."""

    def __init__(self, call: Call, selection: Selection, dimensions: list[str]) -> None:
        self.dimensions = dimensions
        self.selection = selection
        self.counting = Counting({name: BESIDE.get(name) for name in dimensions}, ("overdue", "total"))
        self.people = People()
        self._call = call
        self.was_counted = False
        """Whether the API counted, and no row was read."""
        self._complete = False
        self._strangers = False
        """Whether somebody occurs of whom it is not known whether they are active."""
        self._items = {item: 1 << at for at, item in enumerate(selection.items)}
        self._completed: dict[str, int] = {}
        """Which of the content items each person completed, a bit for each."""

    @property
    def needs_managers(self) -> bool:
        """Whether it is counted by manager."""
        return "manager" in self.dimensions

    @property
    def names_managers(self) -> bool:
        """Whether each person's manager is named beside them, being no row of their own."""
        return "user" in self.dimensions and not self.needs_managers

    @property
    def knows_who_is_active(self) -> bool:
        """Whether it is known of everybody counted whether they are active."""
        return not self._strangers and not self.was_counted

    @property
    def tells_completed_all(self) -> bool:
        """Whether it is said who completed all of several content items: only where all completions were read."""
        narrowed = any(value is not None for value in self.selection.filters.values())
        several = len(self._items) > 1 and "user" in self.dimensions
        return several and self._complete and not narrowed and not self.selection.completed.is_given

    @property
    def completed_all(self) -> int:
        """How many people completed all of the content items."""
        return sum(map(self._has_all, self._completed))

    def _has_all(self, person: str) -> bool:
        return self._completed.get(person, 0) == (1 << len(self._items)) - 1

    async def read(self, *, everyone: bool) -> Read:
        """Counts all assignments of the selection. `everyone`: the profiles of all people who occur are needed."""
        theirs = await people_of(self._call, self.selection)
        if theirs is None:
            read = await self._with_everyone(needed=everyone)
        else:
            self.people = theirs
            read = await read_assignments(
                self._call, self.selection, AssignmentFacts, self._take, self._restart, people=theirs
            )
        self._complete = read.coverage.complete
        return read

    async def _with_everyone(self, *, needed: bool) -> Read:
        """Has the API count, or reads with the profiles of whoever occurs: all people are read first, or, where there
        are fewer assignments than pages of people, the people of those assignments after them. Where nobody needs the
        profiles, they are read only if that takes few requests."""
        call, selection = self._call, self.selection
        began = call.api.requests
        count = await count_of(call, selection)
        counted = await count_instead(call, selection, self.dimensions, self.counting, count, began)
        if counted is not None:
            self.was_counted, self.counting.tells_people = True, False
            return counted
        pages = await self._pages(needed)
        few: list[AssignmentFacts] = []
        if not needed and min(pages, count) > ASIDE:
            return await read_assignments(call, selection, AssignmentFacts, self._take, self._restart)
        if pages < count:
            self.people = await self._everyone(needed)
            read = await read_assignments(call, selection, AssignmentFacts, self._take, self._restart)
            how = f"profiles of {plural(len(self.people), 'person', 'people')}"
        else:
            read = await read_assignments(call, selection, AssignmentFacts, few.append, few.clear)
            await add_missing(call, self.people, [one.user.public_id for one in few])
            for one in few:
                self._take(one)
            how = "profiles looked up"
        coverage = read.coverage
        if needed and self.people.coverage is not None:
            coverage = coverage.also(self.people.coverage, "managers")
        elif needed and self._strangers:
            coverage = replace(
                coverage, complete=False, reason=coverage.reason or "not all managers could be looked up"
            )
        return Read(coverage, f"{read.how}, {how}")

    async def _pages(self, needed: bool) -> float:
        """How many requests everybody's profiles take; without end where they cannot be had and are not needed."""
        try:
            return await pages_of(self._call, "list_users", User, {})
        except PlusPlusError:
            if needed:
                raise
            return math.inf

    async def _everyone(self, needed: bool) -> People:
        try:
            return await read_people(self._call, {}, tolerant=True)
        except PlusPlusError:
            if needed:
                raise
            return People()

    async def look_up_managers(self, top: int) -> None:
        """Reads the managers of the people in the first rows, where they are not known."""
        at = self.dimensions.index("user")
        await add_missing(self._call, self.people, [bucket.key[at] for bucket in self.counting.first(top)])

    def _restart(self) -> None:
        self.counting.restart()
        self._completed.clear()
        self._strangers = False

    def _take(self, assignment: AssignmentFacts) -> None:
        person = assignment.user.public_id
        columns = counted(assignment, self._call.today)
        profile = self.people.profiles.get(person)
        if profile is not None and not profile.is_active:
            columns = *columns, ("inactive", 1)
        elif profile is None and not self.people.is_unlisted(person):
            self._strangers = True
        values = (self._value(dimension, assignment) for dimension in self.dimensions)
        self.counting.add(values, columns, person)
        if len(self._items) > 1 and assignment.state == "completed":
            bit = self._items.get(assignment.content_item.public_id, 0)
            self._completed[person] = self._completed.get(person, 0) | bit

    def _value(self, dimension: str, assignment: AssignmentFacts) -> str:
        user, item = assignment.user, assignment.content_item
        match dimension:
            case "user":
                # Where there is a profile, its label is kept already.
                known = self.people.profiles.get(user.public_id)
                return self.counting.named(known.label if known else Label(user.public_id, user.name, user.email))
            case "manager":
                manager = self.people.manager_of(user.public_id)
                if manager is None or isinstance(manager, str):
                    return manager or ""
                return self.counting.named(Label(manager.public_id, manager.name, manager.email))
            case "content_item":
                return self.counting.named(Label(item.public_id, item.name))
            case "content_type":
                return item.content_type
            case "state":
                return assignment.state
            case _:
                return (assignment.due_date or "")[:7]

    def header(self) -> list[str]:
        """The columns that label a row of the CSV."""
        beside = ["manager", "manager_email"] if self.names_managers else []
        beside += ["is_active"] if "user" in self.dimensions else []
        return [*self.counting.header(), *beside, *(["completed_all"] if self.tells_completed_all else [])]

    def fixed(self) -> frozenset[str]:
        """The columns that hold what the filters say already; none where nothing else would name a row."""
        selection = self.selection
        given = {
            "user": selection.user and len(selection.user) == 1,
            "manager": selection.manager,
            "content_item": len(selection.items) == 1,
            "content_type": selection.filters.get("content_type"),
            "state": selection.filters.get("state"),
        }
        names = {name for name, value in given.items() if value}
        # One person's manager was not asked for, but is the same in each row.
        names |= {"manager"} if "user" in names else set()
        if names >= set(self.dimensions):
            names.clear()
        columns = names | {BESIDE[name] for name in names if name in BESIDE}
        return frozenset(columns | {"is_active"} if "user" in names or selection.is_active is not None else columns)

    def labels(self, key: Key, *, whole: bool) -> dict[str, Any]:
        """A bucket's key in words, with each person's manager and whether they are active: that only where they are
        not, unless it is `whole`."""
        row = self.counting.labels(key)
        if "user" not in self.dimensions:
            return row
        person = key[self.dimensions.index("user")]
        if self.names_managers:
            row |= manager_columns(self.people, person)
        profile = self.people.profiles.get(person)
        if whole or (profile is not None and not profile.is_active):
            row["is_active"] = profile.is_active if profile is not None else UNKNOWN
        if self.tells_completed_all:
            row["completed_all"] = self._has_all(person)
        return row

    def worst(self) -> str:
        """`, most under “R. Alvarez” (14) and “J. Doe” (9)`; nothing where no bucket stands out."""
        late = [bucket for bucket in self.counting.first(4) if bucket.counts["overdue"]]
        if not late or len(self.counting) == 1:
            return ""
        if len(late) > 3 and late[0].counts["overdue"] == late[3].counts["overdue"]:
            return ""
        if len(late) == 1:
            return f", all {' '.join(self._phrase(late[0].key)).strip()}"
        said: list[str] = []
        before = ""
        for key, counts in late[:3]:
            preposition, label = self._phrase(key)
            label = f"{label} ({counts['overdue']:,})"
            said.append(f"{preposition} {label}".strip() if preposition != before else label)
            before = preposition
        return f", most {listed(said)}"

    def _phrase(self, key: Key) -> tuple[str, str]:
        """A bucket in a sentence about overdue assignments: a preposition, and who or what."""
        row = self.counting.labels(key)
        dimension, value = self.dimensions[0], key[0]
        if dimension == "manager" and value in ("", *NOT_KNOWN):
            return "", "people without a manager" if not value else f"people whose manager is {value}"
        if dimension == "due_month" and not value:
            return "", "those without a due date"
        labels = [quoted(row[name]) if name in BESIDE else word(row[name]) for name in self.dimensions]
        return _BEFORE[dimension], " / ".join(labels)


_BEFORE = {
    "user": "for",
    "manager": "under",
    "content_item": "of",
    "content_type": "of type",
    "state": "in state",
    "due_month": "due in",
}


def manager_columns(people: People, person: str) -> dict[str, Any]:
    """A person's manager, as a row names them."""
    manager = people.manager_of(person)
    if isinstance(manager, PersonRef):
        return {"manager": manager.label, "manager_email": manager.email}
    return {"manager": manager or "none"}

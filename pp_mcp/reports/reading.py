"""Whose assignments of what: read once for a report, in the way that takes fewest requests, and kept small."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from pp_mcp.api.walk import (
    OUT_OF_TIME,
    PAGE_SIZE,
    PASSING,
    RESERVE,
    Coverage,
    Filters,
    PageReader,
    for_each,
    now,
    walk,
    walk_pages,
    why,
)
from pp_mcp.declare import Call
from pp_mcp.errors import NotFound, PlusPlusError
from pp_mcp.models import Assignment, AssignmentFacts, Page, PersonRef, User
from pp_mcp.reports.counting import Label
from pp_mcp.reports.selection import AssignmentFilters, Selection
from pp_mcp.text import plural

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)
KindT = TypeVar("KindT", Assignment, AssignmentFacts)
"""Whole assignments, or what is counted of them."""

NOT_READ = "not read"
"""Stands for a manager where the people could not all be read."""

UNKNOWN = "unknown"
"""Stands for the manager of somebody who is not among the people the API lists."""

NOT_KNOWN = (NOT_READ, UNKNOWN)

FEW = 3
"""People that are looked up without asking first how many there are in all."""


class Profile(NamedTuple):
    """What a report needs to know of a person."""

    label: Label
    manager: PersonRef | None
    is_active: bool


class People:
    """Some people's profiles, by id. `coverage` says how they were read; none where nothing had to be."""

    def __init__(self) -> None:
        self.profiles: dict[str, Profile] = {}
        self.coverage: Coverage | None = None
        self.unlisted: set[str] = set()
        """People that were looked up and are not there."""
        self._managers: dict[str, PersonRef] = {}

    def __len__(self) -> int:
        return len(self.profiles)

    def __contains__(self, public_id: str) -> bool:
        return public_id in self.profiles

    @classmethod
    def of(cls, users: Iterable[User]) -> People:
        """These people, known already."""
        people = cls()
        for user in users:
            people.take(user)
        return people

    def take(self, user: User) -> None:
        """Notes one person."""
        manager = user.manager
        if manager is not None:
            # One object for all who have the same manager.
            manager = self._managers.setdefault(manager.public_id, manager)
        self.profiles[user.public_id] = Profile(
            Label(user.public_id, user.label, user.email), manager, user.is_active is not False
        )

    def manager_of(self, public_id: str) -> PersonRef | str | None:
        """A person's manager; None where there is none, a word of `NOT_KNOWN` where that is not known."""
        profile = self.profiles.get(public_id)
        if profile is not None:
            return profile.manager
        return UNKNOWN if self.is_unlisted(public_id) else NOT_READ

    def is_unlisted(self, public_id: str) -> bool:
        """Whether the API is known not to list the person."""
        everyone = self.coverage is not None and self.coverage.complete
        return public_id not in self.profiles and (everyone or public_id in self.unlisted)

    def keep(self, public_ids: set[str]) -> None:
        """Forgets everybody else."""
        self.profiles = {one: profile for one, profile in self.profiles.items() if one in public_ids}


async def read_all(
    call: Call,
    operation: str,
    model: type[ModelT],
    take: Callable[[ModelT], None],
    restart: Callable[[], None],
    filters: Filters,
    **options: Any,
) -> Coverage:
    """Hands every row of a list to `take` once and tells how far it is; see `walk` for `restart` and the options."""
    options = {"filters": filters, "progress": call.rows_read, **options}
    first = call.memo.pop(_first_page(operation, model, filters), None)
    return await walk(call.api, operation, model, take, restart, first=first, **options)


async def rows_of(call: Call, operation: str, model: type[BaseModel], filters: Filters) -> int:
    """How many rows a list has; takes one request, for its first page, which `read_all` then need not ask for again."""
    first = await call.api.page(operation, model, page=1, page_size=PAGE_SIZE, **filters)
    call.memo[_first_page(operation, model, filters)] = first
    return first.total_count


def _first_page(operation: str, model: type[BaseModel], filters: Filters) -> str:
    given = sorted((name, value) for name, value in filters.items() if value is not None)
    return f"{operation} {model.__name__} {given}"


async def read_people(call: Call, filters: Filters, *, tolerant: bool = False) -> People:
    """The people these filters leave. At most half of the time left is spent, and where it is not enough the coverage
    says so."""
    people = People()
    leave = RESERVE + max(0.0, call.api.remaining - RESERVE) / 2
    people.coverage = await read_all(
        call, "list_users", User, people.take, people.profiles.clear, filters, tolerant=tolerant, leave=leave
    )
    return people


async def pages_of(call: Call, operation: str, model: type[BaseModel], filters: Filters) -> int:
    """How many requests all pages of a list take; takes one request to find out."""
    return math.ceil(await rows_of(call, operation, model, filters) / PAGE_SIZE)


async def fewer_by_pages(call: Call, operation: str, model: type[BaseModel], filters: Filters, *, singly: int) -> bool:
    """Whether all pages of a list are fewer requests than so many single ones; takes one request to find out."""
    return await pages_of(call, operation, model, filters) < singly


async def add_missing(call: Call, people: People, wanted: Iterable[str]) -> None:
    """Adds the profiles of these people where they are missing: looked up one by one, or all people read, whichever is
    less. What cannot be read stays missing: it must not spoil a report that stands already."""
    missing = [one for one in dict.fromkeys(wanted) if one not in people]
    try:
        if len(missing) > FEW and await fewer_by_pages(call, "list_users", User, {}, singly=len(missing)):
            everyone = await read_people(call, {}, tolerant=True)
            people.profiles |= everyone.profiles
            people.coverage = everyone.coverage
        else:
            await _look_up(call, people, missing)
    except PlusPlusError:
        return


async def _look_up(call: Call, people: People, missing: list[str]) -> None:
    async def look(public_id: str) -> bool:
        try:
            people.take(await call.api.one("get_user", User, public_id))
        except NotFound:
            people.unlisted.add(public_id)
        return True

    await for_each(missing, look)


@dataclass(frozen=True)
class Read:
    """How a selection was read."""

    coverage: Coverage
    how: str


async def people_of(call: Call, selection: Selection) -> People | None:
    """The people whose assignments are selected; None where they may be anybody's."""
    users = selection.user
    if selection.group is None and selection.manager is None:
        if users is not None:
            return People.of(one for one in users if selection.is_active in (None, one.is_active is not False))
        if selection.is_active is None:
            return None
    people = await read_people(
        call,
        {
            "group": selection.group.public_id if selection.group else None,
            "manager": selection.manager.public_id if selection.manager else None,
            "is_active": selection.is_active,
        },
    )
    if users is not None:
        people.keep({one.public_id for one in users})
    return people


async def count_of(call: Call, selection: Selection) -> int:
    """How many assignments there are in what is read of the selection where they may be anybody's, at most."""
    if len(selection.items) > 1:
        return sum(item.total_assignments or 0 for item in selection.items.values())
    return await rows_of(call, "list_assignments", AssignmentFacts, selection.asked)


def pages_for(selection: Selection, total: int) -> int:
    """How many requests it takes, at most, to read a selection of so many assignments."""
    if len(selection.items) < 2:
        return math.ceil(total / PAGE_SIZE)
    return sum(math.ceil((item.total_assignments or 1) / PAGE_SIZE) for item in selection.items.values())


def fewest(ways: dict[str, int]) -> str:
    """The way that takes the fewest requests; of two alike the first."""
    return min(ways, key=ways.__getitem__)


async def read_assignments(
    call: Call,
    selection: Selection,
    model: type[KindT],
    take: Callable[[KindT], None],
    restart: Callable[[], None],
    *,
    people: People | None = None,
) -> Read:
    """Hands every assignment of the selection to `take` once; see `walk` for `restart` and what ends it early.

    `people`: whose assignments are selected, read already. Where not all of them could be read, it is not complete.
    """
    theirs = people if people is not None else await people_of(call, selection)
    items, asked = selection.items, selection.asked
    if theirs is not None and not theirs:
        coverage, how = Coverage(complete=True, rows_read=0, rows_total=0, as_of=now()), "nobody to read of"
        return Read(_with(coverage, theirs), how)
    if theirs is not None and len(theirs) == 1:
        asked = {**asked, "user": next(iter(theirs.profiles))}

    def take_wanted(assignment: KindT) -> None:
        is_theirs = theirs is None or assignment.user.public_id in theirs
        is_of_these = len(items) < 2 or assignment.content_item.public_id in items
        if is_theirs and is_of_these and selection.completed.has(assignment):
            take(assignment)

    ways = {"people": len(theirs)} if theirs is not None and len(theirs) > 1 else {}
    ways |= {"items": pages_for(selection, 0)} if len(items) > 1 else {}
    if ways:
        ways["everything"] = await pages_of(call, "list_assignments", model, asked)
    way = fewest(ways) if ways else "everything"
    if way == "everything":
        narrowed = people is not None or (theirs is not None and theirs.coverage is not None)
        coverage = await read_all(call, "list_assignments", model, take_wanted, restart, asked, tolerant=narrowed)
        kept = [_people(len(theirs))] if theirs is not None and len(theirs) > 1 else []
        kept += [plural(len(items), "item")] if len(items) > 1 else []
        how = f"one pass over {plural(coverage.rows_read, 'assignment')}"
        how += f", kept those of {' and '.join(kept)}" if kept else ""
    elif way == "people" and theirs is not None:
        coverage = await _each(call, model, list(theirs.profiles), asked, take_wanted)
        how = f"person by person, {_people(len(theirs))}"
    else:
        page = _joined(call, model, [{**asked, "content_item": item} for item in items])
        coverage = await walk_pages(call.api, page, take_wanted, restart, progress=call.rows_read)
        how = f"item by item, {plural(len(items), 'item')}"
    return Read(_with(coverage, theirs), how)


def _with(coverage: Coverage, people: People | None) -> Coverage:
    return coverage if people is None or people.coverage is None else coverage.also(people.coverage, "the people")


def _joined(call: Call, model: type[KindT], lists: list[Filters]) -> PageReader[KindT]:
    """Several lists of assignments, read as one: its first page holds the first pages of all, the others follow."""
    totals = [0] * len(lists)
    rest: list[tuple[int, int]] = []

    async def read(at: int, number: int) -> list[KindT]:
        found = await call.api.page("list_assignments", model, page=number, page_size=PAGE_SIZE, **lists[at])
        totals[at] = found.total_count
        if number == 1:
            rest.extend((at, later) for later in range(2, found.total_pages + 1))
        return found.items

    async def page(number: int, size: int) -> Page[KindT]:
        rows: list[KindT] = []
        if number == 1:
            rest.clear()

            async def first(at: int) -> bool:
                rows.extend(await read(at, 1))
                return True

            await for_each(range(len(lists)), first)
        else:
            rows = await read(*rest[number - 2])
        return Page(rows, number, size, sum(totals), 1 + len(rest))

    return page


async def _each(
    call: Call, model: type[KindT], people: list[str], filters: AssignmentFilters, take: Callable[[KindT], None]
) -> Coverage:
    """Each person's assignments by themselves; a person's are handed on only once they are all read."""
    as_of = now()
    parts: list[Coverage] = []

    async def read_one(person: str) -> str | None:
        rows: list[KindT] = []
        theirs = {**filters, "user": person}
        options: dict[str, Any] = {"filters": theirs, "workers": 1, "tolerant": True}
        part = await walk(call.api, "list_assignments", model, rows.append, rows.clear, **options)
        for row in rows:
            take(row)
        parts.append(part)
        return part.reason

    reason = await one_by_one(call, people, read_one, "person", "people")
    rows_read, rows_total = sum(part.rows_read for part in parts), sum(part.rows_total for part in parts)
    return Coverage(reason is None, rows_read, rows_total, as_of, reason)


async def one_by_one(
    call: Call, things: Sequence[T], read_one: Callable[[T], Awaitable[str | None]], one: str, many: str
) -> str | None:
    """Reads things singly, several at once. `read_one` answers why a thing could not be read whole, or None.

    Answers how many were read and why not the others; None where all were. Refusals rise.
    """
    read = 0
    reasons: list[str] = []

    async def work(thing: T) -> bool:
        nonlocal read
        try:
            reason = await read_one(thing)
        except PASSING as error:
            reason = why(error)
        if reason is not None:
            reasons.append(reason)
            return False
        read += 1
        await call.report(read, len(things), f"checking {read:,} of {plural(len(things), one, many)}")
        return True

    await for_each(things, work)
    if read == len(things):
        return None
    return f"{read:,} of {plural(len(things), one, many)} read: {(reasons or [OUT_OF_TIME])[0]}"


def _people(count: int) -> str:
    return plural(count, "person", "people")

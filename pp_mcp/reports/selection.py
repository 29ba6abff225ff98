"""Which assignments a report or a bulk call is about, and the cheapest way to read them.

The API filters assignments by person and by content item, not by group or manager. So the people are read first, and
then either each person's assignments, or all that the other filters leave, of which only those people's are kept:
whichever takes fewer requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from pp_mcp.api.walk import PAGE_SIZE, Coverage, Progress, drain, walk
from pp_mcp.declare import Call
from pp_mcp.errors import PlusPlusError
from pp_mcp.models import Assignment, ContentItem, Group, User
from pp_mcp.text import plural, quoted

WORKERS = 16
"""Tasks that read pages; how many requests really run at once is the client's limit."""


@dataclass(frozen=True)
class Selection:
    """What the caller narrowed to. `filters` are those the API takes as they are."""

    user: User | None = None
    manager: User | None = None
    group: Group | None = None
    content_item: ContentItem | None = None
    filters: dict[str, str | bool | None] = field(default_factory=dict[str, "str | bool | None"])

    @property
    def words(self) -> str:
        """The selection after its noun: ` of “Security 101” in the group “Platform”`."""
        parts: list[str] = []
        if self.content_item:
            parts.append(f" of {quoted(self.content_item.name)}")
        if self.user:
            parts.append(f" for {quoted(self.user.name)}")
        if self.group:
            parts.append(f" in the group {quoted(self.group.name)}")
        if self.manager:
            parts.append(f" under {quoted(self.manager.name)}")
        for name, value in self.filters.items():
            if value is not None and name != "is_overdue":
                parts.append(f", {name}={str(value).lower() if isinstance(value, bool) else value}")
        return "".join(parts)

    @property
    def allows_rates(self) -> bool:
        """Whether a completion rate means anything: of what was picked by its state it does not."""
        return self.filters.get("state") is None and self.filters.get("is_overdue") is None

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows it: it is the whole tenant."""
        named = (self.user, self.manager, self.group, self.content_item)
        return all(one is None for one in named) and all(value is None for value in self.filters.values())


@dataclass(frozen=True)
class Read:
    """How a selection was read."""

    coverage: Coverage
    how: str
    people: dict[str, User] | None
    """The people the selection was narrowed to by group or manager; None where it was not."""


async def people_of(call: Call, selection: Selection) -> dict[str, User] | None:
    """The people that group and manager leave; None where neither is given."""
    if selection.group is None and selection.manager is None:
        return None
    filters = {
        "group": selection.group.public_id if selection.group else None,
        "manager": selection.manager.public_id if selection.manager else None,
    }
    people = await drain(call.api, "list_users", User, filters=filters)
    wanted = selection.user.public_id if selection.user else None
    return {person.public_id: person for person in people if wanted in (None, person.public_id)}


async def read_assignments(
    call: Call,
    selection: Selection,
    take: Callable[[Assignment], None],
    restart: Callable[[], None],
    *,
    chosen: dict[str, User] | None = None,
) -> Read:
    """Hands every assignment of the selection to `take` once; see `walk` for `restart` and what ends it early. `chosen`:
    only of these people, known already."""
    people = chosen if chosen is not None else await people_of(call, selection)
    filters: dict[str, str | bool | None] = {
        **selection.filters,
        "content_item": selection.content_item.public_id if selection.content_item else None,
    }
    if people is None:
        filters["user"] = selection.user.public_id if selection.user else None
        coverage = await _walk(call, filters, take, restart)
        return Read(coverage, f"one pass over {plural(coverage.rows_read, 'assignment')}", None)
    theirs = people
    total = await _count(call, filters)
    if math.ceil(total / PAGE_SIZE) <= len(theirs):

        def take_theirs(assignment: Assignment) -> None:
            if assignment.user.public_id in theirs:
                take(assignment)

        coverage = await _walk(call, filters, take_theirs, restart)
        how = f"one pass over {plural(coverage.rows_read, 'assignment')}, kept those of {_people(len(theirs))}"
        return Read(coverage, how, people)
    coverage = await _each(call, list(theirs), filters, take)
    return Read(coverage, f"person by person, {_people(len(theirs))}", people)


async def _walk(
    call: Call,
    filters: dict[str, str | bool | None],
    take: Callable[[Assignment], None],
    restart: Callable[[], None],
) -> Coverage:
    return await walk(
        call.api,
        "list_assignments",
        Assignment,
        take,
        restart,
        filters=filters,
        workers=WORKERS,
        progress=progress_of(call),
    )


def progress_of(call: Call) -> Progress:
    """Tells the client how many rows are read, of how many."""

    async def progress(read: int, total: int) -> None:
        await call.report(read, total, f"{read:,} of {total:,} rows read")

    return progress


async def _count(call: Call, filters: dict[str, str | bool | None]) -> int:
    return (await call.api.page("list_assignments", Assignment, page_size=1, **filters)).total_count


async def _each(
    call: Call, people: list[str], filters: dict[str, str | bool | None], take: Callable[[Assignment], None]
) -> Coverage:
    """Each person's assignments by themselves; a person's are handed on only once they are all read."""
    parts: list[Coverage] = []
    failures: list[PlusPlusError] = []
    queue = iter(people)

    async def work() -> None:
        for person in queue:
            rows: list[Assignment] = []
            try:
                part = await walk(
                    call.api,
                    "list_assignments",
                    Assignment,
                    rows.append,
                    rows.clear,
                    filters={**filters, "user": person},
                    workers=1,
                )
            except PlusPlusError as error:
                failures.append(error)
                group.cancel_scope.cancel()
                return
            for row in rows:
                take(row)
            parts.append(part)
            await call.report(len(parts), len(people), f"{len(parts):,} of {len(people):,} people read")
            if not part.complete:
                return

    async with anyio.create_task_group() as group:
        for _ in range(min(WORKERS, len(people))):
            group.start_soon(work)
    if failures:
        raise failures[0]
    reason = next((part.reason for part in parts if part.reason), None)
    if reason is None and len(parts) < len(people):
        reason = "the time for one call ran out"
    read = sum(part.rows_read for part in parts)
    as_of = min((part.as_of for part in parts), default=_now())
    total = sum(part.rows_total for part in parts)
    return Coverage(complete=reason is None, rows_read=read, rows_total=total, as_of=as_of, reason=reason)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _people(count: int) -> str:
    return plural(count, "person", "people")

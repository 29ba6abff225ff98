"""Reading all pages of a list: concurrently, each row once, and knowing whether that was all.

The pages of a list are read while others change the tenant. Rows then move between pages: some come twice, some not at
all. A walk sees this by the counts and reads again; if they still move, it says so rather than answer as if it knew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel

from pp_mcp.api.client import Api
from pp_mcp.errors import AnswerLost, NotReached, OutOfTime, PlusPlusError, RateLimited, ServerFailure, UnexpectedAnswer
from pp_mcp.models import Page

PAGE_SIZE = 100
"""Rows a page, the API's maximum (documented)."""

RESERVE = 4.0
"""Seconds of a call's budget that are kept for the answer itself."""

ModelT = TypeVar("ModelT", bound=BaseModel)
Filters = Mapping[str, str | bool | int | Sequence[str] | None]
Progress = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True)
class Coverage:
    """What a walk read of what there is. Only on `complete` may a rate be given."""

    complete: bool
    rows_read: int
    rows_total: int
    as_of: str
    """When the reading began, ISO 8601, UTC."""
    reason: str | None = None
    """Why it is not complete."""


class _Pass:
    """One reading of all pages."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.repeated = False
        self.totals: set[int] = set()
        self.total = 0
        self.stopped: str | None = None

    @property
    def moved(self) -> bool:
        return self.repeated or len(self.totals) > 1 or len(self.seen) != self.total


async def walk(
    api: Api,
    operation: str,
    model: type[ModelT],
    take: Callable[[ModelT], None],
    restart: Callable[[], None],
    *,
    filters: Filters | None = None,
    workers: int = 8,
    progress: Progress | None = None,
) -> Coverage:
    """Reads every page of a list and hands each row to `take` once.

    `restart` forgets what was taken; it is called when rows moved and there is time to read all of them again. A call's
    budget that runs out, or a rate limit that outlasts it, ends the walk with what was read so far and no error; other
    errors of the API rise. Rows are told apart by `public_id`; of each only a hash is kept.
    """
    as_of = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    began = api.remaining
    current = await _read_all(api, operation, model, take, filters or {}, workers, progress)
    if current.moved and current.stopped is None and began - api.remaining < (api.remaining - RESERVE) / 2:
        restart()
        current = await _read_all(api, operation, model, take, filters or {}, workers, progress)
    reason = current.stopped
    if reason is None and current.moved:
        reason = "rows were added or removed while they were read, twice in a row; counts may be off by a few"
    return Coverage(
        complete=reason is None, rows_read=len(current.seen), rows_total=current.total, as_of=as_of, reason=reason
    )


async def _read_all(
    api: Api,
    operation: str,
    model: type[ModelT],
    take: Callable[[ModelT], None],
    filters: Filters,
    workers: int,
    progress: Progress | None,
) -> _Pass:
    state = _Pass()

    def absorb(page: Page[ModelT]) -> None:
        state.totals.add(page.total_count)
        state.total = page.total_count
        for row in page.items:
            key = hash(getattr(row, "public_id", None))
            if key in state.seen:
                state.repeated = True
            else:
                state.seen.add(key)
                take(row)

    async def read(number: int) -> Page[ModelT] | None:
        if api.remaining < RESERVE:
            state.stopped = state.stopped or "the time for one call ran out"
            return None
        try:
            return await api.page(operation, model, page=number, page_size=PAGE_SIZE, **filters)
        except (OutOfTime, RateLimited, ServerFailure, UnexpectedAnswer, AnswerLost, NotReached) as error:
            if number == 1:
                raise
            state.stopped = state.stopped or _why(error)
            return None

    first = await read(1)
    if first is None:
        raise OutOfTime("There was no time left to read.", seconds=0)
    absorb(first)
    pages = first.total_pages
    if pages < 2:
        return state
    queue = iter(range(2, pages + 1))

    failures: list[PlusPlusError] = []

    async def work() -> None:
        for number in queue:
            try:
                page = await read(number)
            except PlusPlusError as error:
                failures.append(error)
                group.cancel_scope.cancel()
                return
            if page is None:
                return
            absorb(page)
            if progress is not None:
                await progress(len(state.seen), state.total)

    async with anyio.create_task_group() as group:
        for _ in range(min(workers, pages - 1)):
            group.start_soon(work)
    if failures:
        raise failures[0]
    return state


def _why(error: PlusPlusError) -> str:
    if isinstance(error, RateLimited):
        return "the API's rate limit left no room within the time for one call"
    if isinstance(error, OutOfTime):
        return "the time for one call ran out"
    return "the API failed on a page, several times"


async def drain(api: Api, operation: str, model: type[ModelT], *, filters: Filters | None = None) -> list[ModelT]:
    """All rows of a list, as a list: for sets that are small enough to hold, such as a group's members.

    Raises:
        OutOfTime: not all of them could be read, or they kept moving: a part would be taken for the whole.
    """
    rows: list[ModelT] = []
    coverage = await walk(api, operation, model, rows.append, rows.clear, filters=filters)
    if not coverage.complete:
        raise OutOfTime(
            f"Only {coverage.rows_read:,} of {coverage.rows_total:,} rows could be read: {coverage.reason}. "
            "Nothing was changed; try again in a moment.",
            seconds=0,
        )
    return rows

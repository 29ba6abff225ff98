"""Reading all pages of a list: concurrently, each row once, and knowing whether that was all.

The pages of a list are read while others change the tenant. Rows then move between pages: some come twice, some not at
all. A walk sees this by the counts and reads again; if they still move, it says so rather than answer as if it knew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

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
PageReader = Callable[[int, int], Awaitable[Page[ModelT]]]


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
    """Reads every page of a list and hands each row to `take` once; see `walk_pages`."""

    async def page(number: int, size: int) -> Page[ModelT]:
        return await api.page(operation, model, page=number, page_size=size, **(filters or {}))

    return await walk_pages(api, page, take, restart, workers=workers, progress=progress)


async def walk_pages(
    api: Api,
    page: PageReader[ModelT],
    take: Callable[[ModelT], None],
    restart: Callable[[], None],
    *,
    workers: int = 8,
    progress: Progress | None = None,
) -> Coverage:
    """Reads every page that `page` (number, size) gives and hands each row to `take` once.

    `restart` forgets what was taken; it is called when rows moved and there is time to read all of them again. A call's
    budget that runs out, or a rate limit or failing service that outlasts it, ends the walk with what was read so far
    and no error, unless it is the first page; refusals rise. Rows are told apart by `public_id`; of each only a hash is
    kept.
    """
    as_of = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    began = api.remaining
    current = _Pass(api, page, take, progress)
    await current.read_all(workers)
    if current.moved and current.stopped is None and began - api.remaining < (api.remaining - RESERVE) / 2:
        restart()
        current = _Pass(api, page, take, progress)
        await current.read_all(workers)
    reason = current.stopped
    if reason is None and current.moved:
        reason = "rows were added or removed while they were read, twice in a row; counts may be off by a few"
    return Coverage(
        complete=reason is None, rows_read=len(current.seen), rows_total=current.total, as_of=as_of, reason=reason
    )


class _Pass(Generic[ModelT]):
    """One reading of all pages."""

    def __init__(
        self, api: Api, page: PageReader[ModelT], take: Callable[[ModelT], None], progress: Progress | None
    ) -> None:
        self._api = api
        self._page = page
        self._take = take
        self._progress = progress
        self._repeated = False
        self._totals: set[int] = set()
        self._failures: list[PlusPlusError] = []
        self.seen: set[int] = set()
        self.total = 0
        self.stopped: str | None = None

    @property
    def moved(self) -> bool:
        """Whether rows moved between pages while they were read."""
        return self._repeated or len(self._totals) > 1 or len(self.seen) != self.total

    async def read_all(self, workers: int) -> None:
        """Reads the first page, and then the others concurrently."""
        if self._api.remaining < RESERVE:
            raise OutOfTime("There was no time left to read.", seconds=0)
        first = await self._page(1, PAGE_SIZE)
        self._absorb(first)
        if first.total_pages < 2:
            return
        numbers = iter(range(2, first.total_pages + 1))
        async with anyio.create_task_group() as group:
            for _ in range(min(workers, first.total_pages - 1)):
                group.start_soon(self._work, numbers, group.cancel_scope)
        if self._failures:
            raise self._failures[0]

    async def _work(self, numbers: Iterator[int], scope: anyio.CancelScope) -> None:
        for number in numbers:
            if self.stopped is None and self._api.remaining < RESERVE:
                self.stopped = "the time for one call ran out"
            if self.stopped is not None:
                return
            try:
                page = await self._page(number, PAGE_SIZE)
            except (OutOfTime, RateLimited, ServerFailure, UnexpectedAnswer, AnswerLost, NotReached) as error:
                self.stopped = self.stopped or _why(error)
                return
            except PlusPlusError as error:
                self._failures.append(error)
                scope.cancel()
                return
            self._absorb(page)
            if self._progress is not None:
                await self._progress(len(self.seen), self.total)

    def _absorb(self, page: Page[ModelT]) -> None:
        self._totals.add(page.total_count)
        self.total = page.total_count
        for row in page.items:
            key = hash(getattr(row, "public_id", None))
            if key in self.seen:
                self._repeated = True
            else:
                self.seen.add(key)
                self._take(row)


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

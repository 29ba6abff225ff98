"""Reading all pages of a list: concurrently, each row once, and knowing whether that was all.

The pages of a list are read while others change the tenant. Rows then move between pages: some come twice, some not at
all. A walk sees this in the counts and reads again; if rows still move, it says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

import anyio
from pydantic import BaseModel

from pp_mcp.api.client import Api
from pp_mcp.errors import (
    AnswerLost,
    NotFound,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    Rejected,
    ServerFailure,
    UnexpectedAnswer,
)
from pp_mcp.models import Page
from pp_mcp.telemetry import ROWS_READ

WORKERS = 16
"""Tasks at once; the client limits how many requests really run at once."""

PAGE_SIZE = 100
"""Rows per page, the API's maximum (documented)."""

EMPTY_PAGES = 3
"""Empty pages after which no further one is asked for, whatever number of pages the API claims."""

RESERVE = 4.0
"""Seconds of a call's budget that are kept for the answer itself."""

PASSING = (OutOfTime, RateLimited, ServerFailure, UnexpectedAnswer, AnswerLost, NotReached)
"""Errors that end a reading but not the answer: what was read before still counts."""

OUT_OF_TIME = "the time for one call ran out"

T = TypeVar("T")
RowT = TypeVar("RowT")
ModelT = TypeVar("ModelT", bound=BaseModel)
Filters = Mapping[str, str | bool | int | Sequence[str] | None]
Progress = Callable[[int, int], Awaitable[None]]
"""Is told how many rows are read, of how many."""
PageReader = Callable[[int, int], Awaitable[Page[RowT]]]


async def for_each(things: Iterable[T], work: Callable[[T], Awaitable[bool]], *, workers: int = WORKERS) -> None:
    """Awaits `work` for each thing, in order, with that many workers. A worker whose work answers false stops.

    Raises:
        PlusPlusError: the first that work raised; the other workers are cancelled.
    """
    queue = iter(things)
    failures: list[PlusPlusError] = []

    async def worker(scope: anyio.CancelScope) -> None:
        try:
            for thing in queue:
                if not await work(thing):
                    return
        except PlusPlusError as error:
            failures.append(error)
            scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(worker, group.cancel_scope)
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class Coverage:
    """What a walk read of what there is. A rate may be given only where it is `complete`."""

    complete: bool
    rows_read: int
    rows_total: int
    as_of: str
    """When the reading began, ISO 8601, UTC."""
    reason: str | None = None
    """Why it is not complete."""

    def also(self, other: Coverage, what: str) -> Coverage:
        """This coverage, complete only if the reading of `what` was complete too."""
        reason = self.reason or (f"{what}: {other.reason}" if other.reason else None)
        return Coverage(self.complete and other.complete, self.rows_read, self.rows_total, self.as_of, reason)


async def walk(
    api: Api,
    operation: str,
    model: type[ModelT],
    take: Callable[[ModelT], None],
    restart: Callable[[], None],
    *,
    filters: Filters | None = None,
    first: Page[ModelT] | None = None,
    workers: int = WORKERS,
    progress: Progress | None = None,
    tolerant: bool = False,
    leave: float = RESERVE,
) -> Coverage:
    """Reads every page of a list and hands each row to `take` once; see `walk_pages`. `first`: the first page, where it
    was read just now; it is asked for again only if rows moved."""
    known = [first] if first is not None else []

    async def page(number: int, size: int) -> Page[ModelT]:
        if number == 1 and known:
            return known.pop()
        return await api.page(operation, model, page=number, page_size=size, **(filters or {}))

    return await walk_pages(
        api, page, take, restart, workers=workers, progress=progress, tolerant=tolerant, leave=leave
    )


async def walk_pages(
    api: Api,
    page: PageReader[RowT],
    take: Callable[[RowT], None],
    restart: Callable[[], None],
    *,
    workers: int = WORKERS,
    progress: Progress | None = None,
    tolerant: bool = False,
    leave: float = RESERVE,
) -> Coverage:
    """Reads every page that `page` (number, size) gives and hands each row to `take` once.

    `restart` forgets what was taken; it is called when rows moved and there is time to read all of them again. When
    only `leave` seconds of the call's budget are left, or a rate limit or failing service outlasts it, the walk ends
    with what was read so far and no error. On the first page that is an error, unless the walk is only one part of an
    answer (`tolerant`). Refusals are always raised. Rows are told apart by `public_id`; only its hash is kept.
    """
    as_of, began = now(), api.remaining
    current = _Pass(api, page, take, progress, leave)
    error = await current.read(workers)
    if error is not None and not tolerant:
        raise error
    again = ""
    if current.moved and current.stopped is None and began - api.remaining < (api.remaining - leave) / 2:
        second = _Pass(api, page, take, progress, leave)
        error = await second.read(workers, begin=restart)
        if error is None:
            current, again = second, ", twice in a row"
        else:
            current.stopped = f"rows moved while they were read, and {second.stopped}"
    reason = current.stopped
    if reason is None and current.shifted:
        reason = f"rows were added or removed while they were read{again}; counts may be off by a few"
    elif reason is None and current.moved:
        reason = "the number of rows on the pages differs from PlusPlus's count"
    return Coverage(reason is None, len(current.seen), current.total, as_of, reason)


class _Pass(Generic[RowT]):
    """One reading of all pages."""

    def __init__(
        self, api: Api, page: PageReader[RowT], take: Callable[[RowT], None], progress: Progress | None, leave: float
    ) -> None:
        self._api, self._page, self._take, self._progress, self._leave = api, page, take, progress, leave
        self.seen: set[int] = set()
        self.total = 0
        self.shifted = False
        """Whether a row came twice, a page was gone or the count changed."""
        self.stopped: str | None = None
        """Why it ended before the last page."""
        self._empty = 0

    @property
    def moved(self) -> bool:
        """Whether rows moved between pages while they were read, as far as the counts show."""
        return self.shifted or len(self.seen) != self.total

    async def read(self, workers: int, begin: Callable[[], None] = lambda: None) -> PlusPlusError | None:
        """Reads the first page, and after `begin` the others concurrently. The error that ended it on the first."""
        try:
            if self._api.remaining < self._leave:
                raise OutOfTime("There was no time left to read.", seconds=0)
            first = await self._page(1, PAGE_SIZE)
        except PASSING as error:
            self.stopped = why(error)
            return error
        begin()
        self.total, pages = first.total_count, first.total_pages
        await self._absorb(first)
        # Its rows are not held while all others are read.
        del first
        await for_each(range(2, pages + 1), self._read, workers=max(0, min(workers, pages - 1)))
        return None

    async def _read(self, number: int) -> bool:
        if self._api.remaining < self._leave:
            self.stopped = self.stopped or OUT_OF_TIME
        if self.stopped is not None or self._empty >= EMPTY_PAGES:
            return False
        try:
            page = await self._page(number, PAGE_SIZE)
        except PASSING as error:
            self.stopped = self.stopped or why(error)
        except (NotFound, Rejected):
            # The last page is gone: some services answer it empty, others refuse it.
            self.shifted = True
            self._empty += 1
        else:
            await self._absorb(page)
        return self.stopped is None

    async def _absorb(self, page: Page[RowT]) -> None:
        self.shifted = self.shifted or page.total_count != self.total
        self.total = page.total_count
        self._empty += not page.items
        ROWS_READ.add(len(page.items))
        for row in page.items:
            key = hash(getattr(row, "public_id", None))
            if key in self.seen:
                self.shifted = True
            else:
                self.seen.add(key)
                self._take(row)
        if self._progress is not None:
            await self._progress(len(self.seen), self.total)


def why(error: PlusPlusError) -> str:
    """An error that ended a reading, as the reason of a coverage."""
    if isinstance(error, RateLimited):
        return "the API's rate limit left no room within the time for one call"
    if isinstance(error, OutOfTime):
        return OUT_OF_TIME
    return "PlusPlus failed on a page, several times"


def now() -> str:
    """The current time, ISO 8601 to the second, UTC."""
    return datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


async def drain(
    api: Api,
    operation: str,
    model: type[ModelT],
    *,
    filters: Filters | None = None,
    first: Page[ModelT] | None = None,
    keep: Callable[[ModelT], bool] = lambda _: True,
) -> list[ModelT]:
    """All rows of a list, or those to `keep`: for sets that are small enough to hold, such as a group's members. For
    `first` see `walk`.

    Raises:
        OutOfTime: not all of them could be read, or they kept moving; a part would be mistaken for the whole.
    """
    rows: list[ModelT] = []

    def take(row: ModelT) -> None:
        if keep(row):
            rows.append(row)

    coverage = await walk(api, operation, model, take, rows.clear, filters=filters, first=first)
    if not coverage.complete:
        raise OutOfTime(
            f"Only {coverage.rows_read:,} of {coverage.rows_total:,} rows could be read: {coverage.reason}. "
            "Nothing was changed; try again in a moment.",
            seconds=0,
        )
    return rows

"""Reading all pages of a list: concurrently, each row once, and knowing whether that was all.

The pages of a list are read while others change the tenant. Rows then move between pages: some come twice, some not at
all. A walk sees this by the counts and reads again; if they still move, it says so rather than answer as if it knew.
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

T = TypeVar("T")

WORKERS = 16
"""Tasks at once; how many requests really run at once is the client's limit."""


async def for_each(things: Iterable[T], work: Callable[[T], Awaitable[bool]], *, workers: int = WORKERS) -> None:
    """Awaits `work` for each thing, in order, by so many workers. One whose work answers false takes no more.

    Raises:
        PlusPlusError: the first that work raised; the other workers are cancelled.
    """
    queue = iter(things)
    failures: list[PlusPlusError] = []

    async def worker(scope: anyio.CancelScope) -> None:
        for thing in queue:
            try:
                if not await work(thing):
                    return
            except PlusPlusError as error:
                failures.append(error)
                scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(worker, group.cancel_scope)
    if failures:
        raise failures[0]


PAGE_SIZE = 100
"""Rows a page, the API's maximum (documented)."""

RESERVE = 4.0
"""Seconds of a call's budget that are kept for the answer itself."""

PASSING = (OutOfTime, RateLimited, ServerFailure, UnexpectedAnswer, AnswerLost, NotReached)
"""Errors that end a reading and not the answer: what was read before them stands."""


RowT = TypeVar("RowT")
ModelT = TypeVar("ModelT", bound=BaseModel)
Filters = Mapping[str, str | bool | int | Sequence[str] | None]
Progress = Callable[[int, int], Awaitable[None]]
"""Is told how many rows are read, of how many."""
PageReader = Callable[[int, int], Awaitable[Page[RowT]]]


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

    def also(self, other: Coverage, what: str) -> Coverage:
        """This coverage, complete only if the reading of `what` was so too."""
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
    workers: int = WORKERS,
    progress: Progress | None = None,
    tolerant: bool = False,
    leave: float = RESERVE,
) -> Coverage:
    """Reads every page of a list and hands each row to `take` once; see `walk_pages`."""

    async def page(number: int, size: int) -> Page[ModelT]:
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

    `restart` forgets what was taken; it is called when rows moved and there is time to read all of them again. A call's
    budget of which only `leave` seconds are left, or a rate limit or failing service that outlasts it, ends the walk
    with what was read so far and no error. On the first page it is an error, unless the walk is only one part of an
    answer (`tolerant`). Refusals always rise. Rows are told apart by `public_id`; of each only a hash is kept.
    """
    as_of = now()
    began = api.remaining
    current = _Pass(api, page, take, progress, leave)
    try:
        first = await current.first_page()
    except PASSING as error:
        if not tolerant:
            raise
        return Coverage(complete=False, rows_read=0, rows_total=0, as_of=as_of, reason=why(error))
    await current.read_all(first, workers)
    twice = False
    if current.moved and current.stopped is None and began - api.remaining < (api.remaining - leave) / 2:
        again = _Pass(api, page, take, progress, leave)
        try:
            first = await again.first_page()
        except PASSING as error:
            current.stopped = f"rows moved while they were read, and {why(error)}"
        else:
            restart()
            current, twice = again, True
            await current.read_all(first, workers)
    return Coverage(
        complete=current.stopped is None and not current.moved,
        rows_read=len(current.seen),
        rows_total=current.total,
        as_of=as_of,
        reason=current.stopped or (current.how_moved(twice) if current.moved else None),
    )


class _Pass(Generic[RowT]):
    """One reading of all pages."""

    def __init__(
        self, api: Api, page: PageReader[RowT], take: Callable[[RowT], None], progress: Progress | None, leave: float
    ) -> None:
        self._api = api
        self._page = page
        self._take = take
        self._progress = progress
        self._leave = leave
        self._shifted = False
        self._totals: set[int] = set()
        self.seen: set[int] = set()
        self.total = 0
        self.stopped: str | None = None
        """Why it ended before the last page."""

    @property
    def moved(self) -> bool:
        """Whether rows moved between pages while they were read, as far as the counts show."""
        return self._shifted or len(self._totals) > 1 or len(self.seen) != self.total

    def how_moved(self, twice: bool) -> str:
        """What the counts show, in words."""
        if self._shifted or len(self._totals) > 1:
            often = ", twice in a row" if twice else ""
            return f"rows were added or removed while they were read{often}; counts may be off by a few"
        return "the pages hold another number of rows than PlusPlus counts"

    async def first_page(self) -> Page[RowT]:
        """The first page, not yet taken."""
        if self._api.remaining < self._leave:
            raise OutOfTime("There was no time left to read.", seconds=0)
        return await self._page(1, PAGE_SIZE)

    async def read_all(self, first: Page[RowT], workers: int) -> None:
        """Takes the first page, reads the others concurrently and takes them."""
        await self._absorb(first)
        if first.total_pages < 2:
            return
        pages = range(2, first.total_pages + 1)
        await for_each(pages, self._read, workers=min(workers, len(pages)))

    async def _read(self, number: int) -> bool:
        if self.stopped is None and self._api.remaining < self._leave:
            self.stopped = OUT_OF_TIME
        if self.stopped is not None:
            return False
        try:
            page = await self._page(number, PAGE_SIZE)
        except PASSING as error:
            self.stopped = self.stopped or why(error)
            return False
        except (NotFound, Rejected):
            # What is left of a page that was there at first: some services answer it empty, others refuse it.
            self._shifted = True
        else:
            await self._absorb(page)
        return True

    async def _absorb(self, page: Page[RowT]) -> None:
        self._totals.add(page.total_count)
        self.total = page.total_count
        for row in page.items:
            key = hash(getattr(row, "public_id", None))
            if key in self.seen:
                self._shifted = True
            else:
                self.seen.add(key)
                self._take(row)
        if self._progress is not None:
            await self._progress(len(self.seen), self.total)


OUT_OF_TIME = "the time for one call ran out"


def why(error: PlusPlusError) -> str:
    """An error that ended a reading, as the reason of a coverage."""
    if isinstance(error, RateLimited):
        return "the API's rate limit left no room within the time for one call"
    if isinstance(error, OutOfTime):
        return OUT_OF_TIME
    return "PlusPlus failed on a page, several times"


def now() -> str:
    """The present moment, ISO 8601 to the second, UTC."""
    return datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


async def drain(
    api: Api,
    operation: str,
    model: type[ModelT],
    *,
    filters: Filters | None = None,
    keep: Callable[[ModelT], bool] = lambda _: True,
) -> list[ModelT]:
    """All rows of a list, or those to `keep`, as a list: for sets that are small enough to hold, such as a group's
    members.

    Raises:
        OutOfTime: not all of them could be read, or they kept moving: a part would be taken for the whole.
    """
    rows: list[ModelT] = []

    def take(row: ModelT) -> None:
        if keep(row):
            rows.append(row)

    coverage = await walk(api, operation, model, take, rows.clear, filters=filters)
    if not coverage.complete:
        raise OutOfTime(
            f"Only {coverage.rows_read:,} of {coverage.rows_total:,} rows could be read: {coverage.reason}. "
            "Nothing was changed; try again in a moment.",
            seconds=0,
        )
    return rows

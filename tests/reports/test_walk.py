"""Reading all pages: each row once, what ends it early, and what it says then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest
from stage import Stage

from pp_mcp.api.walk import Coverage, drain, walk, walk_pages
from pp_mcp.demo import Sizes, Tenant
from pp_mcp.errors import Forbidden, OutOfTime, PlusPlusError, RateLimited, ServerFailure, Unauthenticated
from pp_mcp.models import Assignment, Page, User

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=80, groups=4, content_items=40, assignments=1_150, enrollments=0)
PAGES = 12


class Taken:
    """What a walk hands over."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.restarts = 0

    def take(self, row: Assignment) -> None:
        self.ids.append(row.public_id)

    def restart(self) -> None:
        self.ids.clear()
        self.restarts += 1


async def read(there: Stage, taken: Taken, budget: float = 45.0, **options: Any) -> Coverage:
    call = there.call(budget=budget)
    return await walk(call.api, "list_assignments", Assignment, taken.take, taken.restart, **options)


def status(code: int, **headers: str) -> httpx2.Response:
    body = {"error": {"code": "x", "message": "no", "request_id": "r"}}
    return httpx2.Response(code, content=json.dumps(body).encode(), headers=headers)


def on_page(
    number: int, answer: Callable[[], httpx2.Response]
) -> Callable[[httpx2.Request, int], httpx2.Response | None]:
    return lambda request, _: answer() if request.url.params.get("page") == str(number) else None


async def test_every_row_once(there: Stage) -> None:
    taken = Taken()
    coverage = await read(there, taken)
    assert coverage.complete
    assert coverage.rows_read == coverage.rows_total == 1_150
    assert coverage.reason is None
    assert sorted(taken.ids) == sorted(row[0] for row in there.sql("SELECT public_id FROM assignments"))
    assert len(there.network.paths) == PAGES
    assert taken.restarts == 0


@pytest.mark.parametrize("most", [1, 3, 8])
async def test_no_more_requests_at_once_than_allowed(whole: Tenant, most: int) -> None:
    there = Stage(whole, max_concurrency=most)
    inner = there.network.handle_async_request
    at_once: list[int] = []
    waiting = 0

    async def slowly(request: httpx2.Request) -> httpx2.Response:
        nonlocal waiting
        waiting += 1
        at_once.append(waiting)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        waiting -= 1
        return await inner(request)

    there.network.handle_async_request = slowly  # type: ignore[method-assign]
    assert (await read(there, Taken())).complete
    assert max(at_once) == most


async def test_time_that_runs_out_ends_it_with_what_was_read(there: Stage) -> None:
    def takes_two_seconds(_request: httpx2.Request, _number: int) -> None:
        there.clock.time += 2

    there.network.before = takes_two_seconds
    taken = Taken()
    coverage = await read(there, taken, budget=20, workers=1)
    assert not coverage.complete
    assert coverage.rows_read == len(taken.ids) == 900
    assert coverage.rows_total == 1_150
    assert coverage.reason == "the time for one call ran out"
    assert there.call(budget=0).api.remaining == 0


async def test_no_time_for_the_first_page_is_an_error(there: Stage) -> None:
    with pytest.raises(OutOfTime):
        await read(there, Taken(), budget=3)
    assert there.network.paths == []


async def test_a_part_of_an_answer_has_no_errors_of_its_own(there: Stage) -> None:
    coverage = await read(there, Taken(), budget=3, tolerant=True)
    assert (coverage.complete, coverage.rows_read, coverage.reason) == (False, 0, "the time for one call ran out")
    assert there.network.paths == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: status(503), "PlusPlus failed on a page, several times"),
        (
            lambda: status(429, **{"retry-after": "100"}),
            "the API's rate limit left no room within the time for one call",
        ),
        (lambda: httpx2.Response(200, content=b"<html>"), "PlusPlus failed on a page, several times"),
    ],
    ids=["5xx", "429", "garbage"],
)
async def test_a_page_that_keeps_failing(there: Stage, answer: Callable[[], httpx2.Response], reason: str) -> None:
    there.network.before = on_page(7, answer)
    taken = Taken()
    coverage = await read(there, taken, workers=1)
    assert not coverage.complete
    assert coverage.reason == reason
    assert coverage.rows_read == len(taken.ids) == 600


@pytest.mark.parametrize(
    ("answer", "error"),
    [(lambda: status(503), ServerFailure), (lambda: status(429, **{"retry-after": "100"}), RateLimited)],
    ids=["5xx", "429"],
)
async def test_a_first_page_that_keeps_failing_is_an_error(
    there: Stage, answer: Callable[[], httpx2.Response], error: type[PlusPlusError]
) -> None:
    there.network.before = on_page(1, answer)
    with pytest.raises(error):
        await read(there, Taken())
    assert not (await read(there, Taken(), tolerant=True)).complete


@pytest.mark.parametrize(("code", "error"), [(401, Unauthenticated), (403, Forbidden)])
async def test_refusals_rise_and_stop_the_rest(there: Stage, code: int, error: type[PlusPlusError]) -> None:
    there.network.before = on_page(3, lambda: status(code))
    with pytest.raises(error):
        await read(there, Taken(), workers=1, tolerant=True)
    assert len(there.network.paths) == 3


async def test_a_failure_in_passing_is_repeated(there: Stage) -> None:
    failing = iter([True, True])
    there.network.before = on_page(4, lambda: status(502) if next(failing, False) else None)  # type: ignore[arg-type, return-value]
    coverage = await read(there, Taken())
    assert coverage.complete
    assert len(there.network.paths) == PAGES + 2


@pytest.mark.parametrize("code", [404, 422])
async def test_a_last_page_that_is_gone_is_rows_that_moved(there: Stage, code: int) -> None:
    there.network.before = on_page(PAGES, lambda: status(code))
    taken = Taken()
    coverage = await read(there, taken)
    assert not coverage.complete
    assert (
        coverage.reason == "rows were added or removed while they were read, twice in a row; counts may be off by a few"
    )
    assert taken.restarts == 1
    assert coverage.rows_read == len(taken.ids) == 1_100


class Book:
    """Pages that a test writes: how many rows are said to be there, and which come."""

    def __init__(self, *passes: list[tuple[int, list[str]]]) -> None:
        self.passes = [list(pages) for pages in passes]
        self.asked: list[int] = []

    async def page(self, number: int, size: int) -> Page[User]:
        self.asked.append(number)
        if number == 1 and len(self.asked) > 1 and len(self.passes) > 1:
            self.passes.pop(0)
        total, names = self.passes[0][number - 1]
        rows = [User.model_validate({"public_id": name}) for name in names]
        return Page(rows, number, size, total, len(self.passes[0]))

    async def read(self, there: Stage, *, budget: float = 45.0) -> tuple[Coverage, list[str]]:
        rows: list[User] = []
        coverage = await walk_pages(there.call(budget=budget).api, self.page, rows.append, rows.clear, workers=1)
        return coverage, [row.public_id for row in rows]


async def test_a_row_that_comes_twice_is_taken_once(there: Stage) -> None:
    book = Book([(4, ["a", "b"]), (4, ["b", "c"])], [(4, ["a", "b"]), (4, ["c", "d"])])
    coverage, rows = await book.read(there)
    assert coverage.complete
    assert rows == ["a", "b", "c", "d"]
    assert book.asked == [1, 2, 1, 2]


async def test_rows_that_keep_moving(there: Stage) -> None:
    coverage, rows = await Book([(4, ["a", "b"]), (4, ["b", "c"])]).read(there)
    assert (coverage.complete, coverage.rows_read, coverage.rows_total) == (False, 3, 4)
    assert coverage.reason is not None
    assert "twice in a row" in coverage.reason
    assert rows == ["a", "b", "c"]


async def test_a_count_that_changes_is_seen_though_the_rows_add_up(there: Stage) -> None:
    coverage, _ = await Book([(3, ["a", "b"]), (4, ["c", "d"])]).read(there)
    assert not coverage.complete


async def test_pages_that_hold_less_than_is_counted(there: Stage) -> None:
    coverage, rows = await Book([(5, ["a", "b"]), (5, ["c"])]).read(there)
    assert coverage.reason is not None
    assert "differs from PlusPlus's count" in coverage.reason
    assert rows == ["a", "b", "c"]


async def test_nothing_to_read(there: Stage) -> None:
    coverage, rows = await Book([(0, [])]).read(there)
    assert (coverage.complete, coverage.rows_read, coverage.rows_total, rows) == (True, 0, 0, [])


async def test_a_second_reading_only_where_there_is_time(there: Stage) -> None:
    book = Book([(4, ["a", "b"]), (4, ["b", "c"])])
    inner = book.page

    async def slowly(number: int, size: int) -> Page[User]:
        there.clock.time += 8
        return await inner(number, size)

    book.page = slowly  # type: ignore[method-assign]
    coverage, rows = await book.read(there)
    assert book.asked == [1, 2]
    assert rows == ["a", "b", "c"]
    assert coverage.reason == "rows were added or removed while they were read; counts may be off by a few"


async def test_a_second_reading_that_cannot_begin_leaves_the_first(there: Stage) -> None:
    book = Book([(4, ["a", "b"]), (4, ["b", "c"])])
    inner = book.page

    async def fails_then(number: int, size: int) -> Page[User]:
        if len(book.asked) == 2:
            raise RateLimited("wait", retry_after=60, status=429, operation="", method="GET")
        return await inner(number, size)

    book.page = fails_then  # type: ignore[method-assign]
    coverage, rows = await book.read(there)
    assert rows == ["a", "b", "c"]
    assert coverage.reason == (
        "rows moved while they were read, and the API's rate limit left no room within the time for one call"
    )


async def test_cancelling_stops_the_requests(there: Stage) -> None:
    with anyio.CancelScope() as scope:
        there.network.before = lambda _request, number: scope.cancel() if number == 4 else None
        await read(there, Taken(), workers=1)
    assert scope.cancelled_caught
    assert len(there.network.paths) == 4


async def test_draining_gives_all_or_an_error(there: Stage) -> None:
    assert len(await drain(there.call().api, "list_users", User)) == 80
    some = await drain(there.call().api, "list_assignments", Assignment, keep=lambda row: row.state == "completed")
    assert len(some) == there.one("SELECT count(*) FROM assignments WHERE state = 'completed'")
    there.network.before = on_page(5, lambda: status(503))
    with pytest.raises(OutOfTime, match=r"of 1,150 rows could be read: PlusPlus failed on a page"):
        await drain(there.call().api, "list_assignments", Assignment)

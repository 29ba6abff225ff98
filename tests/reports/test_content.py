"""The catalogue: when items were last finished, by the cheaper way, and what is known where not all was read."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from stage import NOON, Stage

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.errors import Forbidden

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=60, groups=12, content_items=40, assignments=900, enrollments=0)


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = Tenant(sizes=SIZES, now=lambda: NOON)
    yield made
    made.close()


@pytest.fixture
def there(tenant: Tenant) -> Stage:
    return Stage(tenant)


def completions(there: Stage, count: int, item: int = 1, day: str = "2026-03-01") -> None:
    """Adds completed assignments of one item."""
    people = there.one("SELECT count(*) FROM users")
    there.tenant.connection.executemany(
        "INSERT INTO assignments (public_id, user_id, content_item_id, state, completed_datetime, created) VALUES (?, ?, ?, 'completed', ?, '2024-01-01T00:00:00.000000Z')",
        [
            (f"eeeeeeee-{item:04}-4000-8000-{number:012}", number % people + 1, item, f"{day}T10:00:00.000000Z")
            for number in range(count)
        ],
    )


def asked_for_completions(there: Stage) -> int:
    return sum("state=completed" in query and "page_size=100" in query for query in there.network.queries)


async def test_of_a_few_items_each_is_looked_at(there: Stage) -> None:
    completions(there, 350)
    channel = there.one("SELECT h.public_id FROM channels h JOIN content_items c ON c.channel_id = h.id WHERE c.id = 1")
    mine = there.one(
        "SELECT count(*) FROM content_items c JOIN channels h ON h.id = channel_id WHERE h.public_id = ? AND completed_assignments_count AND NOT is_archived",
        channel,
    )
    answer = await there.answer("report_content", channel=channel, top=100)
    assert 1 < mine < 8
    # The first page of all, which says that they are many more. The item with 350 completions was finished lately: its
    # first page says so.
    assert asked_for_completions(there) == 1 + mine
    assert f"completions item by item, {mine} items" in answer["coverage"]["how"]
    row = next(
        (
            row
            for row in answer["rows"]
            if row.get("public_id") == there.one("SELECT public_id FROM content_items WHERE id = 1")
        ),
        {},
    )
    assert "last_finished" not in row


async def test_an_item_finished_long_ago_is_read_whole(there: Stage) -> None:
    there.tenant.connection.execute("DELETE FROM assignments WHERE content_item_id = 1")
    completions(there, 250, day="2025-01-05")
    completions(there, 400, item=2)
    channel = there.one("SELECT h.public_id FROM channels h JOIN content_items c ON c.channel_id = h.id WHERE c.id = 1")
    answer = await there.answer("report_content", channel=channel, top=100, stale_days=100)
    row = next(
        row
        for row in answer["rows"]
        if row.get("public_id") == there.one("SELECT public_id FROM content_items WHERE id = 1")
    )
    assert "nobody_finished" in row["findings"]
    assert row["last_finished"] == "2025-01-05"


async def test_of_many_items_all_completions_are_read_at_once(there: Stage) -> None:
    answer = await there.answer("report_content")
    done = there.one("SELECT count(*) FROM assignments WHERE state = 'completed'")
    assert asked_for_completions(there) == -(-done // 100)
    assert f"one pass over {done:,} completions" in answer["coverage"]["how"]
    assert answer["coverage"]["rows_read"] == there.one("SELECT count(*) FROM content_items")


async def test_a_catalogue_that_nobody_uses_needs_no_completions(there: Stage) -> None:
    there.tenant.connection.execute("DELETE FROM assignments")
    answer = await there.answer("report_content")
    assert asked_for_completions(there) == 0
    assert answer["totals"]["never_assigned"] == answer["totals"]["in_use"]
    assert answer["coverage"]["complete"]


async def test_no_items(there: Stage) -> None:
    there.tenant.connection.execute("DELETE FROM content_items WHERE content_type = 'video'")
    answer = await there.answer("report_content", content_type=["video"])
    assert answer["summary"] == "No content items (video)."
    assert answer["rows"] == []


async def test_one_item_with_nothing_to_say(there: Stage) -> None:
    there.tenant.connection.execute("DELETE FROM content_items WHERE id > 1")
    there.tenant.connection.execute(
        "UPDATE content_items SET modified = '2026-03-01T00:00:00.000000Z', rating_sum = 5, rating_count = 1"
    )
    answer = await there.answer("report_content")
    assert answer["summary"] == "1 content item: 1 in use, 0 archived, 0 hidden. Nothing stands out among those in use."


async def test_new_items_say_that_they_are(there: Stage) -> None:
    there.tenant.connection.execute("DELETE FROM assignments")
    there.tenant.connection.execute("UPDATE content_items SET created = '2026-03-01T00:00:00.000000Z' WHERE id = 2")
    rows = (await there.answer("report_content", top=100))["rows"]
    assert {row["public_id"]: row["created"] for row in rows if "created" in row} == {
        public_id: created[:10]
        for public_id, created in there.sql(
            "SELECT public_id, created FROM content_items WHERE created >= '2025-03-10' AND NOT is_archived"
        )
    }


async def test_items_whose_use_the_api_does_not_tell(there: Stage) -> None:
    body = {
        "data": [{"public_id": "aaaaaaaa-0000-4000-8000-000000000001", "name": "N", "content_type": "article"}],
        "meta": {"page": 1, "page_size": 100, "total_count": 1},
    }
    there.network.before = lambda request, _: (
        httpx2.Response(200, json=body) if request.url.path.endswith("/content-items") else None
    )
    answer = await there.answer("report_content")
    assert answer["totals"]["never_assigned"] == 0
    assert answer["totals"]["nobody_finished"] == 1


@pytest.mark.parametrize("by_item", [True, False])
async def test_completions_that_cannot_be_read_leave_what_is_known(there: Stage, by_item: bool) -> None:
    if by_item:
        completions(there, 5_000, item=3)
    never, number = there.sql(
        "SELECT public_id, id FROM content_items WHERE total_assignments > 0 AND NOT is_archived ORDER BY id DESC"
    )[0]
    there.tenant.connection.execute("DELETE FROM assignments WHERE content_item_id = ?", (number,))
    there.tenant.connection.execute(
        "INSERT INTO assignments (public_id, user_id, content_item_id, state, created) VALUES ('never', 1, ?, 'not_started', '2024-01-01T00:00:00.000000Z')",
        (number,),
    )
    asked = iter(range(100))

    def fails(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        query = request.url.query.decode()
        if "state=completed" in query and "page_size=100" in query and next(asked) > 1:
            return httpx2.Response(503, content=b"{}")
        return None

    there.network.before = fails
    answer = await there.answer("report_content", top=100)
    assert not answer["coverage"]["complete"]
    assert answer["coverage"]["reason"].startswith("completions")
    assert (" items read: " in answer["coverage"]["reason"]) is by_item
    # What the API's own counts say stands; nothing is said of items whose completions were not read.
    unfinished = {row["public_id"] for row in answer["rows"] if "nobody_finished" in row.get("findings", [])}
    assert never in unfinished
    known = {
        row[0]
        for row in there.sql(
            "SELECT public_id FROM content_items c WHERE NOT EXISTS (SELECT 1 FROM assignments a WHERE a.content_item_id = c.id AND completed_datetime >= '2025-03-10')"
        )
    }
    assert unfinished <= known


async def test_no_time_for_completions(there: Stage) -> None:
    def takes(request: httpx2.Request, _number: int) -> None:
        there.clock.time += 42 if request.url.path.endswith("/content-items") else 0

    there.network.before = takes
    answer = await there.answer("report_content")
    assert answer["coverage"]["reason"] == "completions: the time for one call ran out"
    assert answer["totals"]["stale"] > 0


async def test_a_count_that_cannot_be_had(there: Stage) -> None:
    there.network.before = lambda request, _: (
        httpx2.Response(503)
        if dict(request.url.params) == {"state": "completed", "page": "1", "page_size": "100"}
        else None
    )
    answer = await there.answer("report_content")
    assert answer["coverage"]["reason"] == "completions: PlusPlus failed on a page, several times"


async def test_a_refusal_rises(there: Stage) -> None:
    completions(there, 5_000, item=3)
    there.network.before = lambda request, _: httpx2.Response(403) if "content_item=" in str(request.url) else None
    with pytest.raises(Forbidden):
        await there.answer("report_content")


async def test_an_items_completions_that_move(there: Stage) -> None:
    completions(there, 5_000, item=3)
    there.tenant.connection.execute("DELETE FROM assignments WHERE content_item_id = 1")
    completions(there, 250, day="2020-01-01")
    item = there.one("SELECT public_id FROM content_items WHERE id = 1")

    def two_missing(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        query = request.url.query.decode()
        if f"content_item={item}" in query and request.url.params.get("page") == "3":
            return httpx2.Response(200, json={"data": [], "meta": {"page": 3, "page_size": 100, "total_count": 250}})
        return None

    there.network.before = two_missing
    answer = await there.answer("report_content")
    assert not answer["coverage"]["complete"]
    assert "the number of rows on the pages differs from PlusPlus's count" in answer["coverage"]["reason"]

"""Sets as large as one call takes, and larger; and what a filter that fits everything costs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from stage import NOON, Stage

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.errors import InvalidArgument

from .chores import OUTSTANDING, outcomes, planned, undo_arguments, writes

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=1_050, groups=2, content_items=30, assignments=4_000, enrollments=0)
ITEM = "SELECT public_id FROM content_items WHERE total_assignments = 0 AND NOT is_archived"


@pytest.fixture(scope="module")
def large() -> Iterator[Tenant]:
    tenant = Tenant(sizes=SIZES, now=lambda: NOON, rate_limit=1_000_000)
    tenant.connection.execute("UPDATE users SET is_active = 1")
    tenant.connection.execute(
        "DELETE FROM assignments WHERE content_item_id = (SELECT max(id) FROM content_items WHERE NOT is_archived)"
    )
    yield tenant
    tenant.close()


@pytest.fixture
def there(large: Tenant) -> Stage:
    return Stage(large)


def group_of(there: Stage, count: int) -> str:
    there.tenant.connection.execute("DELETE FROM group_members WHERE group_id = 1")
    there.tenant.connection.execute("INSERT INTO group_members SELECT 1, id FROM users ORDER BY id LIMIT ?", (count,))
    return there.one("SELECT public_id FROM groups WHERE id = 1")


async def test_a_thousand_people(there: Stage) -> None:
    there.tenant.requests.clear()
    plan = await planned(there, "bulk_assign_content", content_item=there.one(ITEM), group=group_of(there, 1_000))
    assert plan.effects[-1].startswith("Takes 1,000 requests, about 38 seconds")
    done = await plan.apply()
    assert outcomes(done) == {"succeeded": 1_000}
    assert len(writes(there)) == 1_000
    assert len(undo_arguments(done)["assignments"]) == 1_000
    assert there.told[-1][2] == "changing 1,000 of 1,000"


async def test_one_more_is_refused_before_anything_is_read(there: Stage) -> None:
    group = group_of(there, 1_001)
    there.network.paths.clear()
    with pytest.raises(
        InvalidArgument,
        match=r"1,001 are too many for one call; 1,000 is the most\. Split them: .*by manager, or users in",
    ):
        await planned(there, "bulk_assign_content", content_item=there.one(ITEM.replace("= 0", "> 0")), group=group)
    assert len(there.network.paths) == 3


@pytest.mark.parametrize(
    ("tool", "given"), [("bulk_assign_content", "users"), ("bulk_update_assignments", "assignments")]
)
async def test_longer_lists_are_refused(there: Stage, tool: str, given: str) -> None:
    other: dict[str, Any] = (
        {"content_item": there.one(ITEM.replace("= 0", "> 0"))} if given == "users" else {"action": "exempt"}
    )
    with pytest.raises(InvalidArgument, match=f"{given} must have at most 1,000 entries"):
        await planned(there, tool, **{given: ["x"] * 1_001}, **other)
    assert there.network.paths == []


async def test_filters_that_fit_more_are_refused_with_how_to_split(there: Stage) -> None:
    count = there.one(f"SELECT count(*) FROM assignments WHERE state IN {OUTSTANDING} OR state = 'exempted'")
    assert count > 1_000
    with pytest.raises(
        InvalidArgument, match=rf"{count:,} are too many for one call; 1,000 is the most\. Split them: narrow by"
    ):
        await planned(there, "bulk_update_assignments", action="drop", group=group_of(there, 1_050))


async def test_what_is_not_acted_on_is_not_kept(there: Stage) -> None:
    from pp_mcp.bulk.choose import Choice
    from pp_mcp.models import Assignment
    from pp_mcp.operations.transitions import ACTIONS

    choice = Choice(ACTIONS["drop"], None)
    row = {
        "user": {"public_id": "u", "name": "N"},
        "content_item": {"public_id": "c", "name": "C", "content_type": "course"},
        "state": "completed",
    }

    def take(number: int, state: str) -> None:
        choice.take(Assignment.model_validate({**row, "public_id": f"a{number}", "state": state}))

    for number in range(500):
        take(number, "completed")
    tracemalloc.start()
    for number in range(5_000):
        take(number, "completed" if number % 2 else "dropped")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000
    assert (choice.found.total, choice.found.already, choice.found.possible, choice.ready) == (5_500, 2_500, 0, [])
    for number in range(1_000):
        take(number, "not_started")
    assert len(choice.ready) == 1_000
    take(1_000, "not_started")
    with pytest.raises(InvalidArgument, match="1,001 are too many"):
        assert choice.ready

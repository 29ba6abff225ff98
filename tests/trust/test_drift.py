"""Rows that come and go while pages are read: the count is right, or the answer says that it may be off."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from mcp import Client
from stage import Carry, Json, Network, Stage, ask, call, data_of

from pp_mcp.demo import Faults, Sizes, Tenant

from .tenant import quiet

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=230, groups=3, content_items=220, assignments=640, enrollments=130)


@pytest.fixture
async def wide(network: Network, assistant: Client) -> Iterator[Stage]:
    """A tenant whose lists have several pages, of 100 rows at most."""
    await quiet()
    made = Stage(Tenant(sizes=SIZES), network=network, client=assistant)
    yield made
    made.close()


REPORTS: list[tuple[str, Json, str]] = [
    ("report_assignments", {}, "SELECT count(*) FROM assignments"),
    ("report_assignments", {"group_by": ["manager"]}, "SELECT count(*) FROM assignments"),
    ("report_assignments", {"state": "completed"}, "SELECT count(*) FROM assignments WHERE state = 'completed'"),
    ("report_content", {}, "SELECT count(*) FROM content_items"),
    ("report_enrollments", {}, "SELECT count(*) FROM enrollments"),
]


@pytest.mark.parametrize(("tool", "arguments", "query"), REPORTS)
async def test_a_report_under_drift_is_right_or_says_that_it_is_not(
    tool: str, arguments: Json, query: str, wide: Stage
) -> None:
    complete, counts = 0, list[int]()

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        counts.append(wide.one(query))
        answer = await carry(request)
        counts.append(wide.one(query))
        return answer

    wide.network.between = between
    for seed in range(8):
        counts.clear()
        wide.tenant.faults = Faults(drift=(0.0, 0.1, 0.3, 1.0)[seed % 4], seed=seed)
        answer = await ask(wide.client, tool, **arguments)
        coverage, total = answer["coverage"], answer["totals"]["total"]
        if coverage["complete"]:
            complete += 1
            assert min(counts) <= total <= max(counts)
        else:
            assert abs(total - counts[-1]) <= len(counts)
            assert answer["summary"].startswith("Incomplete")
            assert "completion_rate" not in str(answer)
            assert "no_show_rate" not in str(answer)
    assert complete >= 2


async def test_one_moved_row_is_noticed_and_all_read_again(wide: Stage) -> None:
    wide.tenant.faults.script(["ok", "ok", "drift"], path="/assignments")
    answer = await ask(wide.client, "report_assignments")
    assert wide.tenant.faults.scripted == 0
    assert answer["coverage"]["complete"]
    assert answer["totals"]["total"] == wide.one("SELECT count(*) FROM assignments")
    pages = -(-answer["totals"]["total"] // 100)
    assert sum(one.path == "/assignments" for one in wide.tenant.requests) == 2 * pages


@pytest.mark.parametrize("share", [0.5, 1.0])
async def test_a_roster_that_will_not_keep_still_is_not_replaced(share: float, wide: Stage) -> None:
    group = wide.one("SELECT public_id FROM groups WHERE source = 'plusplus'")
    change = wide.change
    change(
        "INSERT OR IGNORE INTO group_members SELECT (SELECT id FROM groups WHERE public_id = ?), id FROM users", group
    )

    async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
        # People leave the group and come back between its pages.
        if request.url.params.get("page") not in (None, "1"):
            change("DELETE FROM group_members WHERE user_id = (SELECT min(user_id) FROM group_members)")
        return await carry(request)

    wide.network.between = between
    wide.tenant.requests.clear()
    result = await call(
        wide.client,
        "replace_group_members",
        group=group,
        members=wide.members(group)[: int(200 * share)],
        confirm_replace=True,
    )
    assert result.is_error
    assert data_of(result)["retryable"]
    assert wide.writes() == []


async def test_many_are_changed_only_where_all_could_be_read(wide: Stage) -> None:
    wide.tenant.faults = Faults(drift=1.0)
    result = await call(wide.client, "bulk_update_assignments", action="exempt", is_overdue=False)
    assert result.is_error
    assert "Nothing was changed" in data_of(result)["message"]
    assert wide.writes() == []

"""Progress: rows read of rows in all, and never backwards."""

from __future__ import annotations

import pytest
from stage import Stage

from pp_mcp.api.walk import walk
from pp_mcp.demo import Sizes
from pp_mcp.models import Assignment

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=80, groups=4, content_items=40, assignments=1_150, enrollments=0)
PAGES = 12


async def test_progress_only_grows_and_ends_at_the_end(there: Stage) -> None:
    call = there.call()
    for _ in range(2):
        await walk(call.api, "list_assignments", Assignment, lambda _: None, lambda: None, progress=call.rows_read)
    places = [done for done, _, _ in there.told]
    assert places == sorted(set(places))
    assert len(places) == 2 * PAGES
    assert there.told[0] == (100, 1_150, "reading 100 of 1,150 rows")
    assert there.told[PAGES - 1] == (1_150, 1_150, "reading 1,150 of 1,150 rows")
    assert there.told[-1] == (2_300, 2_300, "reading 1,150 of 1,150 rows")


async def test_progress_is_told_in_steps_of_a_hundredth(there: Stage) -> None:
    call = there.call()
    for done in range(1, 1_001):
        await call.report(done, 1_000, f"{done} done")
    assert [message for _, _, message in there.told] == [f"{done} done" for done in range(10, 1_001, 10)]

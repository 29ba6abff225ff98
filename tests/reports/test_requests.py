"""The commonest tools make no more requests than they need, and the table of them is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.requests import spent, table

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


async def test_no_tool_asks_more_than_it_may() -> None:
    found = await spent()
    assert len({one.chore.tool for one in found}) == 15
    for one in found:
        first, *then = one.requests
        assert first <= one.chore.most, one
        assert sum(then) <= one.chore.then, one
        assert one.twice == [], one
    assert table(found) in PAGE.read_text()
    # Nothing is remembered from call to call: the same costs the same.
    assert [one.requests for one in await spent()] == [one.requests for one in found]

"""Thirty kinds of question that administrators ask, each answered in one call, or in a preview and its confirmation."""

import pytest

from tests.bench import asked

pytestmark = pytest.mark.anyio


async def test_each_is_answered_within_its_cost() -> None:
    costs = await asked.run()
    assert len(costs) == 30
    assert all(cost.characters <= 6_000 * cost.calls for cost in costs), costs
    assert sum(cost.characters for cost in costs) <= 105_000

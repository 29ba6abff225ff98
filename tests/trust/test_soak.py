"""The soak notices what it is there to notice: it is run by hand, so its own eyes are tested here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult
from stage import Network, Stage

from pp_mcp.demo import Faults, Sizes, Tenant
from tests.bench.soak import CLIENTS, FAULTS, Tally, _judge_memory
from tests.bench.soak_worker import Database, Worker

from .tenant import quiet

pytestmark = pytest.mark.anyio

SIZES = Sizes(people=60, groups=8, content_items=40, assignments=900, enrollments=20)
ACTS = (
    *("_plate", "_report", "_members", "_page", "_unclear", "_tokens"),
    *("_rename", "_step", "_extend", "_join", "_leave", "_archive", "_hand_out"),
)


@pytest.fixture
async def stage(network: Network, assistant: Client) -> Iterator[Stage]:
    await quiet()
    made = Stage(Tenant(sizes=SIZES), network=network, client=assistant)
    yield made
    made.close()


def test_it_meets_every_fault_and_every_way() -> None:
    assert {one.partition("=")[0] for one in FAULTS} == set(Faults.NAMES) - {"5xx-burst", "revoke-after", "drift"}
    assert {way for way, _ in CLIENTS} == {"memory", "http"}
    assert {era for _, era in CLIENTS} == {"2026-07-28", "legacy"}


async def test_honest_answers_are_found_right(stage: Stage) -> None:
    stage.tenant.faults = Faults.parse(FAULTS)
    tally = Tally()
    worker = Worker(0, stage.client, Database(stage.tenant.connection), tally)
    for _ in range(8):
        for act in ACTS:
            await getattr(worker, act)()
    assert tally.wrong == []
    assert tally.checked > 100
    assert tally.ended["done"] > 10
    assert "BROKEN" not in tally.table()


class Liar:
    """Answers as if all went well, and does nothing."""

    def __init__(self, answer: dict[str, Any], *, is_error: bool = False) -> None:
        self._result = CallToolResult(content=[], structured_content=answer, is_error=is_error)

    async def call_tool(self, *_: Any) -> CallToolResult:
        return self._result


GOOD = {
    "status": "done",
    "undo": None,
    "message": "",
    "items": [],
    "total_count": -1,
    "coverage": {"complete": True},
    "totals": {"total": -1},
    "rows": [],
}


@pytest.mark.parametrize("act", ACTS)
async def test_a_lie_is_found(act: str, stage: Stage) -> None:
    if act == "_leave":
        stage.change("INSERT OR IGNORE INTO group_members SELECT g.id, u.id FROM groups g, users u")
    tally = Tally()
    worker: Any = Worker(1, Liar(GOOD), Database(stage.tenant.connection), tally)  # type: ignore[arg-type]
    for _ in range(6):
        await getattr(worker, act)()
    assert tally.wrong
    assert "BROKEN" in tally.table()


async def test_an_error_that_says_nothing_is_found(stage: Stage) -> None:
    tally = Tally()
    liar: Any = Liar({"code": "internal_error", "message": "Sorry."}, is_error=True)
    await Worker(1, liar, Database(stage.tenant.connection), tally)._rename()
    assert "no clean error" in tally.wrong[0]


@pytest.mark.parametrize(("megabytes_a_minute", "broken"), [(0.0, False), (1.0, False), (30.0, True)])
def test_growing_memory_is_found(megabytes_a_minute: float, broken: bool) -> None:
    tally = Tally()
    # While it warms up it may grow as it likes.
    samples = [(at, 100.0 + min(at, 60)) for at in range(0, 72, 2)]
    samples += [(at, 160.0 + megabytes_a_minute * (at - 72) / 60) for at in range(72, 180, 2)]
    _judge_memory([(float(at), size) for at, size in samples], tally)
    assert bool(tally.wrong) is broken
    assert "MB a minute" in tally.figures["memory"]

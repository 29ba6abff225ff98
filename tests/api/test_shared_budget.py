"""A rate budget that several processes share, as the gate of one of them asks it."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel
import httpx2
import pytest
from stage import Clock

from pp_mcp.api.limits import Gate, Spending, Told
from pp_mcp.errors import OutOfTime, RateLimited

pytestmark = pytest.mark.anyio

Wait = Callable[[str, bool], float]


class Shared:
    """Remembers what it is told, and lets out what `wait` says: 0 for a request that may go."""

    def __init__(self, wait: Wait = lambda _ticket, _is_probe: 0.0) -> None:
        self.wait = wait
        self.asked: list[tuple[str, bool]] = []
        self.ended: list[tuple[str, Told | None, bool]] = []

    async def take(self, ticket: str, *, is_probe: bool) -> float:
        await anyio.lowlevel.checkpoint()
        self.asked.append((ticket, is_probe))
        return self.wait(ticket, is_probe)

    async def end(self, ticket: str, told: Told | None, *, is_proof: bool) -> None:
        self.ended.append((ticket, told, is_proof))


def answer(status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def send(gate: Gate, clock: Clock, response: httpx2.Response | None, budget: float = 45.0) -> None:
    spending = Spending(clock, budget)
    ticket = await gate.enter(spending, operation="list_users", method="GET")
    gate.leave(spending.caller, ticket, response)
    await gate.tell(ticket, response)


async def test_each_request_asks_and_tells(clock: Clock) -> None:
    shared = Shared()
    gate = Gate(clock, places=2, max_pause=60, shared=shared)
    limited = {"x_ratelimit_limit": "100", "x_ratelimit_remaining": "7", "x_ratelimit_reset": "30"}
    await send(gate, clock, answer(**limited))
    await send(gate, clock, answer(429, retry_after="5"))
    clock.time = 5
    await send(gate, clock, answer(429))
    clock.time = 6
    await send(gate, clock, None)
    assert [ticket for ticket, _ in shared.asked] == [ticket for ticket, _, _ in shared.ended]
    assert len({ticket for ticket, _ in shared.asked}) == 4
    assert [told for _, told, _ in shared.ended] == [Told(7, 100, 30.0), Told(hold=5.0), Told(hold=1.0), None]
    assert not any(is_proof for _, _, is_proof in shared.ended)


async def test_who_is_told_to_wait_gives_the_place_back_and_asks_again(clock: Clock) -> None:
    shared = Shared(lambda _ticket, _is_probe: max(0.0, 3.0 - clock.now()))
    gate = Gate(clock, places=1, max_pause=60, shared=shared)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(send, gate, clock, answer())
    assert clock.time == pytest.approx(3.0, abs=0.1)
    assert len(shared.ended) == 3
    assert not any(is_probe for _, is_probe in shared.asked)


async def test_a_wait_beyond_the_call_is_an_error_at_once(clock: Clock) -> None:
    gate = Gate(clock, places=1, max_pause=600, shared=Shared(lambda _ticket, _is_probe: 100.0))
    with pytest.raises(RateLimited, match="no more requests for 100 seconds") as caught:
        await send(gate, clock, answer())
    assert caught.value.retry_after == 100.0
    assert clock.time == 0


async def test_a_call_out_of_time_says_so(clock: Clock) -> None:
    gate = Gate(clock, places=1, max_pause=60, shared=Shared(lambda _ticket, _is_probe: 2.0))
    with pytest.raises((OutOfTime, RateLimited)):
        await send(gate, clock, answer(), budget=7)
    assert clock.time <= 7


@pytest.mark.parametrize(
    ("response", "is_proof", "told"),
    [
        (answer(), True, Told()),
        (answer(404, x_ratelimit_limit="9", x_ratelimit_remaining="8", x_ratelimit_reset="30"), True, Told(8, 9, 30.0)),
        (answer(x_ratelimit_limit="9", x_ratelimit_remaining="0", x_ratelimit_reset="3600"), True, Told()),
        (answer(429, retry_after="40"), False, Told(hold=40.0)),
        (answer(503), False, Told()),
        (None, False, None),
    ],
    ids=str,
)
async def test_a_long_wait_is_doubted_after_a_while(
    clock: Clock, response: httpx2.Response | None, is_proof: bool, told: Told | None
) -> None:
    shared = Shared(lambda _ticket, is_probe: 0.0 if is_probe else 3_600.0)
    gate = Gate(clock, places=1, max_pause=10, shared=shared)
    await send(gate, clock, response)
    assert [is_probe for _, is_probe in shared.asked] == [False, True]
    assert clock.time == pytest.approx(10)
    assert shared.ended == [(shared.asked[1][0], told, is_proof)]


async def test_a_call_given_up_while_it_asks_takes_no_place(clock: Clock) -> None:
    class Slow(Shared):
        async def take(self, ticket: str, *, is_probe: bool) -> float:
            await anyio.sleep_forever()
            raise AssertionError

    slow = Slow()
    gate = Gate(clock, places=1, max_pause=10, shared=slow)
    with anyio.move_on_after(0.01):
        await send(gate, clock, answer())
    slow.take = Shared().take  # type: ignore[method-assign]
    await send(gate, clock, answer())
    assert len(slow.ended) == 1


async def test_what_departed_before_another_was_told_to_wait_is_no_probe(clock: Clock) -> None:
    shared = Shared()
    gate, spending = Gate(clock, places=2, max_pause=60, shared=shared), Spending(clock, 45)
    one, two = [await gate.enter(spending, operation="list_users", method="GET") for _ in range(2)]
    async with anyio.create_task_group() as group:
        group.start_soon(send, gate, clock, answer())
        await anyio.wait_all_tasks_blocked()
        gate.leave(spending.caller, one, answer())
        gate.leave(spending.caller, two, None, hold=2.0)
    assert len(shared.asked) == 3
    assert not any(is_probe for _, is_probe in shared.asked)

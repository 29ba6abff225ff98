"""A call's time, and calls that are given up."""

import asyncio
import logging
from typing import Any

import anyio
import httpx2
import pytest
from stage import Clock, settled

from pp_mcp.api import SYSTEM_CLOCK
from pp_mcp.errors import AnswerLost, NotReached, OutOfTime
from pp_mcp.models import User

from .play import RECORD, Broken, Connect, reply, success

pytestmark = pytest.mark.anyio


async def silence(request: httpx2.Request) -> httpx2.Response:
    await anyio.sleep_forever()
    raise AssertionError


async def trickle(request: httpx2.Request) -> httpx2.Response:
    class Drops(httpx2.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                yield b" "
                await anyio.sleep(0.001)

    return httpx2.Response(200, stream=Drops())


async def connecting(request: httpx2.Request) -> httpx2.Response:
    await request.extensions["trace"]("connection.connect_tcp.started", {})
    return await silence(request)


async def connected(request: httpx2.Request) -> httpx2.Response:
    await request.extensions["trace"]("connection.connect_tcp.started", {})
    await request.extensions["trace"]("connection.connect_tcp.complete", {})
    await request.extensions["trace"]("http11.send_request_headers.started", {})
    return await silence(request)


async def test_the_budget_begins_with_the_call(connect: Connect, clock: Clock) -> None:
    client, _ = connect(success)
    api = client.call()
    assert api.remaining == 45
    clock.time += 40
    assert api.remaining == 5
    clock.time += 40
    assert api.remaining == 0
    assert client.call(budget=7).remaining == 7


@pytest.mark.parametrize("operation", ["get_user", "update_user"])
async def test_nothing_is_sent_after_the_budget(connect: Connect, clock: Clock, operation: str) -> None:
    client, script = connect(success)
    api = client.call()
    clock.time += 45
    with pytest.raises(OutOfTime) as caught:
        await api.write(operation, User, public_id="x1")
    assert (caught.value.seconds, script.sent, api.requests) == (45, 0, 0)


@pytest.mark.parametrize(("spent", "seconds", "connect_seconds"), [(0, 30, 10), (20, 25, 10), (40, 5, 5), (44, 1, 1)])
async def test_a_request_gets_the_time_that_is_left(
    connect: Connect, clock: Clock, spent: float, seconds: float, connect_seconds: float
) -> None:
    client, script = connect(success)
    api = client.call()
    clock.time += spent
    await api.one("get_user", User, "x1")
    timeout = script.last.extensions["timeout"]
    assert timeout == {"connect": connect_seconds, "read": seconds, "write": seconds, "pool": seconds}


@pytest.mark.parametrize("answer", [silence, trickle, connected])
async def test_a_request_is_bounded_as_a_whole(connect: Connect, answer: Any) -> None:
    client, script = connect(answer, timeout=0.01)
    with pytest.raises(AnswerLost, match=r"no answer in 0\.01 seconds") as caught:
        await client.call().one("get_user", User, "x1")
    assert (script.sent, caught.value.may_have_happened) == (3, False)
    with pytest.raises(AnswerLost) as caught:
        await client.call().write("create_user", User, {})
    assert (script.sent, caught.value.may_have_happened) == (4, True)


async def test_a_connection_that_never_comes_about_sent_nothing(connect: Connect) -> None:
    client, script = connect(connecting, timeout=0.01)
    with pytest.raises(NotReached, match="connecting timed out"):
        await client.call().write("create_user", User, {})
    assert script.sent == 3


@pytest.mark.parametrize("status", [404, 500])
async def test_an_error_status_is_enough_even_if_the_rest_never_comes(connect: Connect, status: int) -> None:
    class Stuck(httpx2.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b'{"error"'
            await anyio.sleep_forever()

    for stream in (Stuck(), Broken(b'{"er', fault=httpx2.ReadError("r"))):
        client, _ = connect(lambda _, stream=stream: httpx2.Response(status, stream=stream), timeout=0.01)
        with pytest.raises(Exception, match="PlusPlus") as caught:
            await client.call().write("create_user", User, {})
        assert getattr(caught.value, "status", None) == status


async def test_a_read_cut_short_by_the_budget_is_out_of_time(connect: Connect) -> None:
    client, script = connect(silence, clock=SYSTEM_CLOCK)
    with pytest.raises(OutOfTime) as caught:
        await client.call(budget=0.01).one("get_user", User, "x1")
    assert (caught.value.seconds, script.sent) == (0.01, 1)


async def test_a_write_cut_short_by_the_budget_is_lost(connect: Connect) -> None:
    client, script = connect(silence, clock=SYSTEM_CLOCK)
    with pytest.raises(AnswerLost) as caught:
        await client.call(budget=0.01).write("assign_content", User, {})
    assert (caught.value.may_have_happened, script.sent) == (True, 1)


async def test_the_system_clock_passes() -> None:
    before = SYSTEM_CLOCK.now()
    await SYSTEM_CLOCK.sleep(0.001)
    assert SYSTEM_CLOCK.now() >= before + 0.001


# ------------------------------------------------------------------------------------------------ given up


class Gate:
    """An answer that waits to be let go."""

    def __init__(self, outcome: httpx2.Response | Exception) -> None:
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.ended = False
        self._outcome = outcome

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.begun.set()
        await self.go.wait()
        self.ended = True
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


async def give_up(connect: Connect, gate: Gate, operation: str) -> tuple[bool, int]:
    """Cancels a call whose request is under way; whether it was cancelled in the end, and how many were sent."""
    client, script = connect(gate, success)
    after: list[str] = []

    async def call() -> None:
        if operation == "get_user":
            await client.call().one(operation, User, "x1")
        else:
            await client.call().write(operation, User, {})
        after.append("went on")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await gate.begun.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await settled()
            gate.go.set()
    return not after, script.sent


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            httpx2.Response(201, json=RECORD, headers={"X-Request-Id": "req_3"}),
            "the write POST create_user completed with status 201 (request id req_3)",
        ),
        (httpx2.Response(500), "the write POST create_user completed with status 500"),
        (httpx2.ReadError("r"), "the write POST create_user was sent, its outcome is unknown"),
        (httpx2.ConnectError("c"), "the write POST create_user was not sent"),
    ],
)
async def test_a_write_that_has_begun_is_brought_to_its_end(
    connect: Connect, caplog: pytest.LogCaptureFixture, outcome: Any, words: str
) -> None:
    gate = Gate(outcome)
    cancelled, sent = await give_up(connect, gate, "create_user")
    assert (cancelled, sent, gate.ended) == (True, 1, True)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("the client gave up; ")
    assert words in warnings[0]


async def test_a_read_is_given_up_at_once(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(httpx2.Response(200, json=RECORD))
    cancelled, sent = await give_up(connect, gate, "get_user")
    assert (cancelled, sent, gate.ended) == (True, 1, False)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_repeat_is_given_up_between_two_writes(connect: Connect) -> None:
    class Stopping(Clock):
        async def sleep(self, seconds: float) -> None:
            scope.cancel()
            await super().sleep(seconds)

    client, script = connect(reply(503), success, clock=Stopping())
    with anyio.CancelScope() as scope:
        await client.call().write("assign_content", User, {})
    assert (scope.cancelled_caught, script.sent) == (True, 1)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_write_cut_off_from_outside_is_said_to_be_unknown(
    connect: Connect, caplog: pytest.LogCaptureFixture, anyio_backend: str
) -> None:
    gate = Gate(httpx2.Response(200))
    client, _ = connect(gate)
    task = asyncio.create_task(client.call().write("create_user", User, {}))
    await gate.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "was sent, its outcome is unknown" in caplog.text

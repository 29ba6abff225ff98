"""Open connections are limited, requests have a deadline, and refusals are clean. Over real sockets, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pp_mcp.server import connections
from pp_mcp.server.connections import BoundedProtocol

pytestmark = pytest.mark.anyio

GET = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
HALF = b"POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class App:
    """Answers `ok`, or not before `release` is set where the path is /slow."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.asked = 0

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        self.asked += 1
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        if scope["path"] == "/slow":
            await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(BoundedProtocol, "told", float("-inf"))
    monkeypatch.setattr(BoundedProtocol, "refused", set())


@asynccontextmanager
async def listening(most: int) -> AsyncIterator[tuple[App, int, uvicorn.Server]]:
    app = App()
    config = uvicorn.Config(
        app, port=0, http=BoundedProtocol, ws="none", limit_concurrency=most, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    config.load()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: BoundedProtocol(config, server.server_state, {}), "127.0.0.1", 0)
    try:
        yield app, listener.sockets[0].getsockname()[1], server
    finally:
        app.release.set()
        listener.close()
        for connection in [*server.server_state.connections, *BoundedProtocol.refused]:
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks)
        while OPEN:
            writer = OPEN.pop()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


OPEN: list[asyncio.StreamWriter] = []


async def opened(port: int, *sent: bytes) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    OPEN.append(writer)
    writer.writelines(sent)
    await writer.drain()
    return reader, writer


async def status(connection: Connection) -> int:
    head = await asyncio.wait_for(connection[0].readuntil(b"\r\n\r\n"), 10)
    return int(head.split()[1])


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    """Waits for the server's side of what was just sent."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing says so; the loop only yields
            await asyncio.sleep(0)


async def test_beyond_the_limit_a_clean_503_and_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(3) as (app, port, server):
        busy = [await opened(port, GET.replace(b"/health", b"/slow")) for _ in range(3)]
        await until(lambda: app.asked == 3)
        with caplog.at_level(logging.DEBUG):
            for _ in range(20):
                reader, writer = await opened(port, GET)
                assert await status((reader, writer)) == 503
                assert b"Try again" in await asyncio.wait_for(reader.read(), 10)
                writer.close()
        assert len([one for one in caplog.records if one.levelno >= logging.INFO]) == 1
        assert "PP_MAX_CONNECTIONS" in caplog.text
        assert len(server.server_state.connections) == 3
        app.release.set()
        assert [await status(one) for one in busy] == [200, 200, 200]
        assert await status(await opened(port, GET)) == 200


async def test_idle_connections_make_room_the_oldest_first() -> None:
    async with listening(3) as (_, port, server):
        fresh = await opened(port)
        await until(lambda: len(server.server_state.connections) == 1)
        answered = await opened(port, GET)
        assert await status(answered) == 200
        half = await opened(port, HALF)
        await until(lambda: sum(one.idle_since is None for one in server.server_state.connections) == 1)
        assert await status(await opened(port, GET)) == 200
        assert await asyncio.wait_for(fresh[0].read(), 10) == b""
        assert not answered[0].at_eof()
        half[1].write(b"67890")
        assert await status(half) == 200


async def test_who_was_just_answered_keeps_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 60.0)
    async with listening(2) as (_, port, server):
        answered = await opened(port, GET)
        assert await status(answered) == 200
        silent = await opened(port)
        await until(lambda: len(server.server_state.connections) == 2)
        other = await opened(port, GET)
        assert await status(other) == 200
        assert await asyncio.wait_for(silent[0].read(), 10) == b""
        assert await status(await opened(port, GET)) == 503
        for one in (answered, other):
            assert await one[0].readexactly(2) == b"ok"
            one[1].write(GET)
            assert await status(one) == 200


async def test_half_sent_requests_count_until_their_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    async with listening(2) as (_, port, server):
        body, head = await opened(port, HALF), await opened(port, GET[:12])
        await until(lambda: all(one.idle_since is None for one in server.server_state.connections))
        await until(lambda: len(server.server_state.connections) == 2)
        assert await status(await opened(port, GET)) == 503
        assert [await status(body), await status(head)] == [408, 408]
        assert await status(await opened(port, GET)) == 200


async def test_a_trickle_does_not_stretch_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    async with listening(2) as (_, port, _server):
        reader, writer = await opened(port, GET[:5])
        answer = asyncio.create_task(reader.read())
        async with asyncio.timeout(5):
            while not answer.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)
        assert answer.result().startswith(b"HTTP/1.1 408")


async def test_an_answer_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)
    async with listening(2) as (app, port, _):
        slow = await opened(port, GET.replace(b"/health", b"/slow"))
        await until(lambda: app.asked == 1)
        await asyncio.sleep(0.2)
        app.release.set()
        assert await status(slow) == 200


async def test_a_second_request_on_the_same_connection_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    async with listening(2) as (_, port, server):
        pipelined = await opened(port, GET + GET + HALF)
        assert [await status(pipelined), (await pipelined[0].readexactly(2))] == [200, b"ok"]
        assert [await status(pipelined), (await pipelined[0].readexactly(2))] == [200, b"ok"]
        assert await status(pipelined) == 408
        await until(lambda: not server.server_state.connections)


async def test_refused_connections_are_few_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REFUSAL_SECONDS", 0.3)
    monkeypatch.setattr(connections, "MOST_REFUSED", 2)
    async with listening(1) as (app, port, _):
        await opened(port, GET.replace(b"/health", b"/slow"))
        await until(lambda: app.asked == 1)
        silent = [await opened(port) for _ in range(2)]
        await until(lambda: len(BoundedProtocol.refused) == 2)
        third = await opened(port)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await status(third)
        for reader, _ in silent:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await status((reader, _))
        assert not BoundedProtocol.refused


def test_uvicorn_is_as_the_subclass_needs_it() -> None:
    attributes = inspect.getsource(H11Protocol.__init__)
    for name in ("limit_concurrency", "connections", "transport", "cycle", "conn", "loop"):
        assert f"self.{name}" in attributes, name
    for method in ("connection_made", "connection_lost", "data_received", "on_response_complete", "shutdown"):
        assert callable(getattr(H11Protocol, method))
    assert "self.limit_concurrency is not None" in inspect.getsource(H11Protocol.handle_events)

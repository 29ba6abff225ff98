"""Real connections, bodies that are too much, and words for what fails below HTTP."""

import gzip
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc
import httpx2
import pytest
from pydantic import SecretStr

from pp_mcp.api import Client
from pp_mcp.api.send import LARGEST_BODY, reason_of
from pp_mcp.errors import AnswerLost, NotFound, NotReached, UnexpectedAnswer
from pp_mcp.models import User

from .play import TOKEN, Connect

pytestmark = pytest.mark.anyio


def caused(fault: BaseException, *causes: BaseException) -> BaseException:
    current = fault
    for cause in causes:
        current.__cause__ = cause
        current = cause
    return fault


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (caused(httpx2.ConnectError("x"), OSError(), ConnectionRefusedError(111, "x")), "connection refused"),
        (caused(httpx2.ConnectError("x"), OSError(111, "x")), "connection refused"),
        (caused(httpx2.ConnectError("x"), OSError(101, "x")), "connecting failed"),
        (
            caused(httpx2.ConnectError("x"), OSError(), BaseExceptionGroup("g", [OSError(), ConnectionRefusedError()])),
            "connection refused",
        ),
        (caused(httpx2.ConnectError("x"), socket.gaierror(-2, "x")), "DNS lookup failed"),
        (caused(httpx2.ConnectError("x"), ssl.SSLCertVerificationError(1, "x")), "TLS certificate not accepted"),
        (caused(httpx2.ConnectError("x"), ssl.SSLError(1, "x")), "TLS failed"),
        (caused(httpx2.ReadError("x"), ConnectionResetError(104, "x")), "connection reset"),
        (httpx2.ConnectError("https://user:secret@host"), "connecting failed"),
        (httpx2.ConnectTimeout("x"), "connecting timed out"),
        (httpx2.PoolTimeout("x"), "no connection was free in time"),
        (httpx2.ReadTimeout("x"), "it took too long"),
        (httpx2.ProxyError("x"), "the proxy failed"),
        (httpx2.RemoteProtocolError("x"), "the connection broke off"),
        (httpx2.ReadError("x"), "the connection broke off"),
        (httpx2.LocalProtocolError("x"), "the request cannot be sent over HTTP"),
        (httpx2.UnsupportedProtocol("x"), "the address is neither http nor https"),
        (httpx2.TooManyRedirects("x"), "the exchange failed"),
        (httpx2.StreamClosed(), "the exchange failed"),
    ],
)
def test_reasons(fault: BaseException, reason: str) -> None:
    assert reason_of(fault) == reason


def test_a_circle_of_causes_ends() -> None:
    fault = httpx2.ReadError("x")
    fault.__cause__ = fault
    assert reason_of(fault) == "the connection broke off"


@pytest.mark.parametrize(
    "fault", [httpx2.LocalProtocolError("l"), httpx2.UnsupportedProtocol("u"), httpx2.InvalidURL("i")]
)
async def test_what_cannot_be_sent_was_not(connect: Connect, fault: Exception) -> None:
    client, _ = connect(fault)
    with pytest.raises(NotReached):
        await client.call().write("create_user", User, {})


class Zeros(httpx2.AsyncByteStream):
    def __init__(self) -> None:
        self.given = 0

    async def __aiter__(self) -> Any:
        while True:
            self.given += 1 << 20
            yield bytes(1 << 20)


async def test_a_body_without_end_is_refused(connect: Connect) -> None:
    streams: list[Zeros] = []

    def endless(request: httpx2.Request) -> httpx2.Response:
        streams.append(Zeros())
        return httpx2.Response(200 if request.method == "GET" else 201, stream=streams[-1])

    client, script = connect(endless)
    with pytest.raises(UnexpectedAnswer, match="larger than 32 MiB") as caught:
        await client.call().one("get_user", User, "x1")
    assert (script.sent, caught.value.code) == (1, "too_large")
    with pytest.raises(AnswerLost, match="larger than 32 MiB"):
        await client.call().write("create_user", User, {})
    assert all(stream.given <= LARGEST_BODY + (2 << 20) for stream in streams)


async def test_a_body_that_does_not_unpack(connect: Connect) -> None:
    packed = {"Content-Encoding": "gzip"}
    client, script = connect(lambda _: httpx2.Response(200, stream=httpx2.ByteStream(b"no gzip"), headers=packed))
    with pytest.raises(UnexpectedAnswer, match="it is empty"):
        await client.call().one("get_user", User, "x1")
    assert script.sent == 3


async def test_a_packed_error_does_unpack(connect: Connect) -> None:
    body = gzip.compress(b'{"error": {"code": "c", "message": "Gone."}}')
    client, _ = connect(
        lambda _: httpx2.Response(404, stream=httpx2.ByteStream(body), headers={"Content-Encoding": "gzip"})
    )
    with pytest.raises(NotFound, match=r"Gone\."):
        await client.call().one("get_user", User, "x1")


# ------------------------------------------------------------------------------------------------ over sockets


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def client_of(port: int, **options: Any) -> Client:
    return Client(base_url=f"http://127.0.0.1:{port}/v2", token=SecretStr(TOKEN), chance=lambda: 0.0, **options)


async def test_nobody_listens(free_port: int) -> None:
    async with client_of(free_port, budget=0.2) as client:
        with pytest.raises(NotReached) as caught:
            await client.call().write("create_user", User, {})
    assert caught.value.detail == "connection refused"
    assert str(free_port) not in caught.value.message


async def serve(answers: list[bytes], client_ports: set[int], task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
    """Answers requests that end with "}"; hangs up after each answer that is not whole."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def handle(stream: anyio.abc.SocketStream) -> None:
        client_ports.add(stream.extra(anyio.abc.SocketAttribute.remote_port))
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                while True:
                    while not (await stream.receive()).endswith(b"}"):
                        pass
                    answer = answers.pop(0)
                    await stream.send(answer)
                    if answer is not OK:
                        return

    async with listener:
        task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
        await listener.serve(handle)


OK = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\nX-Request-Id: req_1\r\n\r\n{"public_id": "x"}'


async def exchange(answers: list[bytes], calls: int) -> tuple[list[str], int]:
    outcomes: list[str] = []
    ports: set[int] = set()
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(serve, answers, ports)
        async with client_of(port) as client:
            for _ in range(calls):
                try:
                    await client.call().write("create_user", User, {"a": 1})
                    outcomes.append("done")
                except AnswerLost as error:
                    outcomes.append(error.detail)
        tasks.cancel_scope.cancel()
    return outcomes, len(ports)


async def test_a_connection_is_used_again() -> None:
    assert await exchange([OK, OK, OK], 3) == (["done"] * 3, 1)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"nonsense\r\n\r\n"],
    ids=["hangs up", "cut short", "no HTTP"],
)
async def test_a_server_that_breaks_off(answer: bytes) -> None:
    assert await exchange([answer], 1) == (["the connection broke off"], 1)

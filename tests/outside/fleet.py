"""A fleet on loopback: redis-server, replicas as processes, and the balancer in front of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2
import uvicorn
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from pp_mcp.demo import Tenant

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class RedisServer:
    """Debian's redis-server, without files; it can be stopped and started again, then empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: apt-get install redis-server"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, cwd="/")
        until = time.monotonic() + 10
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
            assert time.monotonic() < until, "redis-server did not start"
            time.sleep(0.02)

    def pause(self) -> None:
        """It accepts connections and answers none, as over a broken network."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_running() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Quiet(uvicorn.Server):
    """Leaves the signals of this process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def api_of(tenant: Tenant) -> AsyncIterator[str]:
    """The tenant's API on a port; its base URL."""
    port = free_port()
    server = Quiet(uvicorn.Config(tenant.app, host="127.0.0.1", port=port, http="h11", lifespan="off", log_config=None))
    task = asyncio.ensure_future(server.serve())
    try:
        await ready(port, "/public_api/v2/nothing", 404)
        yield f"http://127.0.0.1:{port}/public_api/v2"
    finally:
        server.should_exit = server.force_exit = True
        await task


@dataclass
class Replica:
    """A server process."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, word: str) -> list[str]:
        """The lines of its log that contain the word."""
        return [line for line in self.log.read_text().splitlines() if word in line]


@dataclass
class Balancer:
    """Sends each request to the next replica that says it is ready, over a new connection. One that does not accept it
    is passed over."""

    ports: list[int]
    port: int = 0
    turns: int = 0
    unready: set[int] = field(default_factory=set[int])
    served: dict[int, int] = field(default_factory=dict[int, int])
    """How many requests each replica got."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, client: SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            async with client:
                received = BufferedByteReceiveStream(client)
                head = (await received.receive_until(b"\r\n\r\n", 65_536)).decode("latin-1")
                lines = [one for one in head.split("\r\n") if not one.lower().startswith("connection:")]
                length = next((int(one[15:]) for one in lines if one.lower().startswith("content-length:")), 0)
                body = await received.receive_exactly(length)
                async with await self._next() as replica:
                    await replica.send("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)
                    async for chunk in replica:
                        await client.send(chunk)

    async def _next(self) -> SocketStream:
        self.turns += 1
        first = self.turns % len(self.ports)
        for port in self.ports[first:] + self.ports[:first]:
            if port in self.unready:
                continue
            with suppress(OSError):
                found = await anyio.connect_tcp("127.0.0.1", port)
                self.served[port] = self.served.get(port, 0) + 1
                return found
        raise anyio.BrokenResourceError

    async def look(self) -> None:
        """Asks each replica, twice a second, whether it is ready."""
        async with httpx2.AsyncClient() as http:
            while True:
                for port in self.ports:
                    with suppress(httpx2.TransportError):
                        answer = await http.get(f"http://127.0.0.1:{port}/ready")
                        (self.unready.discard if answer.status_code == 200 else self.unready.add)(port)
                await anyio.sleep(0.5)


@dataclass
class Fleet:
    """The replicas and their balancer."""

    replicas: list[Replica]
    balancer: Balancer

    @property
    def url(self) -> str:
        return self.balancer.url


@asynccontextmanager
async def fleet(tenant: Tenant, folder: Path, count: int = 3, **settings: str) -> AsyncIterator[Fleet]:
    """So many stateless replicas over the tenant, behind a balancer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PP_")}
    replicas: list[Replica] = []
    async with api_of(tenant) as base_url:
        env = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PP_BASE_URL": base_url,
            "PP_API_TOKEN": tenant.token,
            "PP_SECRET_KEY": "a key that all replicas of the tests have",
            **settings,
        }
        try:
            for number in range(count):
                port, log = free_port(), folder / f"replica-{number}.log"
                command = [sys.executable, "-m", "pp_mcp", "serve", "--transport", "http", "--stateless"]
                replicas.append(Replica(port, started([*command, "--port", str(port)], env, log), log))
            for one in replicas:
                await ready(one.port)
            balancer = Balancer([one.port for one in replicas])
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            balancer.port = listener.extra(SocketAttribute.local_port)
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, balancer.handle)
                group.start_soon(balancer.look)
                yield Fleet(replicas, balancer)
                group.cancel_scope.cancel()
        finally:
            for one in replicas:
                one.process.kill()
                one.process.wait()


def started(command: list[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        return subprocess.Popen(command, env=env, stderr=stderr)


async def ready(port: int, path: str = "/ready", status: int = 200) -> str:
    """Waits until the server is ready; what it then says."""
    async with httpx2.AsyncClient() as http:
        with anyio.fail_after(60):
            while True:
                with suppress(httpx2.TransportError):
                    answer = await http.get(f"http://127.0.0.1:{port}{path}")
                    if answer.status_code == status:
                        return answer.json().get("status", "")
                await anyio.sleep(0.05)

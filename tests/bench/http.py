"""How many calls a second the server answers over HTTP, beside a bare server of the SDK that asks the API the same.

Three kinds of processes: the API, which gives recorded answers of the demo tenant; the server that is measured; and
this one, whose clients send prepared requests and read the answers without taking them apart. The two servers take
turns, and what counts is their ratio: the machine and its other work weigh on both.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from mcp.types import LATEST_PROTOCOL_VERSION

from pp_mcp.demo import DEMO_TOKEN
from pp_mcp.server.http import PATH

Say = Callable[[str], None]

CLIENTS = (1, 8, 64)
"""At the same time, each with a connection of its own."""

GOAL = 0.85
"""Of the bare server's calls a second."""

CROWD = 200
"""Clients for the measure of memory."""

ROOM, RUSH = 64, 256
"""Past saturation: connections that the server takes, and clients that come at once."""

MOMENT = 0.25
"""Seconds after which a client that was refused comes back; the server asks for more."""

META = {
    "io.modelcontextprotocol/protocolVersion": LATEST_PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


def request(port: int, tool: str, arguments: dict[str, Any]) -> bytes:
    """A tool call as it goes over the wire."""
    params = {"name": tool, "arguments": arguments, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = [
        f"POST {PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept: application/json, text/event-stream",
        "Content-Type: application/json",
        f"MCP-Protocol-Version: {LATEST_PROTOCOL_VERSION}",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body as it was sent, with the lengths of its chunks in between."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, lower = int(head.split(b" ", 2)[1]), head.lower()
    if b"transfer-encoding: chunked" in lower:
        return status, await _chunks(reader)
    length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return status, await reader.readexactly(length)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


@dataclass
class Round:
    """What some clients saw in some seconds. `cpu` is what the server worked, in seconds."""

    seconds: float
    cpu: float = 0.0
    waits: list[float] = field(default_factory=list[float])
    """Seconds of each call that was answered."""
    others: Counter[str] = field(default_factory=Counter[str])
    """How calls ended that were not."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.waits) / self.seconds

    @property
    def cost(self) -> float:
        """Milliseconds that the server works for a call."""
        return 1_000 * self.cpu / max(len(self.waits), 1)

    def percentile(self, percent: int) -> float:
        """Milliseconds within which so many percent of the calls were answered."""
        return 1_000 * quantiles(self.waits, n=100, method="inclusive")[percent - 1]


class Served:
    """A server in a process of its own."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port, self._process = port, process

    @property
    def cpu(self) -> float:
        """Seconds that it has worked."""
        spent = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """MB that it holds."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def load(self, tool: str, arguments: dict[str, Any], clients: int, seconds: float) -> Round:
        """Lets so many clients call the tool over and over. One that is refused comes back a moment later."""
        sent, until = request(self.port, tool, arguments), time.perf_counter() + seconds
        found, before = Round(seconds), self.cpu

        async def client() -> None:
            while time.perf_counter() < until:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    found.others["not connected"] += 1
                else:
                    try:
                        await self._calls(reader, writer, sent, until, found)
                    except (OSError, asyncio.IncompleteReadError):
                        found.others["broken off"] += 1
                    finally:
                        writer.close()
                await asyncio.sleep(MOMENT)

        await asyncio.gather(*(client() for _ in range(clients)))
        found.cpu = self.cpu - before
        return found

    async def _calls(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes, until: float, found: Round
    ) -> None:
        while (began := time.perf_counter()) < until:
            writer.write(sent)
            status, body = await answer(reader)
            if status != 200:
                found.others[str(status)] += 1
                return
            if b'"structuredContent"' not in body or b'"isError":true' in body:
                raise RuntimeError(f"no good answer: {body[:300]!r}")
            found.waits.append(time.perf_counter() - began)

    async def idle(self, clients: int) -> float:
        """MB that it holds more for so many clients who are connected and ask nothing."""
        before = self.memory
        pairs = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(clients)]
        await asyncio.sleep(0.5)
        held = self.memory - before
        for _, writer in pairs:
            writer.close()
        return held


@contextmanager
def started(command: list[str], port: int, **settings: str) -> Generator[Served]:
    """A process that listens on the port."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PP_", "OTEL_"))}
    with subprocess.Popen([sys.executable, *command], env={**clean, **settings}, text=True) as process:
        try:
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"{command} did not start")
            yield Served(port, process)
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@dataclass
class Beside:
    """One tool with so many clients: each round of ours and the bare server's after it."""

    tool: str
    clients: int
    pairs: list[tuple[Round, Round]] = field(default_factory=list[tuple[Round, Round]])

    @property
    def rate(self) -> float:
        """Our calls a second as a part of the bare server's: the median of the rounds."""
        return median(ours.rate / bare.rate for ours, bare in self.pairs)

    def line(self) -> str:
        """A row of the table."""
        ours, bare = max((one for one, _ in self.pairs), key=_rate), max((one for _, one in self.pairs), key=_rate)
        cost = median(theirs.cost / mine.cost for mine, theirs in self.pairs)
        return (
            f"{self.tool:<11}{self.clients:>7}  {ours.rate:>6.0f} {bare.rate:>6.0f}  {self.rate:>6.2f} {cost:>6.2f}  "
            f"{ours.percentile(50):>7.1f} {bare.percentile(50):>7.1f}  "
            f"{ours.percentile(99):>7.1f} {bare.percentile(99):>7.1f}"
        )


def _rate(one: Round) -> float:
    return one.rate


HEAD = f"""\
{"":<20}{"calls a second":>14} {"ratio, by":>14} {"p50, ms":>16} {"p99, ms":>16}
{"tool":<11}{"clients":>7}  {"ours":>6} {"bare":>6}  {"rate":>6} {"CPU":>6}  {"ours":>7} {"bare":>7}  {"ours":>7} {"bare":>7}"""


async def run(rounds: int, seconds: float, say: Say) -> bool:
    """Measures and says; whether the goals are met. Linux only: it reads /proc."""
    api_port, port, bare_port, small_port = (free_port() for _ in range(4))
    base = f"http://127.0.0.1:{api_port}/public_api/v2"
    serve = ["-m", "pp_mcp", "serve", "--transport", "http", "--log-level", "WARNING", "--port"]
    settings = {"PP_BASE_URL": base, "PP_API_TOKEN": DEMO_TOKEN}
    with ExitStack() as running:
        running.enter_context(started(["-m", "tests.bench.peers", "api", str(api_port)], api_port))
        ours = running.enter_context(started([*serve, str(port)], port, **settings))
        bare = running.enter_context(started(["-m", "tests.bench.peers", "bare", str(bare_port), base], bare_port))
        small = running.enter_context(
            started([*serve, str(small_port)], small_port, PP_MAX_CONNECTIONS=str(ROOM), **settings)
        )
        calls: dict[str, dict[str, Any]] = {"get_user": {"user": await _someone(ours)}, "list_users": {}}
        for tool, arguments in calls.items():
            for server in (ours, bare, small):
                await server.load(tool, arguments, 8, 1.0)
        # First: what a load leaves free would hide what clients need.
        await _memory(ours, bare, calls["get_user"], say)
        say(HEAD)
        found: list[Beside] = []
        for tool, arguments in calls.items():
            for clients in CLIENTS:
                beside = Beside(tool, clients)
                for _ in range(rounds):
                    mine = await ours.load(tool, arguments, clients, seconds)
                    beside.pairs.append((mine, await bare.load(tool, arguments, clients, seconds)))
                found.append(beside)
                say(beside.line())
        met = [_of_tool(found, tool) >= GOAL for tool in calls]
        for tool in calls:
            say(f"{tool}: {_of_tool(found, tool):.2f} of the bare server's calls a second (goal: {GOAL})")
        met.append(await _rush(small, calls["get_user"], seconds, say))
    return all(met)


def _of_tool(found: list[Beside], tool: str) -> float:
    return median(ours.rate / bare.rate for one in found if one.tool == tool for ours, bare in one.pairs)


async def _someone(server: Served) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server.port, "list_users", {"page_size": 1}))
    _, body = await answer(reader)
    writer.close()
    message = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    return message["result"]["structuredContent"]["items"][0]["public_id"]


async def _memory(ours: Served, bare: Served, arguments: dict[str, Any], say: Say) -> None:
    figures: list[str] = []
    for name, server in (("ours", ours), ("bare", bare)):
        idle = await server.idle(CROWD)
        before = server.memory
        await server.load("get_user", arguments, CROWD, 3.0)
        busy = max(server.memory - before, 0.0)
        figures.append(f"{name} {100 * idle / CROWD:.1f} idle, {100 * busy / CROWD:.1f} busy")
    say(f"MB per 100 clients: {'; '.join(figures)}")


async def _rush(server: Served, arguments: dict[str, Any], seconds: float, say: Say) -> bool:
    """More clients than the server takes: those it takes are answered, the others get a 503, and nothing piles up."""
    await server.load("get_user", arguments, RUSH, seconds)
    before = server.memory
    found = await server.load("get_user", arguments, RUSH, 2 * seconds)
    grown = server.memory - before
    after = await server.load("get_user", arguments, 8, seconds)
    say(
        f"{RUSH} clients where {ROOM} have room: {found.rate:.0f} calls a second, p99 {found.percentile(99):.0f} ms, "
        f"otherwise {dict(found.others)}; {grown:+.1f} MB; afterwards {after.rate:.0f} calls a second"
    )
    clean = set(found.others) <= {"503", "broken off", "not connected"} and not after.others
    return clean and found.others["503"] > 0 and grown < 5

"""Real processes on loopback: the demo tenant's API, and servers over stdio and HTTP."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from pp_mcp.demo import DEMO_TOKEN

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
SMALL = ("--people", "60", "--assignments", "150")
META: Json = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "proof", "version": "1"},
}
LONGEST_LINE = 64 * 1024 * 1024


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.bind((host, 0))
        return free.getsockname()[1]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with these settings of ours and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PP_")}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


@asynccontextmanager
async def process(
    *arguments: str,
    settings: Mapping[str, str] = {},
    log: Any = subprocess.DEVNULL,
    code: str | None = None,
    **options: Any,
) -> AsyncIterator[Process]:
    """`python -m pp_mcp …` (or `code` with these arguments), killed in the end. It logs to `log`, a file or nowhere."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "pp_mcp"]), *arguments]
    async with await anyio.open_process(command, env=environment(settings), stderr=log, **options) as started:
        try:
            yield started
        finally:
            if started.returncode is None:
                started.kill()


@dataclass
class Place:
    """A tenant's API: the settings that lead to it, and its database."""

    settings: dict[str, str]
    db: Path

    def column(self, query: str, *params: Any) -> list[Any]:
        """The first column of all rows."""
        connection = sqlite3.connect(self.db)
        try:
            return [row[0] for row in connection.execute(query, params)]
        finally:
            connection.close()

    def one(self, query: str, *params: Any) -> Any:
        """The first value of the first row."""
        return self.column(query, *params)[0]


@asynccontextmanager
async def api(*options: str) -> AsyncIterator[Place]:
    """The demo tenant's API as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        db, port = Path(folder, "tenant.db"), free_port()
        async with process("demo", "--api", "--port", str(port), "--demo-db", str(db), *options):
            await until(lambda: _listens("127.0.0.1", port))
            url = f"http://127.0.0.1:{port}/public_api/v2"
            yield Place({"PP_BASE_URL": url, "PP_API_TOKEN": DEMO_TOKEN}, db)


async def until(holds: Any, seconds: float = 40.0) -> None:
    """Waits for it, asking ten times a second."""
    with anyio.fail_after(seconds):
        while not holds():
            await anyio.sleep(0.1)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@dataclass
class Stdio:
    """Speaks raw MCP with a server process over its pipes."""

    process: Process
    log: Path
    answers: dict[int, Json] = field(default_factory=dict[int, Json])
    progress: list[str] = field(default_factory=list[str])
    number: int = 0
    news: anyio.Event = field(default_factory=anyio.Event)

    async def read(self) -> None:
        """Takes what arrives until the process ends."""
        assert self.process.stdout is not None
        lines = BufferedByteReceiveStream(self.process.stdout)
        try:
            while True:
                message = json.loads(await lines.receive_until(b"\n", LONGEST_LINE))
                if "id" in message:
                    self.answers[message["id"]] = message
                else:
                    self.progress.append(message.get("params", {}).get("message", ""))
                self.tell()
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.tell()

    def tell(self) -> None:
        self.news.set()
        self.news = anyio.Event()

    async def send(self, message: Json) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def begin(self, tool: str, **arguments: Any) -> int:
        """Sends a call; gives its number."""
        self.number += 1
        meta = {**META, "progressToken": self.number}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        await self.send({"id": self.number, "method": "tools/call", "params": params})
        return self.number

    async def answer(self, number: int, seconds: float = 60.0) -> Json:
        """The answer to a call."""
        with anyio.fail_after(seconds):
            while number not in self.answers:
                assert self.process.returncode is None, "the server ended"
                await self.news.wait()
        return said(self.answers.pop(number))

    async def ask(self, tool: str, **arguments: Any) -> Json:
        """A call and its answer."""
        return await self.answer(await self.begin(tool, **arguments))


def said(message: Json) -> Json:
    """The structured content, or `{"error": …}`."""
    result = message.get("result")
    if result is None:
        return {"error": json.dumps(message.get("error"))}
    if result.get("isError"):
        return {"error": "".join(block.get("text", "") for block in result["content"])}
    return result["structuredContent"]


@asynccontextmanager
async def stdio(settings: Mapping[str, str], *options: str, **how: Any) -> AsyncIterator[Stdio]:
    """A server over stdio."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "stderr")
        with log.open("wb") as file:
            async with process("serve", *options, settings=settings, log=file, **how) as started:
                server = Stdio(started, log)
                async with anyio.create_task_group() as group:
                    group.start_soon(server.read)
                    yield server
                    group.cancel_scope.cancel()


@dataclass
class Http:
    """A server over HTTP, and a client of it without limits."""

    url: str
    client: httpx2.AsyncClient
    process: Process
    log: Path

    async def call(
        self,
        tool: str,
        *,
        client: httpx2.AsyncClient | None = None,
        name: str = "proof",
        headers: Any = (),
        **arguments: Any,
    ) -> Json:
        """A call without a session, as the newer protocol has it; `name` is what the client calls itself."""
        meta = {**META, "io.modelcontextprotocol/clientInfo": {"name": name, "version": "1"}}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        response = await (client or self.client).post(
            f"{self.url}/mcp",
            json=body,
            headers=[*HEADERS.items(), ("Mcp-Method", "tools/call"), ("Mcp-Name", tool), *headers],
        )
        return said(message_of(response))

    async def health(self) -> float:
        """Seconds until `/health` answers well, on a connection of its own; raises where it does not."""
        began = time.monotonic()
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
            response = await client.get(f"{self.url}/health")
        assert response.status_code == 200, response.status_code
        return time.monotonic() - began


HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}


def message_of(response: httpx2.Response) -> Json:
    """The JSON-RPC message in an answer, plain or as an event."""
    lines = [line[5:] for line in response.text.splitlines() if line.startswith("data:") and "{" in line]
    try:
        return json.loads(lines[-1] if lines else response.text)
    except ValueError:
        return {"error": f"HTTP {response.status_code}: {response.text[:200]}"}


@asynccontextmanager
async def http(settings: Mapping[str, str], *options: str, host: str = "127.0.0.1") -> AsyncIterator[Http]:
    """A server over HTTP."""
    port = free_port(host)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "stderr")
        arguments = ("serve", "--transport", "http", "--host", host, "--port", str(port), *options)
        with log.open("wb") as file:
            async with process(*arguments, settings=settings, log=file) as started:
                await until(lambda: started.returncode is not None or _listens(host, port))
                assert started.returncode is None, log.read_text(encoding="utf-8")[-500:]
                limits = httpx2.Limits(max_connections=None)
                async with httpx2.AsyncClient(trust_env=False, timeout=90, limits=limits) as client:
                    yield Http(f"http://{f'[{host}]' if ':' in host else host}:{port}", client, started, log)

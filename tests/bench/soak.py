"""Mixed traffic against a faulty tenant, for some minutes: no wrong answer, nothing leaked, memory flat.

The tenant's API is a process of its own on loopback, so that connections are real and memory is the server's alone; its
database is read past it. Several MCP clients work at the same time, of both eras of the protocol, in memory and over
HTTP, each on a part of the tenant that is its own, so that every answer can be held against the database.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import linear_regression, median

import anyio
import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from pp_mcp.audit import verify
from pp_mcp.config import load
from pp_mcp.demo import DEMO_TOKEN
from pp_mcp.server.app import PlusPlusServer, build_server
from pp_mcp.server.http import PATH, http_app
from tests.bench.soak_worker import Database, Tally, Worker

Say = Callable[[str], None]

_TENANT = """
import sys
from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.demo.serve import run
port, db, *faults = sys.argv[1:]
sizes = Sizes(people=150, assignments=1_500)
run(Tenant(db=db, sizes=sizes, rate_limit=12_000, faults=Faults.parse(faults)), "127.0.0.1", int(port))
"""
"""The tenant's process. Its rate limit, of a minute, is met now and then: waiting for it is part of the traffic."""

FAULTS = (
    "latency=0.002",
    "429=0.001",
    "429-bare=0.001",
    "5xx=0.02",
    "5xx-after=0.01",
    "drop-before=0.02",
    "drop-after=0.02",
    "truncate=0.01",
    "garbage=0.01",
    "wrong-type=0.01",
)

CLIENTS = (("memory", "2026-07-28"), ("memory", "legacy"), ("http", "2026-07-28"), ("http", "legacy")) * 2
"""How each client reaches its server, and the era it speaks."""

WARM_UP = 0.4
"""The part of the time in which caches may fill; memory is judged after it."""

SLOPE = 2.0
"""MB a minute that memory may grow by after the warm-up."""

SWING = 4.0
"""MB: what it grew by in all may be so much, whatever a short run makes of it by the minute."""


async def run(minutes: float, say: Say) -> Tally:
    """Works for that long, and tallies. What it starts it ends; a short round before shows what one leaves open."""
    await _round(1 / 30, Tally(), lambda _: None)
    await anyio.sleep(0.5)
    tally = Tally()
    handles, tasks = _handles(), _tasks()
    await _round(minutes, tally, say)
    await anyio.sleep(0.5)
    # One task of a library ends by itself some time after the first round.
    left_handles, left_tasks = max(_handles() - handles, 0), max(_tasks() - tasks, 0)
    tally.figures |= {"tasks left over": str(left_tasks), "file handles left over": str(left_handles)}
    if left_tasks > 0 or left_handles > 0:
        tally.wrong.append(f"{left_tasks} tasks and {left_handles} file handles (connections are some) are left over")
    return tally


async def _round(minutes: float, tally: Tally, say: Say) -> None:
    with tempfile.TemporaryDirectory() as folder:
        audit = Path(folder, "audit.log")
        async with _api(Path(folder, "tenant.db")) as base_url:
            connection = sqlite3.connect(Path(folder, "tenant.db"), isolation_level=None)
            try:
                await _traffic(base_url, audit, Database(connection), minutes, tally, say)
            finally:
                connection.close()
        lines, _, findings = verify(audit)
        tally.figures |= {"audit log": f"{lines:,} lines, {len(findings)} findings"}
        tally.wrong += [f"audit log, line {one.number}: {one.what}" for one in findings]


@asynccontextmanager
async def _api(db: Path) -> AsyncGenerator[str]:
    """The demo tenant's API with all its faults, in a process of its own; gives its base URL."""
    port = _free_port()
    command = [sys.executable, "-c", _TENANT, str(port), str(db), *FAULTS]
    nothing = subprocess.DEVNULL
    async with await anyio.open_process(command, stdin=nothing, stdout=nothing, stderr=nothing) as process:
        for _ in range(400):
            if _listens(port):
                break
            await anyio.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{port}/public_api/v2"
        finally:
            process.terminate()


async def _traffic(base_url: str, audit: Path, database: Database, minutes: float, tally: Tally, say: Say) -> None:
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        memory, http = _server(base_url, audit), _server(base_url, audit)
        url = await stack.enter_async_context(_over_http(http))
        workers = stack.enter_context(_working())
        for number, (way, mode) in enumerate(CLIENTS):
            target = memory
            if way == "http":
                # One client for each, as if each were a program of its own.
                own = await stack.enter_async_context(httpx2.AsyncClient(timeout=90))
                target = streamable_http_client(url, http_client=own)
            client = await stack.enter_async_context(Client(target, mode=mode))
            workers.append(Worker(number, client, database, tally))
        until = began + 60 * minutes
        async with anyio.create_task_group() as group:
            for worker in workers:
                group.start_soon(worker.work, until)
            while time.monotonic() < until:
                await anyio.sleep(min(2.0, max(0.1, until - time.monotonic())))
                # Without what waits to be collected, which comes and goes by megabytes.
                gc.collect()
                samples.append((time.monotonic() - began, _megabytes()))
                if len(samples) % 5 == 0:
                    say(f"{samples[-1][0]:5.0f} s  {tally.calls.total():,} calls  {samples[-1][1]:.1f} MB")
    _judge_memory(samples, tally)
    took = time.monotonic() - began
    calls = tally.calls.total()
    tally.figures = {
        "minutes": f"{minutes:g}",
        "clients": f"{len(CLIENTS)}, in memory and over HTTP, of both eras",
        "faults": ", ".join(FAULTS),
        "calls": f"{calls:,} ({calls / took:.0f} a second) of {len(tally.calls)} tools",
        "held against the database": f"{tally.checked:,}",
        "wrong answers": str(len(tally.wrong)),
        **tally.figures,
    }


def _judge_memory(samples: list[tuple[float, float]], tally: Tally) -> None:
    """Memory after the warm-up: its slope, and what it grew by from the first third of that time to the last."""
    end = samples[-1][0]
    later = [(at / 60, size) for at, size in samples if at >= WARM_UP * end]
    if len(later) < 6:
        return
    slope = linear_regression([at for at, _ in later], [size for _, size in later]).slope
    third = len(later) // 3
    grown = median(size for _, size in later[-third:]) - median(size for _, size in later[:third])
    words = f"{slope:+.2f} MB a minute after the warm-up, {grown:+.1f} in all"
    tally.figures |= {"memory": f"{later[-1][1]:.1f} MB; {words}"}
    if slope > SLOPE and grown > SWING:
        tally.wrong.append(f"memory grew by {slope:.2f} MB a minute")


@contextmanager
def _working() -> Generator[list[Worker]]:
    """The workers, quietly: what goes wrong on purpose is no news."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield []
    finally:
        logging.disable(before)


def _server(base_url: str, audit: Path) -> PlusPlusServer:
    settings = load(
        {"base_url": base_url, "max_writes_per_hour": 0, "audit_log": str(audit), "log_level": "ERROR"},
        environ={"PP_API_TOKEN": DEMO_TOKEN},
    )
    return build_server(settings)


@asynccontextmanager
async def _over_http(server: PlusPlusServer) -> AsyncGenerator[str]:
    """Serves on a real port of this computer; gives the address."""
    port = _free_port()
    config = uvicorn.Config(http_app(server), host="127.0.0.1", port=port, log_config=None, access_log=False)
    serving = uvicorn.Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(serving.serve)
        for _ in range(500):
            if serving.started:
                break
            await anyio.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{port}{PATH}"
        finally:
            serving.should_exit = True


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _handles() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _tasks() -> int:
    return len(anyio.get_running_tasks())


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000

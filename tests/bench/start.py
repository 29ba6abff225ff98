"""Seconds from a server's start to its first list of tools, beside a bare server of the SDK with one tool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from statistics import median

LIMIT = 1.2
"""How many times as long as the bare server ours may take."""

BARE = """
from mcp.server import MCPServer

server = MCPServer("bare")

@server.tool()
def add(a: int, b: int) -> int:
    "Adds two numbers."
    return a + b

server.run()
"""

_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_ASK = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": _META}}).encode() + b"\n"


def started(*arguments: str) -> float:
    """Seconds until a new process has listed its tools on stdio.

    Raises:
        RuntimeError: it did not.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PP_")}
    environment: Mapping[str, str] = {**kept, "PP_TENANT": "acme", "PP_API_TOKEN": "pp_bench"}
    pipe = subprocess.PIPE
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_ASK)
        process.stdin.flush()
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdin.close()
        process.kill()
    if b'"tools"' not in line:
        raise RuntimeError(f"{' '.join(arguments)} listed no tools")
    return seconds


def run(times: int) -> Iterator[tuple[float, float]]:
    """Seconds of the bare server and of ours, one after the other."""
    for _ in range(times):
        yield started("-c", BARE), started("-m", "pp_mcp")


def ratio(runs: list[tuple[float, float]]) -> float:
    """How many times as long ours takes: the median over the pairs, so that other load counts for both."""
    return median(ours / bare for bare, ours in runs)


def table(runs: list[tuple[float, float]]) -> str:
    """The medians and their ratio."""
    bare, ours = (median(one) for one in zip(*runs, strict=True))
    return (
        f"| from start to the first list of tools, {len(runs)} alternating runs | seconds |\n| --- | ---: |\n"
        f"| a bare server with one tool | {bare:.2f} |\n| pp-mcp | {ours:.2f} |\n"
        f"| ratio | **{ratio(runs):.2f}** of at most {LIMIT} |"
    )

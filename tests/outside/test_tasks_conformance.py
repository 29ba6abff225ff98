"""The official suite's scenarios for tasks, against a server with our extension and the tools that they call.

Left out: `tasks-mrtr-input` (our tasks ask nothing, for what needs confirming is confirmed before),
`tasks-required-task-error` (no tool of ours needs a task), and `tasks-status-notifications`, which the suite skips.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Run, _answers
from .test_conformance import NPM as NPM

SCENARIOS = (
    *("tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal"),
    *("tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-mrtr-composition"),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [sys.executable, Path(__file__).with_name("tasks_server.py"), str(port)]
    with subprocess.Popen(server, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, "the server did not start"
                assert time.monotonic() < until, "the server took too long to start"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_for_tasks(scenario: str, url: str, node: Run, tmp_path: Path) -> None:
    ended = node(
        "@modelcontextprotocol/conformance/dist/index.js",
        *("server", "--url", url, "--scenario", scenario),
        *("--spec-version", "2026-07-28", "--force", "-o", tmp_path),
    )
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
    assert "0 failed, 0 warnings" in ended.stdout
    assert "Passed: 0/0" not in ended.stdout

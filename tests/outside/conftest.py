"""Tests that need another program than Python: not collected by default, run by `.ci/run` or `pytest tests/outside`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

SERVE_DEMO = [sys.executable, "-m", "pp_mcp", "serve", "--demo"]
"""The command of a server over the demo tenant, for clients that start it themselves."""


@pytest.fixture(scope="session")
def demo_url() -> Iterator[str]:
    """The base URL of a server over the demo tenant, without `/mcp`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, command = f"http://127.0.0.1:{port}", [*SERVE_DEMO, "--transport", "http", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while not _answers(f"{url}/health"):
                assert process.poll() is None, "the server did not start"
                assert time.monotonic() < until, "the server took too long to start"
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder `node_modules` with the npm packages that the module names in `NPM`, and a Node of its own."""
    home = tmp_path_factory.mktemp("node")
    packages: tuple[str, ...] = request.module.NPM
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "node@22", *packages]
    subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)
    return home / "node_modules"


@pytest.fixture(scope="module")
def node(modules: Path) -> Run:
    """Runs a script of the installed npm packages.

    The first argument is the script's path inside `node_modules`. It runs without the settings of whoever tests.
    """
    home = modules.parent

    def run(
        script: str, *arguments: str | Path, timeout: float = 120, cwd: Path = home, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [modules / ".bin/node", modules / script, *arguments],
            cwd=cwd,
            env={**os.environ, "HOME": str(home), **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )

    return run

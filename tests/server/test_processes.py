"""The server as real processes: stdio with only the protocol on stdout, uvicorn on loopback, the ways to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

ROOT = Path(__file__).parents[2]
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}
DEMO = ["serve", "--demo", "--people", "40", "--assignments", "100"]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PP_")}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


@contextmanager
def running(*arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "pp_mcp", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(**settings)) as process:
        try:
            yield process
        finally:
            process.kill()


def send(process: subprocess.Popen[bytes], message: dict[str, Any] | str) -> None:
    assert process.stdin is not None
    text = message if isinstance(message, str) else json.dumps({"jsonrpc": "2.0", **message})
    process.stdin.write(text.encode() + b"\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[bytes], number: int) -> dict[str, Any]:
    """The answer to request `number`; every line before it must be JSON-RPC too."""
    assert process.stdout is not None
    stdout: IO[bytes] = process.stdout
    while True:
        line = stdout.readline()
        assert line, "stdout ended"
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if message.get("id") == number:
            return message


def call(number: int, tool: str, arguments: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments, **extra}}


def test_stdio_on_the_newer_protocol() -> None:
    with running(*DEMO) as process:
        send(process, {"id": 1, "method": "server/discover", "params": {"_meta": META}})
        assert "2026-07-28" in answer(process, 1)["result"]["supportedVersions"]
        send(process, {"id": 2, "method": "tools/list", "params": {"_meta": META}})
        assert len(answer(process, 2)["result"]["tools"]) > 30
        send(process, "this is no JSON {{{")
        send(process, call(3, "list_users", {"page_size": 2}, _meta=META))
        assert answer(process, 3)["result"]["structuredContent"]["total_count"] == 40
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(15) == 0
        assert process.stdout is not None
        for line in process.stdout.read().splitlines():
            assert json.loads(line)["jsonrpc"] == "2.0"


def test_stdio_on_the_older_protocol() -> None:
    with running(*DEMO) as process:
        info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        send(process, {"id": 1, "method": "initialize", "params": info})
        result = answer(process, 1)["result"]
        assert result["protocolVersion"] == "2025-11-25"
        assert "PlusPlus" in result["instructions"]
        send(process, {"method": "notifications/initialized"})
        send(process, call(2, "get_user", {"user": "nobody@acme.example"}))
        assert answer(process, 2)["result"]["isError"]
        send(process, call(3, "no_such_tool", {}))
        assert "no_such_tool" in json.dumps(answer(process, 3))


def test_a_client_that_falls_back_after_discovering_is_served() -> None:
    info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    with running(*DEMO) as process:
        send(process, {"id": 1, "method": "server/discover", "params": {"_meta": META}})
        send(process, {"id": 2, "method": "initialize", "params": info})
        assert answer(process, 2)["result"]["protocolVersion"] == "2025-11-25"
        send(process, {"method": "notifications/initialized"})
        send(process, call(3, "list_users", {"page_size": 1}))
        assert answer(process, 3)["result"]["structuredContent"]["total_count"] == 40
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(15) == 0
    with running(*DEMO) as process:
        send(process, {"id": 1, "method": "tools/list", "params": {"_meta": META}})
        answer(process, 1)
        send(process, {"id": 2, "method": "initialize", "params": info})
        assert "error" in answer(process, 2)


@pytest.mark.parametrize("arguments", [DEMO, ["demo"]], ids=["serve", "demo"])
def test_a_broken_stdout_ends_quietly(arguments: list[str]) -> None:
    with running(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if arguments == DEMO:
            send(process, {"id": 1, "method": "server/discover", "params": {"_meta": META}})
            answer(process, 1)
        process.stdout.close()
        assert process.wait(15) == 0
        assert [line for line in process.stderr.read().splitlines() if b"Stopping" not in line] == []


def test_without_settings_stdio_answers_and_names_them() -> None:
    with running() as process:
        send(process, {"id": 1, "method": "tools/list", "params": {"_meta": META}})
        assert len(answer(process, 1)["result"]["tools"]) > 30
        send(process, call(2, "list_users", {}, _meta=META))
        result = answer(process, 2)["result"]
        assert result["isError"]
        for word in ("PP_TENANT", "PP_API_TOKEN"):
            assert word in json.dumps(result)


def test_debug_logs_no_answers_and_no_tokens() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(*DEMO, "--transport", "http", "--port", str(port), PP_LOG_LEVEL="DEBUG") as process:
        until_healthy(url)
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "list_users",
        }
        body = {"jsonrpc": "2.0", **call(1, "list_users", {"page_size": 5}, _meta=META)}
        answered = httpx2.post(f"{url}/mcp", json=body, headers=headers).text
        with httpx2.Client() as flood:
            for _ in range(30):
                flood.post(f"{url}/mcp", json=body, headers={**headers, "Host": "evil.example"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert process.stderr is not None
        log = process.stderr.read().decode()
    assert "acme.example" in answered
    assert "acme.example" not in log
    assert "pp_demo" not in log
    assert 1 <= log.count("evil.example") <= 3


def test_sigterm_ends_stdio_at_once_and_cleanly() -> None:
    with running(*DEMO) as process:
        send(process, {"id": 1, "method": "server/discover", "params": {"_meta": META}})
        answer(process, 1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until_healthy(url: str) -> dict[str, Any]:
    return until_up(f"{url}/health").json()


def until_up(url: str) -> httpx2.Response:
    for _ in range(150):
        try:
            return httpx2.get(url)
        except httpx2.TransportError:
            time.sleep(0.1)  # the one wait there is: a process has to start
    raise AssertionError("the server did not start")


def test_a_real_uvicorn() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(*DEMO, "--transport", "http", "--port", str(port)) as process:
        assert until_healthy(url)["status"] == "ok"
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "list_users",
        }
        body = {"jsonrpc": "2.0", **call(1, "list_users", {"page_size": 1}, _meta=META)}
        good = httpx2.post(f"{url}/mcp", json=body, headers=headers)
        assert good.status_code == 200
        assert '"total_count":40' in good.text.replace("\\", "")
        assert httpx2.post(f"{url}/mcp", json=body, headers={**headers, "Host": "evil.example"}).status_code == 421
        foreign = httpx2.post(f"{url}/mcp", json=body, headers={**headers, "Origin": "https://evil.example"})
        assert foreign.status_code == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_what_is_wrong_is_said_on_stderr_with_exit_code_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pp_mcp", "serve", "--strict"],
        capture_output=True,
        text=True,
        env=environment(PP_TIMEOUT="-1"),
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    for word in ("PP_TENANT", "PP_API_TOKEN", "PP_TIMEOUT"):
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr

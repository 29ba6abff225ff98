"""The three topologies of docs/deploying.md, each started as plain processes with the settings and commands printed
there. Only what stands outside is replaced: the tenant, the issuer, the store, ports and the place of the file."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pp_mcp.demo import DEMO_TOKEN

PAGE = (Path(__file__).parents[2] / "docs/deploying.md").read_text(encoding="utf-8")
HOST = "mcp.acme.example"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def process(command: list[str], settings: Mapping[str, str], port: int, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at the path; it must end cleanly."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PP_", "OTEL_"))}
    with subprocess.Popen(command, env={**clean, **settings}, stderr=subprocess.DEVNULL) as started:
        try:
            until = time.monotonic() + 60
            while not _is_open(port, path):
                assert started.poll() is None, f"{command} did not start"
                assert time.monotonic() < until, f"{command} took too long to start"
                time.sleep(0.1)
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(20)


def _is_open(port: int, path: str) -> bool:
    if not path:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    try:
        return httpx2.get(f"http://127.0.0.1:{port}{path}").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The base URL of a tenant's API."""
    port = free_port()
    command = [sys.executable, "-m", "pp_mcp", "demo", "--api", "--port", str(port), "--people", "60"]
    with process([*command, "--assignments", "300"], {}, port, ""):
        yield f"http://127.0.0.1:{port}/public_api/v2"


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of a store that replicas share."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with process(command, {}, port, ""):
        yield f"redis://127.0.0.1:{port}/0"


class Issuer(BaseHTTPRequestHandler):
    """An identity provider: its metadata and its keys."""

    url: str
    key = ec.generate_private_key(ec.SECP256R1())

    def do_GET(self) -> None:
        """Answers."""
        keys = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key())), "kid": "1", "use": "sig"}
        metadata = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        body = json.dumps({"keys": [keys]} if self.path == "/keys" else metadata).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    @classmethod
    def token(cls, audience: str, scope: str) -> str:
        """An access token."""
        claims = {"iss": cls.url, "aud": audience, "sub": "ada", "exp": int(time.time()) + 300, "scope": scope}
        return jwt.encode(claims, cls.key, "ES256", {"kid": "1"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        Issuer.url = f"http://127.0.0.1:{server.server_port}"
        yield Issuer.url
        server.shutdown()


@dataclass
class Topology:
    """What a section of the page prints: settings, and commands in their order."""

    settings: dict[str, str]
    commands: list[list[str]]


def topology(number: int) -> Topology:
    """The section's."""
    found = re.search(rf"^## {number}\. .*?(?=^## )", PAGE, re.M | re.S)
    assert found
    env, sh = (re.findall(rf"```{language}\n(.*?)```", found[0], re.S) for language in ("env", "sh"))
    settings = dict(line.split("=", 1) for line in env[0].splitlines())
    commands = [shlex.split(line) for line in sh[0].splitlines()]
    assert all(command[0] == "pp-mcp" for command in commands)
    return Topology(settings, commands)


@contextmanager
def started(section: Topology, replaced: Mapping[str, str], made: list[str]) -> Iterator[list[int]]:
    """The ports of the section's servers. What its other commands print goes into `made`."""
    assert replaced.keys() - section.settings.keys() <= {"PP_BASE_URL"}, "what the page does not print is not needed"
    settings = {name: value for name, value in {**section.settings, **replaced}.items() if name != "PP_TENANT"}
    with ExitStack() as running:
        ports: list[int] = []
        for command in section.commands:
            program = [sys.executable, "-m", "pp_mcp", *command[1:]]
            if command[1] != "serve":
                clean = {name: value for name, value in os.environ.items() if not name.startswith("PP_")}
                ended = subprocess.run(program, env={**clean, **settings}, capture_output=True, text=True, check=True)
                made.append(ended.stdout.splitlines()[-1])
                continue
            ports.append(free_port())
            program[program.index("--port") + 1] = str(ports[-1])
            running.enter_context(process(program, settings, ports[-1], "/ready"))
        yield ports


def call(port: int, tool: str, arguments: Mapping[str, Any], **headers: str) -> httpx2.Response:
    """A tool call in a connection of its own, as it comes through a balancer."""
    sent = {
        "Host": HOST,
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    params = {"name": tool, "arguments": arguments, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return httpx2.post(f"http://127.0.0.1:{port}/mcp", json=body, headers=sent, timeout=30)


def said(response: httpx2.Response) -> tuple[dict[str, Any], str]:
    """What a tool answered: its data, none for an error, and its text."""
    assert response.status_code == 200, response.text
    line = next(one for one in response.text.splitlines() if one.removeprefix("data:").strip().startswith("{"))
    result = json.loads(line.removeprefix("data:"))["result"]
    return result.get("structuredContent") or {}, result["content"][0]["text"]


def one_confirmation(ports: list[int], **headers: str) -> None:
    """Previewed by the first replica, carried out by the last one, and good for nothing more by the first one again."""
    found, _ = said(call(ports[-1], "list_assignments", {"state": "not_started", "page_size": 1}, **headers))
    target = {"assignment": found["items"][0]["public_id"]}
    preview, _ = said(call(ports[0], "drop_assignment", target, **headers))
    assert preview["status"] == "confirmation_required"
    agreed = {**target, "confirm_token": preview["confirm_token"]}
    assert said(call(ports[-1], "drop_assignment", agreed, **headers))[0]["status"] == "done"
    assert said(call(ports[0], "drop_assignment", agreed, **headers))[0].get("status") != "done"


def test_one_server_with_named_tokens(api: str, tmp_path: Path) -> None:
    replaced = {"PP_BASE_URL": api, "PP_API_TOKEN": DEMO_TOKEN, "PP_HTTP_TOKENS_FILE": str(tmp_path / "tokens.txt")}
    made: list[str] = []
    with started(topology(1), replaced, made) as (port,):
        assert call(port, "list_users", {}).status_code == 401
        assert call(port, "list_users", {}, Authorization="Bearer ppm_made_up").status_code == 401
        known = {"Authorization": f"Bearer {made[0]}"}
        assert said(call(port, "list_users", {}, **known))[0]["total_count"] == 60
        assert call(port, "list_users", {}, **known, Host="evil.example").status_code == 421
        # Ada's token is for pp:write.
        assert call(port, "drop_assignment", {"assignment": "x"}, **known).status_code == 403


def test_single_sign_on_and_replicas(api: str, issuer: str, store: str) -> None:
    section = topology(2)
    audience = section.settings["PP_OAUTH_AUDIENCE"]
    replaced = {"PP_BASE_URL": api, "PP_API_TOKEN": DEMO_TOKEN, "PP_OAUTH_ISSUER": issuer, "PP_REDIS_URL": store}
    with started(section, replaced, []) as ports:
        assert len(ports) == 2
        assert [httpx2.get(f"http://127.0.0.1:{port}/ready").json()["status"] for port in ports] == ["ok", "ok"]
        assert call(ports[0], "list_users", {}).status_code == 401
        elsewhere = {"Authorization": f"Bearer {Issuer.token('https://other.example', 'pp:destroy')}"}
        assert call(ports[0], "list_users", {}, **elsewhere).status_code == 401
        reader = {"Authorization": f"Bearer {Issuer.token(audience, 'pp:read')}"}
        assert said(call(ports[1], "list_users", {}, **reader))[0]["total_count"] == 60
        assert call(ports[1], "drop_assignment", {"assignment": "x"}, **reader).status_code == 403
        one_confirmation(ports, Authorization=f"Bearer {Issuer.token(audience, 'pp:destroy')}")


def test_everybody_with_their_own_rights(api: str) -> None:
    with started(topology(3), {"PP_BASE_URL": api}, []) as ports:
        assert len(ports) == 2
        _, text = said(call(ports[0], "list_users", {}))
        assert "X-PP-Token" in text
        assert "invalid_token" in said(call(ports[0], "list_users", {}, X_PP_Token="pp_of_nobody"))[1]
        known = {"X_PP_Token": DEMO_TOKEN}
        assert said(call(ports[1], "list_users", {}, **known))[0]["total_count"] == 60
        foreign = call(ports[0], "list_users", {}, **known, X_PP_Tenant="globex")
        assert foreign.status_code != 200 or not said(foreign)[0]
        one_confirmation(ports, **known)

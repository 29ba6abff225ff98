"""Section 5: HTTP, on real processes: foreign pages, floods of sessions, connections and clients, narrowing."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import anyio
import httpx2

from .processes import HEADERS, META, Http, Json, api, http, message_of, until
from .tries import Tries, attack

DEMO = ("--demo", "--people", "60", "--assignments", "150")
FOREIGN: list[tuple[str, str]] = [
    ("Host", "evil.example"),
    ("Host", "127.0.0.1.evil.example:8000"),
    ("Host", "evil.example@127.0.0.1"),
    ("Host", "0.0.0.0"),
    ("Origin", "https://evil.example"),
    ("Origin", "null"),
    ("Origin", "http://127.0.0.1.evil.example"),
    ("Origin", "file://"),
]


def _can_bind(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
            found.bind((host, 0))
    except OSError:
        return False
    return True


@attack("http", "a page in a browser: foreign Host and Origin, on every loopback address")
async def _(tries: Tries) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    hosts = [one for one in ("127.0.0.1", "127.0.0.2", "::1", "0:0:0:0:0:0:0:1", "localhost") if _can_bind(one)]

    async def try_one(host: str) -> None:
        async with http({}, *DEMO, host=host) as server:
            for name, value in FOREIGN:
                for method in ("POST", "GET", "DELETE"):
                    headers = {**HEADERS, "Mcp-Method": "tools/list", name: value}
                    answer = await server.client.request(method, f"{server.url}/mcp", json=body, headers=headers)
                    what = f"{method} on {host} with {name}: {value}: {answer.status_code}"
                    tries.held(answer.status_code in (400, 403, 421), what)
            headers = {**HEADERS, "Mcp-Method": "tools/list"}
            own = await server.client.post(f"{server.url}/mcp", json=body, headers=headers)
            tries.held(own.status_code == 200, f"its own address {host}: {own.status_code}")

    async with anyio.create_task_group() as group:
        for host in hosts:
            group.start_soon(try_one, host)
    tries.figure = ", ".join(hosts)


@attack("http", "a redirect that carries a call elsewhere, paths that are not ours, methods that are none")
async def _(tries: Tries) -> None:
    async with http({}, *DEMO) as server:
        for method, path in (
            ("POST", "/mcp/"),
            ("POST", "//mcp"),
            ("GET", "/mcp/"),
            ("POST", "/health/"),
            ("PUT", "/mcp"),
            ("TRACE", "/mcp"),
        ):
            answer = await server.client.request(
                method, f"{server.url}{path}", headers={"Host": server.url[7:]}, content=b"{}"
            )
            tries.held(answer.status_code in (400, 404, 405, 406, 415, 421), f"{method} {path}: {answer.status_code}")


READS, WRITES = "list_users", "create_group"


@attack("http", "narrowing headers given twice: the wider one wins; completion that looks past them")
async def _(tries: Tries) -> None:
    async with http({}, *DEMO) as server:
        only, many = ("X-PP-Toolsets", "groups"), ("X-PP-Toolsets", "groups,users,content")
        yes, no = ("X-PP-Read-Only", "true"), ("X-PP-Read-Only", "false")
        for headers, tool in (
            ([only, many], READS),
            ([many, only], READS),
            ([("x-pp-toolsets", "groups"), many], READS),
            ([many, many, only], READS),
            ([yes, no], WRITES),
            ([no, yes], WRITES),
            ([no, ("x-pp-read-only", "true"), no], WRITES),
        ):
            given: Json = {"name": "Night Shift"} if tool == WRITES else {}
            answer = await server.call(tool, headers=headers, **given)
            tries.held("error" in answer, f"{tool} with {headers}: done")
        for headers, wanted in (([only], 0), ([many], 1), ([], 1)):
            found = await _completed(server, headers)
            tries.held(bool(found) == bool(wanted), f"completion of people with {headers}: {found[:3]}")


async def _completed(server: Http, headers: list[tuple[str, str]]) -> list[str]:
    """The e-mails that completion offers."""
    params: Json = {
        "ref": {"type": "ref/resource", "uri": "plusplus://users/{user}"},
        "argument": {"name": "user", "value": "a"},
        "_meta": META,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": params}
    sent = [*HEADERS.items(), ("Mcp-Method", "completion/complete"), *headers]
    answer = message_of(await server.client.post(f"{server.url}/mcp", json=body, headers=sent))
    return answer.get("result", {}).get("completion", {}).get("values", [])


def _megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@attack("http", "3,000 sessions that are opened and left; the server still answers")
async def _(tries: Tries) -> None:
    async with http({}, *DEMO) as server:
        before = _megabytes(server.process.pid)
        info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "flood", "version": "1"}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info}
        codes: list[int] = []
        limit = anyio.CapacityLimiter(20)

        async def open_one() -> None:
            async with limit:
                answer = await server.client.post(f"{server.url}/mcp", json=body, headers={"Accept": HEADERS["Accept"]})
                codes.append(answer.status_code)

        began = time.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(3_000):
                group.start_soon(open_one)
        took = time.monotonic() - began
        tries.tried += len(codes) - 1
        tries.held(all(code in (200, 429, 503) for code in codes), f"{sorted(set(codes))}")
        slow = await server.health()
        tries.held(slow < 3, f"/health took {slow:.1f} s")
        answer = await server.call("list_users", page_size=1)
        tries.held(answer.get("total_count") == 60, str(answer)[:100])
        tries.figure = f"{took:.0f} s, {_megabytes(server.process.pid) - before:.0f} MB more"


@attack("http", "200 clients at once: each gets its own answer")
async def _(tries: Tries) -> None:
    async with api("--people", "200", "--assignments", "400") as place:
        emails = place.column("SELECT email FROM users WHERE is_active ORDER BY id LIMIT 200")
        async with http(place.settings) as server:

            async def one(email: str) -> None:
                answer = await server.call("get_user", name=email, user=email)
                tries.held(answer.get("item", {}).get("email") == email, f"{email}: {str(answer)[:100]}")

            async with anyio.create_task_group() as group:
                for email in emails:
                    group.start_soon(one, email)


async def _connections(server: Http, count: int, sends: bytes) -> list[socket.socket]:
    """Opens connections one after the other, and sends the beginning of a request on each."""
    host, port = server.url[7:].split(":")
    found: list[socket.socket] = []
    for number in range(count):
        one = socket.create_connection((host, int(port)), timeout=5)
        one.setblocking(False)
        found.append(one)
        if sends:
            one.send(sends)
        if number % 20 == 0:
            await anyio.sleep(0.02)
    return found


def _received(one: socket.socket) -> bytes | None:
    """What the server sent; None where it is still silent. Empty where it closed."""
    try:
        return one.recv(300)
    except BlockingIOError:
        return None
    except OSError:
        return b""


@attack("http", "idle connections beyond the limit: room is made, /health answers", beside=True)
async def _(tries: Tries) -> None:
    async with http({"PP_MAX_CONNECTIONS": "64"}, *DEMO) as server:
        opened = await _connections(server, 300, b"")
        await anyio.sleep(0.5)
        tries.held(await server.health() < 3)
        closed = sum(_received(one) is not None for one in opened)
        tries.held(closed >= 300 - 64, f"only {closed} of 300 idle connections were closed")
        tries.held((await server.call("list_users", page_size=1)).get("total_count") == 60)
        for one in opened:
            one.close()


@attack("http", "half-sent requests beyond the limit: 503 until their 15 s are over, then room again", beside=True)
async def _(tries: Tries) -> None:
    async with http({"PP_MAX_CONNECTIONS": "64"}, *DEMO) as server:
        head = f"POST /mcp HTTP/1.1\r\nHost: {server.url[7:]}\r\nContent-Type: application/json\r\n".encode()
        for sends in (head, head + b"Content-Length: 500\r\n\r\n{"):
            opened = await _connections(server, 200, sends)
            # Refused connections are told so, as far as that costs little, and gone after two seconds.
            await anyio.sleep(3)
            answers = [_received(one) for one in opened]
            refused = sum(answer is not None for answer in answers)
            tries.held(refused >= 200 - 64, f"{200 - refused} of 200 half-sent requests are held open")
            clean = [answer for answer in answers if answer and not answer.startswith(b"HTTP/1.1 503")]
            tries.held(not clean, f"{clean[:1]}")
            async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
                answer = await client.get(f"{server.url}/health")
            tries.held(answer.status_code in (200, 503), f"/health: {answer.status_code}")
            began = time.monotonic()
            while sum(_received(one) is None for one in opened[:64]) and time.monotonic() - began < 25:
                await anyio.sleep(0.5)
            tries.held(
                time.monotonic() - began < 20, f"half-sent requests stay open for {time.monotonic() - began:.0f} s"
            )
            tries.held(await server.health() < 3)
            for one in opened:
                one.close()
        lines = len(server.log.read_text(encoding="utf-8").splitlines())
        tries.held(lines < 60, f"{lines} lines in the log")


@attack("http", "PP_LOG_LEVEL=DEBUG: a live token, a person or the API token in the log")
async def _(tries: Tries) -> None:
    async with api("--people", "60", "--assignments", "150") as place:
        target = place.one("SELECT public_id FROM assignments WHERE state = 'completed'")
        email = place.one("SELECT email FROM users WHERE is_active ORDER BY id DESC")
        async with http({**place.settings, "PP_LOG_LEVEL": "DEBUG"}) as server:
            preview = await server.call("revert_completion", assignment=target)
            people = await server.call("get_user", user=email)
            assert people.get("item", {}).get("email") == email, people
            legacy = await _legacy(server, "revert_completion", assignment=target)
            tokens = [preview["confirm_token"], *([legacy["confirm_token"]] if "confirm_token" in legacy else [])]
            await anyio.sleep(0.3)
            log = server.log.read_text(encoding="utf-8")
            for secret in (*tokens, place.settings["PP_API_TOKEN"], email):
                tries.held(secret not in log, f"{secret[:12]}… is in the log ({len(log.splitlines())} lines)")


async def _legacy(server: Http, tool: str, **arguments: Any) -> Json:
    """A call in a session of the older protocol, answered as events."""
    headers = {"Accept": HEADERS["Accept"]}
    info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "proof", "version": "1"}}
    first = await server.client.post(
        f"{server.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info}, headers=headers
    )
    if session := first.headers.get("mcp-session-id"):
        headers["Mcp-Session-Id"] = session
    headers["MCP-Protocol-Version"] = "2025-11-25"
    await server.client.post(
        f"{server.url}/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers
    )
    params = {"name": tool, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    answer = message_of(await server.client.post(f"{server.url}/mcp", json=body, headers=headers))
    return (answer.get("result") or {}).get("structuredContent") or {}


@attack("http", "bodies that are no JSON-RPC: the next call works")
async def _(tries: Tries) -> None:
    async with http({}, *DEMO) as server:
        for body in (
            b"",
            b"{",
            b"null",
            b"[]",
            b"\xff\xfe\x00",
            b"[" * 100_000,
            b'{"a":' * 20_000,
            b'{"jsonrpc":"2.0","id":1e400,"method":"tools/call"}',
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x" * 10**6}}).encode(),
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_users","arguments":'
            + b"[" * 900
            + b"]" * 900
            + b"}}",
            b"0" * 3_000_000,
        ):
            answer = await server.client.post(
                f"{server.url}/mcp",
                content=body,
                headers={**HEADERS, "Content-Type": "application/json", "Mcp-Method": "tools/call"},
            )
            tries.held(
                answer.status_code < 500 and "Traceback" not in answer.text, f"{body[:30]!r}: {answer.status_code}"
            )
        tries.held(await server.health() < 3)
        tries.held((await server.call("list_users", page_size=1)).get("total_count") == 60, "the next call")


@attack("http", "SIGTERM while sessions are open: the server ends")
async def _(tries: Tries) -> None:
    async with http({}, *DEMO) as server:
        await _legacy(server, "list_users", page_size=1)
        server.process.terminate()
        await until(lambda: server.process.returncode is not None, 15)
        tries.held(server.process.returncode == 0, f"exit {server.process.returncode}")
        tries.held("Traceback" not in server.log.read_text(encoding="utf-8"), "a traceback in the log")

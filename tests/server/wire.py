"""A client that speaks the newest protocol and its tasks extension to the letter, over HTTP and stdio, by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
from asgi_bridge import Bridge
from mcp.shared._context_streams import create_context_streams
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, jsonrpc_message_adapter

from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.http import http_app

Json = dict[str, Any]

TASKS = "io.modelcontextprotocol/tasks"
VERSION = "2026-07-28"


@dataclass
class Wire:
    """One client. `extensions` is what it declares on every request."""

    exchange: Callable[[Json], Awaitable[Json]]
    """Sends a request and gives what answers it."""
    extensions: Json = field(default_factory=lambda: {TASKS: {}})
    capabilities: Json = field(default_factory=dict[str, Any])
    told: list[Json] = field(default_factory=list[Json])
    """Notifications, in order."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Sent in place of what the protocol asks for, over HTTP."""
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def ask(self, method: str, **params: Any) -> Json:
        """The whole answer to a request: it has a `result` or an `error`."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {**self.capabilities, "extensions": self.extensions},
            **params.pop("_meta", {}),
        }
        number = next(self.numbers)
        answer = await self.exchange(
            {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}
        )
        assert answer["id"] == number
        assert ("result" in answer) != ("error" in answer)
        return answer

    async def result(self, method: str, **params: Any) -> Json:
        """The result of a request, which must have one."""
        answer = await self.ask(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    async def error(self, method: str, **params: Any) -> Json:
        """The error that answers a request."""
        answer = await self.ask(method, **params)
        assert "error" in answer, answer
        return answer["error"]

    async def call(self, tool: str, arguments: Json, **params: Any) -> Json:
        """The result of calling a tool, of whatever type."""
        return await self.result("tools/call", name=tool, arguments=arguments, **params)

    async def get(self, task: str) -> Json:
        """What a task is at; every state has what the protocol demands of it."""
        state = await self.result("tasks/get", taskId=task)
        assert state["resultType"] == "complete"
        assert state["taskId"] == task
        assert {"createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs", "statusMessage"} <= state.keys()
        assert ("error" in state) == (state["status"] == "failed")
        assert "result" in state or state["status"] != "completed"
        return state

    async def until(self, task: str, fits: Callable[[Json], bool] = lambda state: state["status"] != "working") -> Json:
        """What a task is at once that fits; by default once it has ended."""
        with anyio.fail_after(10):
            while not fits(state := await self.get(task)):
                await anyio.lowlevel.checkpoint()
            return state


def wire_of(http: httpx2.AsyncClient) -> Wire:
    """A client that sends over this connection."""

    async def exchange(request: Json) -> Json:
        params = request["params"]
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": request["method"],
            **({"Mcp-Name": str(name)} if (name := params.get("taskId", params.get("name"))) else {}),
            **wire.headers,
        }
        answer = await http.post("/mcp", json=request, headers=headers)
        if answer.headers["content-type"].startswith("application/json"):
            found = answer.json()
            assert (answer.status_code == 200) == ("result" in found), answer
            return found
        lines = [line.removeprefix("data:") for line in answer.text.splitlines() if line.startswith("data:")]
        messages = [json.loads(line) for line in lines if line.strip()]
        wire.told += [one for one in messages if "id" not in one]
        return next(one for one in messages if "id" in one)

    wire = Wire(exchange)
    return wire


@asynccontextmanager
async def over_http(server: PlusPlusServer) -> AsyncIterator[Wire]:
    """A client over streamable HTTP."""
    app = http_app(server)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=Bridge(app), base_url="http://127.0.0.1:8000") as http,
    ):
        yield wire_of(http)


@asynccontextmanager
async def over_stdio(server: PlusPlusServer) -> AsyncIterator[Wire]:
    """A client whose messages go through the server's stdio handling, without a process."""
    to_server, incoming = create_context_streams[SessionMessage | Exception](0)
    outgoing, from_server = create_context_streams[SessionMessage](100)
    waiting: dict[int, anyio.Event] = {}
    answers: dict[int, Json] = {}

    async def exchange(request: Json) -> Json:
        waiting[request["id"]] = anyio.Event()
        message: JSONRPCMessage = jsonrpc_message_adapter.validate_python(request)
        await to_server.send(SessionMessage(message))
        await waiting[request["id"]].wait()
        return answers[request["id"]]

    async def read() -> None:
        async for message in from_server:
            found = message.message.model_dump(by_alias=True, mode="json", exclude_none=True)
            if "id" in found:
                answers[found["id"]] = found
                waiting[found["id"]].set()
            else:
                wire.told.append(found)

    wire = Wire(exchange)
    async with incoming, from_server, anyio.create_task_group() as group:
        group.start_soon(server.run_eras, incoming, outgoing)
        group.start_soon(read)
        yield wire
        await to_server.aclose()


WAYS = {"http": over_http, "stdio": over_stdio}

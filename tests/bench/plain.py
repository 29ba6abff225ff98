"""What our tools are measured against: a server with one tool for each operation of the API, on the same SDK.

Parameters and bodies go out as they are given, and the model reads the API's answers as they come in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
from mcp import types
from mcp.server.lowlevel import Server

from pp_mcp.demo import Tenant

Json = dict[str, Any]

OPENAPI = Path(__file__).parents[1] / "demo" / "openapi.json"


class Metered(httpx2.AsyncBaseTransport):
    """The way to a tenant in the same process: every request is counted and takes `latency` seconds longer."""

    def __init__(self, tenant: Tenant, latency: float) -> None:
        self._inner = tenant.transport()
        self._latency = latency
        self.requests = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request on."""
        self.requests += 1
        await anyio.sleep(self._latency)
        return await self._inner.handle_async_request(request)


def plain_server(tenant: Tenant, transport: httpx2.AsyncBaseTransport) -> Server:
    """Such a server over the tenant."""
    api = cast("Json", json.loads(OPENAPI.read_text(encoding="utf-8")))
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    }
    schemas = api["components"]["schemas"]
    tools = [
        types.Tool(name=name, description=operation["summary"], input_schema=_arguments(operation, schemas))
        for name, (_, _, operation) in operations.items()
    ]
    http = httpx2.AsyncClient(transport=transport, headers={"Authorization": f"Bearer {tenant.token}"})

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        method, path, operation = operations[params.name]
        given = dict(params.arguments or {})
        places = {one["name"]: one["in"] for one in operation.get("parameters", [])}
        url = tenant.base_url + path.format(**{name: given[name] for name, place in places.items() if place == "path"})
        query = {name: _text(given[name]) for name, place in places.items() if place == "query" and name in given}
        body = {name: value for name, value in given.items() if name not in places}
        answer = await http.request(method, url, params=query, json=body if "requestBody" in operation else None)
        text = types.TextContent(type="text", text=answer.text)
        return types.CallToolResult(content=[text], is_error=answer.is_error)

    return Server("plain", on_list_tools=list_tools, on_call_tool=call_tool)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _arguments(operation: Json, schemas: Json) -> Json:
    """Path, query and body in one schema, without references."""
    properties = {one["name"]: one["schema"] for one in operation.get("parameters", [])}
    required = [one["name"] for one in operation.get("parameters", []) if one.get("required")]
    if "requestBody" in operation:
        body = _without_references(operation["requestBody"]["content"]["application/json"]["schema"], schemas)
        properties |= body.get("properties", {})
        required += body.get("required", [])
    schema: Json = {"type": "object", "properties": properties, "required": required}
    return cast("Json", _without_references(schema, schemas))


def _without_references(schema: Any, schemas: Json) -> Any:
    if isinstance(schema, list):
        return [_without_references(one, schemas) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    known = cast("Json", schema)
    if "$ref" in known:
        return _without_references(schemas[known["$ref"].rpartition("/")[2]], schemas)
    return {name: _without_references(value, schemas) for name, value in known.items()}

"""The ASGI application: routing, tokens, rate limit, faults, errors."""

from __future__ import annotations

import json
import random
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from pp_mcp.demo import queries
from pp_mcp.demo.calls import Answer, Call
from pp_mcp.demo.drift import disturb
from pp_mcp.demo.errors import ConnectionDropped, Refusal, forbidden, invalid, invalid_token, rate_limited
from pp_mcp.demo.faults import SERVER_ERRORS, Faults
from pp_mcp.demo.ids import canonical
from pp_mcp.demo.limits import RateLimit
from pp_mcp.demo.routes import ALLOWED, PREFIX, Operation, find
from pp_mcp.demo.store import Store
from pp_mcp.demo.tokens import bearer, role_of

_GARBAGE = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"


class Arrival(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    """Without the prefix and the query, e.g. `/assignments`."""
    status: int
    """0 if the connection broke instead."""
    applied: bool
    """Whether it changed the database."""


@dataclass
class Api:
    """What the application needs; `faults` may be replaced while it runs."""

    store: Store
    rate_limit: RateLimit
    token: str
    role: str
    envelope: Literal["bare", "data"]
    total_pages: bool
    faults: Faults
    arrivals: deque[Arrival]
    request_ids: random.Random
    drifting: random.Random

    def application(self) -> ASGIApp:
        """The ASGI app: a bare router, because error middleware would turn a broken connection into an answer."""
        return Router([Route("/{path:path}", _Endpoint(self))], redirect_slashes=False)

    async def respond(self, request: Request) -> Response:
        """Answers a request; raises ConnectionDropped if a fault breaks the connection."""
        request_id = f"req_{self.request_ids.getrandbits(32):08x}"
        whole: str = request.scope["path"]
        path = whole.removeprefix(PREFIX)
        before = self.store.connection.total_changes
        fault = _Fault()
        headers: dict[str, str] = {}
        try:
            operation, public_id = _route(request.method, path if whole.startswith(PREFIX) else "")
            answer = await self._answer(request, path, operation, public_id, headers, fault)
            response = self._success(answer)
        except Refusal as refusal:
            if not headers:
                headers.update(self.rate_limit.take("").headers())
            response = _json(refusal.status, refusal.body(request_id), refusal.headers)
        applied = self.store.connection.total_changes - fault.own_changes > before
        if fault.name in ("drop-before", "drop-after"):
            self.arrivals.append(Arrival(request.method, path, 0, applied))
            raise ConnectionDropped(fault.name)
        response = self._spoil(response, fault.name, request_id)
        response.headers.update({**headers, "X-Request-Id": request_id})
        self.arrivals.append(Arrival(request.method, path, response.status_code, applied))
        return response

    async def _answer(
        self,
        request: Request,
        path: str,
        operation: Operation,
        public_id: str,
        headers: dict[str, str],
        fault: _Fault,
    ) -> Answer:
        token = bearer(request.headers.getlist("authorization"))
        role = role_of(self.store, token, self.token, self.role)
        allowance = self.rate_limit.take(token)
        headers.update(allowance.headers())
        if allowance.exceeded:
            raise rate_limited(allowance.reset)
        if self.faults.revokes():
            raise invalid_token()
        if role not in ALLOWED[operation.needs]:
            raise forbidden(role)
        body = await request.body()
        faults = self.faults
        fault.name = faults.strike(writes=operation.writes, path=path)
        if faults.latency > 0:
            await anyio.sleep(faults.latency)
        if fault.name in ("drop-before", "garbage"):
            return Answer(204)
        if fault.name in ("429", "429-bare"):
            headers["X-RateLimit-Remaining"] = "0"
            headers["X-RateLimit-Reset"] = "1"
            raise rate_limited(1 if fault.name == "429" else None)
        if fault.name in SERVER_ERRORS:
            raise Refusal(int(fault.name), "server_error", "Something went wrong on our side.")
        call = self._call(request, operation, role, public_id, body)
        if fault.name == "drift" or (call.query.get("page", 1) > 1 and faults.drifts()):
            before = self.store.connection.total_changes
            disturb(self.store, path, self.drifting)
            fault.own_changes = self.store.connection.total_changes - before
        if not operation.writes:
            return operation.handler(call)
        with self.store.writing():
            return operation.handler(call)

    def _call(self, request: Request, operation: Operation, role: str, public_id: str, body: bytes) -> Call:
        store = self.store
        checked = canonical(store.ids, public_id) if public_id else ""
        query: dict[str, Any] = {}
        if operation.refuses:
            query = queries.parse(request.scope["query_string"], operation.query, store.ids)
        if checked is None:
            # A 404 where the contract has no 422: the handler looks up an id that cannot exist.
            if operation.refuses:
                raise invalid({"public_id": [f"Not a valid {store.ids.upper()}."]})
            checked = ""
        return Call(
            store=store,
            role=role,
            query=query,
            public_id=checked,
            raw_body=body,
            content_type=request.headers.get("content-type", ""),
            if_none_match=request.headers.get("if-none-match", ""),
            total_pages=self.total_pages,
        )

    def _success(self, answer: Answer) -> Response:
        if answer.payload is None:
            return Response(status_code=answer.status, headers=answer.headers)
        wrapped = answer.single and self.envelope == "data"
        return _json(answer.status, {"data": answer.payload} if wrapped else answer.payload, answer.headers)

    def _spoil(self, response: Response, fault: str | None, request_id: str) -> Response:
        if fault == "garbage":
            return Response(_GARBAGE, self.faults.garbage_status(), media_type="text/html")
        if fault == "5xx-after":
            refusal = Refusal(self.faults.status(), "server_error", "Something went wrong on our side.")
            return _json(refusal.status, refusal.body(request_id), {})
        body = bytes(response.body)
        if fault == "wrong-type" and body:
            return Response(b"[" + body + b"]", response.status_code, media_type="application/json")
        if fault == "truncate" and body:
            return Response(body[: len(body) // 2], response.status_code, media_type="application/json")
        return response


@dataclass
class _Fault:
    """The fault of one request, and how many rows the fault itself changed."""

    name: str | None = None
    own_changes: int = 0


class _Endpoint:
    """The ASGI endpoint; a class, because a router passes every method to one."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._api.respond(Request(scope, receive))
        except ClientDisconnect:
            return
        except ConnectionDropped:
            # Over a network a server turns a bare exception into a 500. A promised body that never comes makes it
            # close the connection instead.
            head = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            raise
        await response(scope, receive, send)


def _route(method: str, path: str) -> tuple[Operation, str]:
    found = find(path)
    if found is None:
        raise Refusal(404, "not_found", "No such path.")
    operations, public_id = found
    if method not in operations:
        allow = ", ".join(sorted(operations))
        raise Refusal(405, "method_not_allowed", f"Allowed here: {allow}.", headers={"Allow": allow})
    return operations[method], public_id


def _json(status: int, payload: object, headers: dict[str, str]) -> Response:
    content = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type="application/json")

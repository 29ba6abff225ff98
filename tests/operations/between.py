"""A tenant with somebody in between, who may answer in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2

from pp_mcp.demo import Tenant

Answer = Callable[[httpx2.Request], httpx2.Response | None]


class Between(httpx2.AsyncBaseTransport):
    """Asks `instead` first; what it has no answer to (None) goes on to the tenant, and the answer through `after`."""

    def __init__(
        self,
        tenant: Tenant,
        instead: Answer = lambda _: None,
        after: Callable[[httpx2.Request, Any], Any] = lambda _, body: body,
    ) -> None:
        self._inner = tenant.transport()
        self._instead = instead
        self._after = after
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        answer = self._instead(request)
        if answer is not None:
            return answer
        answer = await self._inner.handle_async_request(request)
        body = await answer.aread()
        if not body:
            return answer
        changed = self._after(request, json.loads(body))
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx2.Response(answer.status_code, headers=headers, json=changed)


def on(method: str, ending: str, *answers: httpx2.Response | Exception | None) -> Answer:
    """Answers requests of this method, on paths that end so, one after the other; the last answer again and again."""
    left = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != method or not request.url.path.endswith(ending):
            return None
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return answer

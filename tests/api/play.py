"""A transport that answers from a script, and every operation with a call that fits it."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from pp_mcp.api import ROUTES, Api, Client
from pp_mcp.models import ApiToken, Article, Assignment, ContentItem, Enrollment, Group, User

TOKEN = "pp_0123456789secret"
RECORD = {
    "public_id": "x1",
    "name": "N",
    "user": {"public_id": "u1"},
    "content_item": {"public_id": "c1"},
    "event": {"public_id": "e1"},
    "state": "not_started",
    "status": "enrolled",
    "token": "pp_new",
}
META = {"page": 1, "page_size": 25, "total_count": 1}

Answer = httpx2.Response | Exception | Callable[[httpx2.Request], Any]


class Script(httpx2.MockTransport):
    """Gives its answers one after the other, and the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(self._next)
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    async def _next(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer) and not isinstance(answer, Exception):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, httpx2.Response):
            answer = await answer
        return answer

    @property
    def sent(self) -> int:
        return len(self.requests)

    @property
    def last(self) -> httpx2.Request:
        return self.requests[-1]


def success(request: httpx2.Request) -> httpx2.Response:
    """What a healthy API answers, whatever is asked."""
    path = request.url.path
    if "bulk" in path:
        ids = [item["public_id"] for item in json.loads(request.content)["items"]]
        return httpx2.Response(200, json={"data": [{"public_id": one, "status": "succeeded"} for one in ids]})
    if request.method == "DELETE" and not request.content:
        return httpx2.Response(204)
    if request.method == "GET" and "page_size" in request.url.params:
        return httpx2.Response(200, json={"data": [RECORD], "meta": META})
    return httpx2.Response(201 if request.method == "POST" else 200, json=RECORD)


def reply(status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """An answer that may be given many times."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return lambda _: httpx2.Response(status, content=content, headers=headers)


MODELS = {
    "token": ApiToken,
    "user": User,
    "group": Group,
    "article": Article,
    "assignment": Assignment,
    "content": ContentItem,
    "enrollment": Enrollment,
    "members": Group,
    "completion": Assignment,
    "exemption": Assignment,
}


def model_of(operation: str) -> Any:
    found = {word: model for word, model in MODELS.items() if word in operation}
    return found.get("article") or next(iter(found.values()))


async def perform(api: Api, operation: str) -> Any:
    """One call of any operation."""
    route = ROUTES[operation]
    public_id = "x1" if "{" in route.path else None
    if operation.startswith("list_"):
        return await api.page(operation, model_of(operation))
    if operation.startswith("get_"):
        return await api.one(operation, model_of(operation), "x1")
    if operation == "delete_content_item":
        return await api.erase(operation, public_id="x1")
    if "archive" in operation:
        return await api.bulk(operation, ["x1"])
    return await api.write(operation, model_of(operation), {"a": 1}, public_id=public_id)


class Broken(httpx2.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, *chunks: bytes, fault: Exception) -> None:
        self._chunks = chunks
        self._fault = fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        raise self._fault


Connect = Callable[..., tuple[Client, Script]]

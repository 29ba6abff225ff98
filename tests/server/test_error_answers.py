"""From a failure to words: what happened, what to do next, the request id; and nothing that is not to be shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from stage import KEY, WAYS, Stage, Way, ask, connected, data_of, refused, text_of

from pp_mcp.demo import Tenant

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx2.Request], httpx2.Response]


class Answering(httpx2.AsyncBaseTransport):
    """The tenant, but for requests of one kind, which this answers."""

    def __init__(self, tenant: Tenant, answer: Answer, *, writes: bool) -> None:
        self._inner = tenant.transport()
        self._answer = answer
        self._writes = writes
        self.asked = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if (request.method != "GET") is self._writes:
            self.asked += 1
            return self._answer(request)
        return await self._inner.handle_async_request(request)


def says(status: int, code: str = "", headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    body = {"error": {"code": code, "message": "Said the API.", "request_id": "req_12345678", **fields}}
    return lambda _: httpx2.Response(status, json=body, headers=headers or {})


def raises(error: Exception) -> Answer:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise error

    return answer


READS: list[tuple[str, Answer, str, bool, list[str]]] = [
    ("401", says(401, "invalid_token"), "invalid_token", False, ["PP_API_TOKEN", "PP_TENANT", "does not help"]),
    ("403", says(403, "forbidden"), "forbidden", False, ["may not", "role"]),
    (
        "422",
        says(422, "validation_error", field_errors={"email": ["Odd."]}),
        "validation_error",
        False,
        ["email: “Odd.”"],
    ),
    ("429", says(429, "rate_limited", {"Retry-After": "90"}), "rate_limited", True, ["wait 90 seconds"]),
    ("502", lambda _: httpx2.Response(502, text="<html>Bad gateway"), "server_error", True, ["HTTP 502", "minute"]),
    (
        "html",
        lambda _: httpx2.Response(200, text="<html>Hello"),
        "unreadable",
        False,
        ["cannot be read", "PP_BASE_URL"],
    ),
    ("redirect", lambda _: httpx2.Response(302, headers={"Location": "x"}), "unexpected", False, ["PP_BASE_URL"]),
    ("a list", lambda _: httpx2.Response(200, json=[1]), "unreadable", False, ["cannot be read"]),
    ("down", raises(httpx2.ConnectError("no")), "not_reached", True, ["could not be reached", "Nothing was sent"]),
    ("broken", raises(httpx2.ReadError("gone")), "answer_lost", True, ["broke", "minute"]),
]


@pytest.mark.parametrize(
    ("answer", "code", "retryable", "words"), [row[1:] for row in READS], ids=[row[0] for row in READS]
)
async def test_what_goes_wrong_while_reading(
    answer: Answer, code: str, retryable: bool, words: list[str], tenant: Tenant
) -> None:
    async with connected(tenant, transport=Answering(tenant, answer, writes=False)) as client:
        error = await refused(client, "list_users")
    assert (error["code"], error["retryable"]) == (code, retryable)
    for word in words:
        assert word in error["message"]
    assert "check" not in error
    if code not in ("unexpected", "unreadable", "server_error", "not_reached", "answer_lost"):
        assert error["request_id"] == "req_12345678"


WRITES: list[tuple[str, Answer, str, bool, list[str]]] = [
    ("401", says(401, "invalid_token"), "invalid_token", False, ["PP_API_TOKEN", "Nothing was changed"]),
    ("403", says(403, "forbidden"), "forbidden", False, ["update_user", "Nothing was changed"]),
    ("409", says(409, "conflict"), "conflict", False, ["state does not allow update_user", "“Said the API”"]),
    ("422", says(422, "validation_error", field_errors={"manager": ["Odd."]}), "validation_error", False, ["manager"]),
    ("500", says(500, "oops"), "oops", False, ["HTTP 500", "may have happened", "Check"]),
    ("garbage", lambda _: httpx2.Response(200, text="%%%"), "answer_lost", False, ["may have happened", "Check"]),
    ("broken", raises(httpx2.ReadError("gone")), "answer_lost", False, ["may have happened", "Check"]),
    ("down", raises(httpx2.ConnectError("no")), "not_reached", True, ["Nothing was sent"]),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("answer", "code", "retryable", "words"), [row[1:] for row in WRITES], ids=[row[0] for row in WRITES]
)
async def test_what_goes_wrong_while_writing(
    answer: Answer, code: str, retryable: bool, words: list[str], way: Way, tenant: Tenant, stage: Stage
) -> None:
    transport = Answering(tenant, answer, writes=True)
    async with connected(tenant, way, transport=transport) as client:
        error = await refused(client, "update_user", user=stage.person(), name="Another Name")
        assert (error["code"], error["retryable"]) == (code, retryable)
        for word in words:
            assert word in error["message"]
        lost = "may have happened" in error["message"]
        assert ("check" in error) is lost
        if lost:
            assert transport.asked == 1
            shown = await ask(client, error["check"]["tool"], **error["check"]["arguments"])
            assert shown["item"]["email"] == stage.person()


async def test_a_conflict_says_what_state_it_is_in_and_what_works(tenant: Tenant, stage: Stage) -> None:
    target = stage.assignment("in_progress")

    def completed_meanwhile(_: httpx2.Request) -> httpx2.Response:
        stage.change("UPDATE assignments SET state = 'completed' WHERE public_id = ?", target)
        return httpx2.Response(409, json={"error": {"code": "conflict", "message": "Already completed."}})

    async with connected(tenant, transport=Answering(tenant, completed_meanwhile, writes=True)) as client:
        error = await refused(client, "exempt_assignment", assignment=target)
    assert "It is completed now" in error["message"]
    assert "revert_completion" in error["message"]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_foreign_failure_shows_nothing_of_itself(
    way: Way, tenant: Tenant, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    secret = RuntimeError(f"/home/x/secret.py {KEY} {tenant.token}")
    async with connected(tenant, way, transport=Answering(tenant, raises(secret), writes=True)) as client:
        result = await client.call_tool("update_user", {"user": stage.person(), "name": "Another"})
    assert result.is_error
    text = text_of(result)
    assert result.structured_content is None
    assert data_of(result)["code"] == "internal_error"
    assert "may have happened" in text
    for hidden in ("RuntimeError", "secret.py", KEY, tenant.token, "Traceback", "site-packages"):
        assert hidden not in text
    assert "update_user failed unexpectedly" in caplog.text


async def test_an_id_that_nothing_has_names_the_tool_that_finds_one(tenant: Tenant) -> None:
    nothing = "00000000-0000-4000-8000-000000000000"
    finders = {
        ("get_user", "user"): "list_users",
        ("get_group", "group"): "list_groups",
        ("get_content_item", "content_item"): "search_content",
        ("get_article", "article"): "list_articles",
        ("get_assignment", "assignment"): "list_assignments",
    }
    async with connected(tenant) as client:
        for (tool, argument), finder in finders.items():
            error = await refused(client, tool, **{argument: nothing})
            assert error["code"] == "unclear_reference"
            assert finder in error["message"]
            assert nothing in error["message"]


async def test_a_conflict_over_dates_says_whose_they_are(tenant: Tenant, stage: Stage) -> None:
    target = stage.assignment("in_progress")
    async with connected(tenant, transport=Answering(tenant, says(409, "conflict"), writes=True)) as client:
        error = await refused(client, "update_assignment", assignment=target, due_date="2031-01-01")
    assert "managed by the event" in error["message"]
    assert "in_progress now" in error["message"]

"""Every operation against every fault: what is sent again, what is not, and what the caller is told."""

import httpx2
import pytest
from stage import Clock, some_of

from pp_mcp.api import ROUTES
from pp_mcp.api.send import ATTEMPTS, LONGEST_PAUSE, pause
from pp_mcp.errors import (
    AnswerLost,
    Conflict,
    Forbidden,
    NotFound,
    NotReached,
    RateLimited,
    Rejected,
    ServerFailure,
    Unauthenticated,
    UnexpectedAnswer,
)

from .play import Broken, Connect, perform, reply, success

pytestmark = pytest.mark.anyio

REPEATABLE_WRITES = {
    "assign_content",
    "archive_content_items",
    "unarchive_content_items",
    "delete_content_item",
    "replace_group_members",
    "remove_group_members",
}
READS = {name for name in ROUTES if name.startswith(("list_", "get_"))}
SINGLE_WRITES = set(ROUTES) - READS - REPEATABLE_WRITES

HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"

# fault: (answer, told for a read, told for a write); these are passing, and a write may have happened
DOUBTFUL = {
    "503": (reply(503), ServerFailure, ServerFailure),
    "502 page": (reply(502, HTML), ServerFailure, ServerFailure),
    "read timeout": (httpx2.ReadTimeout("t"), AnswerLost, AnswerLost),
    "write timeout": (httpx2.WriteTimeout("t"), AnswerLost, AnswerLost),
    "read error": (httpx2.ReadError("r"), AnswerLost, AnswerLost),
    "write error": (httpx2.WriteError("w"), AnswerLost, AnswerLost),
    "disconnect": (httpx2.RemoteProtocolError("d"), AnswerLost, AnswerLost),
    "broken body": (
        lambda _: httpx2.Response(200, stream=Broken(b'{"pub', fault=httpx2.ReadError("r"))),
        AnswerLost,
        AnswerLost,
    ),
    "page for JSON": (reply(200, HTML), UnexpectedAnswer, AnswerLost),
    "cut JSON": (reply(200, b'{"public_id": "x'), UnexpectedAnswer, AnswerLost),
    "list for object": (reply(200, []), UnexpectedAnswer, AnswerLost),
}

UNSENT = {
    "connect error": httpx2.ConnectError("c"),
    "connect timeout": httpx2.ConnectTimeout("c"),
    "pool timeout": httpx2.PoolTimeout("p"),
    "proxy error": httpx2.ProxyError("p"),
}

SETTLED = {
    400: Rejected,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Rejected,
    405: UnexpectedAnswer,
    302: UnexpectedAnswer,
    304: UnexpectedAnswer,
    418: UnexpectedAnswer,
}


@pytest.fixture
def anyio_backend() -> str:
    # A table of thousands of rows; what depends on the event loop is tested on both elsewhere.
    return "asyncio"


def test_the_three_kinds_of_operations() -> None:
    assert {name for name, route in ROUTES.items() if route.repeatable} == READS | REPEATABLE_WRITES
    assert {name for name, route in ROUTES.items() if route.is_write} == REPEATABLE_WRITES | SINGLE_WRITES
    creates = {"create_user", "create_group", "create_article", "create_api_token", "assign_content"}
    assert {name for name, route in ROUTES.items() if route.create} == creates


@pytest.mark.parametrize("operation", some_of(sorted(ROUTES)))
@pytest.mark.parametrize("fault", DOUBTFUL)
async def test_a_doubtful_end(connect: Connect, operation: str, fault: str) -> None:
    answer, told_for_read, told_for_write = DOUBTFUL[fault]
    client, script = connect(answer)
    api = client.call()
    read = operation in READS
    with pytest.raises(told_for_read if read else told_for_write) as caught:
        await perform(api, operation)
    assert script.sent == api.requests == (1 if operation in SINGLE_WRITES else ATTEMPTS)
    if isinstance(caught.value, AnswerLost):
        assert caught.value.may_have_happened is not read
        assert caught.value.operation == operation
    if isinstance(caught.value, ServerFailure):
        assert caught.value.may_have_happened is not read
    assert not isinstance(caught.value.__context__, httpx2.HTTPError) or caught.value.__suppress_context__


@pytest.mark.parametrize("operation", some_of(sorted(READS | REPEATABLE_WRITES)))
@pytest.mark.parametrize("fault", DOUBTFUL)
async def test_it_gets_better(connect: Connect, clock: Clock, operation: str, fault: str) -> None:
    client, script = connect(DOUBTFUL[fault][0], DOUBTFUL[fault][0], success)
    await perform(client.call(), operation)
    assert script.sent == 3
    assert clock.slept == [0.25, 0.5]


@pytest.mark.parametrize("operation", some_of(sorted(ROUTES)))
@pytest.mark.parametrize("fault", UNSENT)
async def test_nothing_was_sent(connect: Connect, clock: Clock, operation: str, fault: str) -> None:
    client, script = connect(UNSENT[fault])
    api = client.call()
    with pytest.raises(NotReached) as caught:
        await perform(api, operation)
    assert (script.sent, api.requests, len(clock.slept)) == (ATTEMPTS, 0, ATTEMPTS - 1)
    assert caught.value.operation == operation

    client, script = connect(UNSENT[fault], success)
    await perform(client.call(), operation)
    assert script.sent == 2


@pytest.mark.parametrize("operation", some_of(sorted(ROUTES)))
@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "7", "X-RateLimit-Reset": "20", "X-RateLimit-Remaining": "0"}, 7),
        ({"X-RateLimit-Reset": "3"}, 3),
        ({"Retry-After": "Mon, 23 Nov 2026 10:00:09 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 9),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-4"}, 1),
        ({"X-RateLimit-Reset": "1795428000"}, 1),
        ({}, 1),
    ],
)
async def test_a_rate_limit_is_waited_for(
    connect: Connect, clock: Clock, operation: str, headers: dict[str, str], waited: float
) -> None:
    client, script = connect(reply(429, headers=headers), success)
    await perform(client.call(), operation)
    assert script.sent == 2
    assert clock.slept == pytest.approx([waited])


async def test_a_rate_limit_without_a_figure_is_waited_for_ever_longer(connect: Connect, clock: Clock) -> None:
    client, script = connect(*[reply(429)] * 4, success)
    await perform(client.call(), "create_user")
    assert clock.slept == pytest.approx([1, 2, 4, 8])
    assert script.sent == 5


async def test_an_api_that_asks_for_no_wait_is_not_stormed(connect: Connect, clock: Clock) -> None:
    client, script = connect(reply(429, headers={"Retry-After": "0.001"}))
    with pytest.raises(RateLimited):
        await perform(client.call(), "get_user")
    assert script.sent == 10
    assert clock.slept[:3] == pytest.approx([0.05, 0.1, 0.2])


@pytest.mark.parametrize("operation", ["create_user", "get_user", "delete_content_item"])
async def test_a_rate_limit_that_outlasts_the_budget(connect: Connect, clock: Clock, operation: str) -> None:
    client, script = connect(reply(429, headers={"Retry-After": "46"}))
    with pytest.raises(RateLimited) as caught:
        await perform(client.call(), operation)
    assert (caught.value.retry_after, caught.value.status, script.sent, clock.slept) == (46, 429, 1, [])


@pytest.mark.parametrize("operation", some_of(sorted(ROUTES)))
@pytest.mark.parametrize("status", SETTLED)
async def test_an_answer_is_not_asked_for_twice(connect: Connect, clock: Clock, operation: str, status: int) -> None:
    client, script = connect(reply(status, {"error": {"code": "c", "message": "m"}}))
    with pytest.raises(SETTLED[status]) as caught:
        await perform(client.call(), operation)
    assert (script.sent, clock.slept) == (1, [])
    assert (caught.value.operation, caught.value.method) == (operation, ROUTES[operation].method)


@pytest.mark.parametrize("status", [401, 403, 405, 302])
@pytest.mark.parametrize("operation", sorted(REPEATABLE_WRITES))
async def test_an_answer_that_says_nothing_of_the_lost_one(connect: Connect, operation: str, status: int) -> None:
    client, _ = connect(httpx2.ReadTimeout("t"), reply(status))
    with pytest.raises(AnswerLost):
        await perform(client.call(), operation)


@pytest.mark.parametrize(("status", "told"), [(409, Conflict), (422, Rejected), (404, NotFound)])
async def test_an_answer_about_the_thing_settles_the_lost_one(
    connect: Connect, status: int, told: type[Exception]
) -> None:
    client, _ = connect(httpx2.ReadTimeout("t"), reply(status))
    with pytest.raises(told):
        await perform(client.call(), "replace_group_members")


@pytest.mark.parametrize(
    "later",
    [reply(429, headers={"Retry-After": "500"}), httpx2.ConnectError("c")],
    ids=["rate limit", "no connection"],
)
async def test_a_lost_write_stays_lost(connect: Connect, later: object) -> None:
    client, _ = connect(httpx2.ReadTimeout("t"), later)
    with pytest.raises(AnswerLost) as caught:
        await perform(client.call(), "assign_content")
    assert caught.value.may_have_happened


async def test_a_lost_write_stays_lost_when_the_rate_budget_is_known_to_be_spent(
    connect: Connect, clock: Clock
) -> None:
    client, script = connect(reply(503, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "100"}))
    with pytest.raises(ServerFailure) as caught:
        await perform(client.call(), "assign_content")
    assert (caught.value.may_have_happened, script.sent) == (True, 1)


async def test_no_sleep_past_the_budget(connect: Connect, clock: Clock) -> None:
    client, script = connect(reply(503))
    with pytest.raises(ServerFailure):
        await perform(client.call(budget=0.6), "get_user")
    assert (script.sent, clock.slept) == (2, [0.25])


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_pauses_grow_within_bounds(chance: float) -> None:
    pauses = [pause(attempt, lambda: chance) for attempt in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.25 * (1 + chance)
    assert pauses[-1] == LONGEST_PAUSE

"""Answers that no API should give: a clean error for each, and the next call works."""

import json
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import SecretStr
from stage import Clock

from pp_mcp.api import Client
from pp_mcp.api.walk import EMPTY_PAGES, walk
from pp_mcp.errors import AnswerLost, PlusPlusError, RateLimited, Rejected, ServerFailure, UnexpectedAnswer
from pp_mcp.models import Assignment, Group, User

from .play import META, RECORD, TOKEN, Connect, reply, success

pytestmark = pytest.mark.anyio


def nested(depth: int) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = {"x": [inner]}
    return inner


HUGE = b"1" + b"0" * 400
ROW = json.dumps(RECORD).encode()
PAGES = {
    "a count of 10^400": b'{"data": [' + ROW + b'], "meta": {"total_count": ' + HUGE + b"}}",
    "a count of 10^5000": b'{"data": [], "meta": {"total_count": 1' + b"0" * 5_000 + b"}}",
    "300 levels": json.dumps({"data": [{**RECORD, "more": nested(150)}], "meta": META}).encode(),
    "900 levels": json.dumps({"data": [{**RECORD, "more": nested(450)}], "meta": META}).encode(),
    "100,000 levels": b"[" * 100_000,
    "NaN": b'{"data": [{"public_id": "x1", "score": NaN}], "meta": {"total_count": 1}}',
    "1e400": b'{"data": [{"public_id": "x1", "score": -1e400}], "meta": {"total_count": 1}}',
    "a rating of 10^400": b'{"data": [{"public_id": "x1", "rating": ' + HUGE + b'}], "meta": {"total_count": 1}}',
}


@pytest.mark.parametrize("body", PAGES.values(), ids=PAGES)
async def test_a_page_beyond_all_reason(connect: Connect, body: bytes) -> None:
    client, script = connect(reply(200, body), reply(200, body), reply(200, body), success)
    with pytest.raises(UnexpectedAnswer) as caught:
        await client.call().page("list_users", User)
    assert (caught.value.status, script.sent) == (200, 3)
    assert (await client.call().page("list_users", User)).total_count == 1


@pytest.mark.parametrize("body", [body for body in PAGES.values() if b"meta" in body])
async def test_a_write_answered_beyond_all_reason_may_have_happened(connect: Connect, body: bytes) -> None:
    client, _ = connect(reply(201, body), success)
    with pytest.raises(AnswerLost) as caught:
        await client.call().write("create_user", User, {})
    assert (caught.value.may_have_happened, caught.value.status) == (True, 201)
    await client.call().write("create_user", User, {})


async def test_ordinary_numbers_and_depths_pass(connect: Connect) -> None:
    record = {**RECORD, "deep": nested(20), "big": 2**53, "small": -1.5e-300, "negative": -7}
    client, _ = connect(reply(200, record))
    user = await client.call().one("get_user", User, "x1")
    assert user.model_extra is not None
    assert {name: user.model_extra[name] for name in ("deep", "big", "small", "negative")} == {
        name: record[name] for name in ("deep", "big", "small", "negative")
    }


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Mon, 1 Jan 2026 99999999999:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "9" * 5_000,
        "1e309",
    ],
)
@pytest.mark.parametrize("name", ["Retry-After", "Date"])
async def test_a_date_beyond_all_reason(connect: Connect, clock: Clock, name: str, date: str) -> None:
    headers = {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", name: date}
    client, script = connect(reply(429, headers=headers), success)
    await client.call().one("get_user", User, "x1")
    assert script.sent == 2
    assert sum(clock.slept) <= 2


@pytest.mark.parametrize("tag", ['"é"'.encode(), '"\u2603"'.encode(), b'"\xff"', b'"a\tb"'])
async def test_a_tag_that_cannot_be_sent_back_is_not_kept(connect: Connect, tag: bytes) -> None:
    client, script = connect(lambda _: httpx2.Response(200, json=RECORD, headers=[(b"ETag", tag)]))
    for _ in range(2):
        await client.call().one("get_assignment", Assignment, "x1")
    assert script.sent == 2
    assert "if-none-match" not in script.last.headers


# ------------------------------------------------------------------------------------------------ whose record


async def test_a_record_with_another_id_is_no_answer(connect: Connect) -> None:
    other = {**RECORD, "public_id": "x2"}
    client, _ = connect(reply(200, other), reply(200, {"data": other}), reply(200, other), reply(200, other), success)
    with pytest.raises(UnexpectedAnswer, match="another record"):
        await client.call().one("get_user", User, "x1")
    with pytest.raises(AnswerLost, match="another record") as caught:
        await client.call().write("update_user", User, {"name": "N"}, public_id="x1")
    assert (caught.value.may_have_happened, caught.value.status) == (True, 200)
    assert (await client.call().one("get_user", User, "x1")).public_id == "x1"


async def test_an_assignment_with_another_id_is_not_kept(connect: Connect) -> None:
    client, script = connect(
        *[reply(200, {**RECORD, "public_id": "x2"}, {"ETag": '"v"'})] * 3, reply(200, RECORD, {"ETag": '"v"'})
    )
    with pytest.raises(UnexpectedAnswer):
        await client.call().one("get_assignment", Assignment, "x1")
    await client.call().one("get_assignment", Assignment, "x1")
    assert "if-none-match" not in script.last.headers


@pytest.mark.parametrize(
    "asked",
    ["EB3CE6C7-CE7E-4638-A072-E5054706F601", "eb3ce6c7ce7e4638a072e5054706f601"],
    ids=["capitals", "no hyphens"],
)
async def test_another_spelling_of_the_id_is_the_same(connect: Connect, asked: str) -> None:
    client, _ = connect(reply(200, {**RECORD, "public_id": "eb3ce6c7-ce7e-4638-a072-e5054706f601"}))
    assert (await client.call().one("get_user", User, asked)).public_id.startswith("eb3")


async def test_a_new_record_has_the_id_it_has(connect: Connect) -> None:
    client, _ = connect(reply(201, {**RECORD, "public_id": "x7"}))
    assert (await client.call().write("create_group", Group, {"name": "N"})).value.public_id == "x7"


# ------------------------------------------------------------------------------------------------ empty pages


@pytest.mark.parametrize("empty", [{"data": []}, None], ids=["empty", "404"])
@pytest.mark.parametrize("workers", [1, 16])
async def test_a_walk_ends_after_three_empty_pages(connect: Connect, empty: Any, workers: int) -> None:
    """One that claims a million pages is asked for a handful."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        page = int(request.url.params["page"])
        meta = {"page": page, "page_size": 100, "total_count": 100, "total_pages": 1_000_000}
        rows = [{**RECORD, "public_id": f"{n}"} for n in range(100)] if page == 1 else []
        return httpx2.Response(200 if empty or rows else 404, json={"data": rows, "meta": meta})

    client, script = connect(answer, max_concurrency=1)
    rows: list[Assignment] = []
    coverage = await walk(client.call(), "list_assignments", Assignment, rows.append, rows.clear, workers=workers)
    assert (len(rows), coverage.rows_read) == (100, 100)
    assert coverage.complete is (empty is not None)
    readings = 1 if coverage.complete else 2
    assert script.sent <= readings * (1 + EMPTY_PAGES + workers)


# ------------------------------------------------------------------------------------------------ the token


@pytest.mark.parametrize("status", [200, 400, 403, 404, 409, 418, 422, 500])
async def test_a_token_that_the_api_echoes_is_in_no_error(connect: Connect, status: int) -> None:
    said = f"Bearer {TOKEN} is odd"
    envelope = {"error": {"code": TOKEN, "message": said, "request_id": TOKEN, "field_errors": {TOKEN: [said]}}}
    client, _ = connect(reply(status, envelope, {"X-Request-Id": TOKEN, "X-Echo": said}))
    api = client.call()
    with pytest.raises(PlusPlusError) as caught:
        await api.write("update_user", User, {"name": "N"}, public_id="x1")
    assert TOKEN not in json.dumps([caught.value.message, vars(caught.value), api.request_ids], default=str)
    if status == 422:
        assert isinstance(caught.value, Rejected)
        assert "[API token] is odd" in caught.value.message


async def test_a_token_that_the_api_echoes_is_in_no_record(connect: Connect) -> None:
    client, _ = connect(reply(200, {**RECORD, "name": f"N {TOKEN}", "more": [TOKEN]}))
    user = await client.call().one("get_user", User, "x1")
    assert TOKEN not in user.model_dump_json()
    assert user.name == "N [API token]"


async def test_no_proxy_of_the_environment_sees_a_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def listen(name: str, *, task_status: Any) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

        async def handle(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                seen.append(name)
                await stream.receive()
                await stream.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        async with listener:
            task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
            await listener.serve(handle)

    async with anyio.create_task_group() as tasks:
        proxy, port = await tasks.start(listen, "proxy"), await tasks.start(listen, "tenant")
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy}")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable, raising=False)
        for host in ("127.0.0.1", "localhost"):
            async with Client(base_url=f"http://{host}:{port}", token=SecretStr(TOKEN)) as client:
                with pytest.raises(ServerFailure):
                    await client.call(budget=5).write("create_user", User, {})
        tasks.cancel_scope.cancel()
    assert seen == ["tenant", "tenant"]


async def test_a_limit_of_a_day_is_said_as_the_api_says_it(connect: Connect) -> None:
    client, _ = connect(reply(429, {"error": {"message": "Come back tomorrow."}}, {"Retry-After": "86400"}))
    with pytest.raises(RateLimited, match="tomorrow") as caught:
        await client.call().write("create_user", User, {})
    assert (caught.value.retry_after, caught.value.may_have_happened) == (86_400, False)

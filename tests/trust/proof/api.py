"""Section 6: the API's odd days. On a clock that jumps, in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx2
from stage import Carry, Json, Stage

from pp_mcp.demo import DEMO_TOKEN

from .processes import api, free_port, stdio
from .scene import applied, data, do, scene, status, text
from .tries import Tries, attack

DAY = 86_400


def _once(stage: Stage, answer: Callable[[], httpx2.Response]) -> None:
    """The next request is answered so, and all others by the tenant."""
    left = [answer]
    stage.network.before = lambda _request, _number: left.pop()() if left else None


def _in_a_day() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


def _empty_page(headers: dict[str, str]) -> httpx2.Response:
    meta = {"page": 1, "page_size": 25, "total_count": 0}
    return httpx2.Response(200, json={"data": [], "meta": meta}, headers=headers)


STOPS: dict[str, Callable[[], httpx2.Response]] = {
    "429, Retry-After of a day": lambda: httpx2.Response(429, headers={"Retry-After": str(DAY)}),
    "429, Retry-After a date tomorrow": lambda: httpx2.Response(429, headers={"Retry-After": _in_a_day()}),
    "429, Retry-After of ten digits": lambda: httpx2.Response(429, headers={"Retry-After": "9999999999"}),
    "503, Retry-After of a day": lambda: httpx2.Response(503, headers={"Retry-After": str(DAY)}),
    "429, reset in 60,000 s": lambda: httpx2.Response(
        429, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60000"}
    ),
    "200, remaining 0, reset in 60,000 s": lambda: _empty_page(
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60000"}
    ),
}


@attack("api", "Retry-After or a reset of a day: the server stands still for longer than a minute")
async def _(tries: Tries) -> None:
    longest = 0.0
    for what, answer in STOPS.items():
        async with scene() as (stage, client):
            _once(stage, answer)
            began = stage.clock.time
            first = await client.call_tool("list_users", {})
            told = text(first) if first.is_error else ""
            ends = False
            while stage.clock.time - began < 200 and not ends:
                stage.clock.time += 5
                result = await client.call_tool("list_users", {})
                told += text(result) if result.is_error else ""
                ends = data(result).get("total_count") == 60
            waited = stage.clock.time - began
            longest = max(longest, waited)
            tries.held(ends and waited <= 75, f"{what}: {'answered' if ends else 'not answered'} after {waited:.0f} s")
            if "of a day" in what and told:
                tries.held(
                    re.search(r"86[,. ]?[34]\d\d|2[34] h|1 day|a day", told),
                    f"{what}: the API's figure is not told: {told[:160]}",
                )
    tries.figure = f"{longest:.0f} s at most"


@attack("api", "a rate limit whose window gets shorter: the old reset is believed for too long")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        resets, both, sent = ["60", "2"], anyio.Event(), [0]

        async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
            number = sent[0]
            sent[0] += 1
            answer = await carry(request)
            if number > 1:
                return answer
            if number == 1:
                both.set()
            await both.wait()
            await answer.aread()
            headers = {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": resets[number],
                "Content-Type": "application/json",
            }
            return httpx2.Response(answer.status_code, headers=headers, content=answer.content)

        stage.network.between = between
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(client.call_tool, "list_users", {})
        began = stage.clock.time
        result = await client.call_tool("list_users", {})
        waited = stage.clock.time - began
        tries.held(not result.is_error and waited <= 5, f"{status(result)} after {waited:.0f} s: {text(result)[:100]}")


def _raw(body: bytes | str, headers: Any = None, code: int = 200) -> Callable[[], httpx2.Response]:
    content = body.encode() if isinstance(body, str) else body
    return lambda: httpx2.Response(code, content=content, headers=headers)


PERSON = '{"public_id":"%s","name":"N","email":"n@acme.example","role":"user","is_active":true%s}'
PAGE = '{"data":[],"meta":{"page":1,"page_size":25,"total_count":%s}}'
ODD: dict[str, Callable[[], httpx2.Response]] = {
    **{
        f"Retry-After: {value}": (lambda value=value: httpx2.Response(429, headers={"Retry-After": value}))
        for value in (
            "Wed, 21 Oct 99999 07:28:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "Thu, 01 Jan 0001 00:00:00 +2359",
            "1e400",
            "-5",
            "NaN",
            "9" * 400,
            "0x10",
            "tomorrow",
        )
    },
    **{
        f"X-RateLimit-Reset: {value[:20]}": _raw(PAGE % 0, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": value})
        for value in ("-1", "1e400", "NaN", "9" * 400, "soon")
    },
    **{
        f"total_count {value[:12]}": _raw(PAGE % value)
        for value in ("1" + "0" * 400, "-7", "1e400", "NaN", '"7"', "null", "1.5", "[]")
    },
    "an ETag that is not ASCII": _raw(PAGE % 0, [(b"ETag", '"é\u2603"'.encode())]),
    "a request id that is not ASCII": _raw("{}", [(b"X-Request-Id", b"\xff\xfe\x00id")], 500),
    "nested 300 deep": _raw("[" * 300 + "]" * 300),
    "a record nested 300 deep": _raw(PERSON % ("x", ',"extra":' + "[" * 300 + "]" * 300)),
    "an error nested 300 deep": _raw('{"error":' + "[" * 300 + "]" * 300 + "}", None, 422),
    "nested 100,000 deep": _raw("[" * 100_000 + "]" * 100_000),
    "a lone surrogate": _raw(PERSON % ("x", ',"employee_id":"\\ud800"')),
    "a number of 10,000 digits": _raw(PERSON % ("x", ',"extra":' + "9" * 10_000)),
    "a key of a megabyte": _raw('{"' + "k" * 10**6 + '":1}'),
    "gzip that is none": _raw(b"not gzip", {"Content-Encoding": "gzip"}),
    "a page of HTML": _raw("<html><body>Sign in</body></html>", {"Content-Type": "text/html"}),
    "UTF-16": _raw((PAGE % 0).encode("utf-16")),
    "nothing": _raw(b""),
    "an error of a megabyte": _raw(json.dumps({"error": {"message": "x" * 10**6}}), None, 422),
}


@attack("api", "odd headers, dates, numbers and bodies: an unclean error, or the next call fails")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        person = {"user": stage.one("SELECT public_id FROM users WHERE is_active ORDER BY id")}
        target = {"assignment": stage.assignment("not_started")}
        for what, answer in ODD.items():
            for tool, given in (
                ("list_users", {}),
                ("get_user", person),
                ("get_assignment", target),
                ("update_user", {**person, "name": "N"}),
            ):
                stage.network.before = lambda _request, _number, answer=answer: answer()
                result = await client.call_tool(tool, given)
                said = text(result)
                clean = "Traceback" not in said and "internal" not in said.casefold() and len(said) < 40_000
                tries.held(clean and (not result.is_error or len(said) > 30), f"{what}, {tool}: {said[:160]}")
                stage.network.before = lambda _request, _number: None
                stage.clock.time += 3_600
                again = await client.call_tool("list_users", {"page_size": 1})
                tries.held(data(again).get("total_count") == 60, f"after {what}, {tool}: {text(again)[:120]}")
        tries.held(not [one for one in applied(stage) if "users" not in one], applied(stage)[:3])


@attack("api", "pages without rows for ever, whatever total_pages says")
async def _(tries: Tries) -> None:
    for meta in (
        {"total_count": 10**6, "total_pages": 10**5},
        {"total_count": 10**6},
        {"total_count": 500, "total_pages": 10**9},
    ):
        for tool, given in (("report_assignments", {}), ("report_content", {}), ("report_enrollments", {})):
            async with scene() as (stage, client):

                def before(request: httpx2.Request, number: int, meta: Json = meta) -> httpx2.Response:
                    if number > 60:
                        raise httpx2.ConnectError("that is enough")
                    page = int(request.url.params.get("page", "1"))
                    size = int(request.url.params.get("page_size", "25"))
                    return httpx2.Response(200, json={"data": [], "meta": {"page": page, "page_size": size, **meta}})

                stage.network.before = before
                result = await client.call_tool(tool, given)
                sent = len(stage.network.paths)
                tries.held(sent <= 40, f"{tool}, {meta}: {sent} requests")
                complete = (data(result).get("coverage") or {}).get("complete")
                tries.held(result.is_error or complete is False, f"{tool}, {meta}: claims to be complete")


@attack("api", "an API that echoes our token in an error, a record or a header")
async def _(tries: Tries) -> None:
    echo = f"bad header Authorization: Bearer {DEMO_TOKEN}"
    answers: dict[str, Callable[[], httpx2.Response]] = {
        "422": lambda: httpx2.Response(
            422, json={"error": {"message": echo, "details": {"name": [echo]}, "request_id": DEMO_TOKEN}}
        ),
        "400": lambda: httpx2.Response(400, json={"detail": echo, "errors": {DEMO_TOKEN: [echo]}}),
        "500": lambda: httpx2.Response(500, text=echo),
        "401": lambda: httpx2.Response(401, json={"error": {"message": echo}}, headers={"X-Request-Id": DEMO_TOKEN}),
        "a page of HTML": lambda: httpx2.Response(200, text=f"<html>{echo}</html>"),
        "a redirect": lambda: httpx2.Response(302, headers={"Location": f"https://x/{DEMO_TOKEN}"}),
        "a record": lambda: httpx2.Response(
            200, text=PERSON.replace('"N"', json.dumps(echo)) % ("x", f',"note":{json.dumps(echo)}')
        ),
        "a page": lambda: httpx2.Response(
            200,
            text='{"data":['
            + PERSON.replace('"N"', json.dumps(echo)) % ("x", "")
            + '],"meta":{"page":1,"page_size":25,"total_count":1}}',
        ),
    }
    async with scene() as (stage, client):
        person = {"user": stage.one("SELECT public_id FROM users WHERE is_active ORDER BY id")}
        for what, answer in answers.items():
            for tool, given in (
                ("list_users", {}),
                ("get_user", person),
                ("update_user", {**person, "name": "New"}),
                ("create_group", {"name": "New"}),
            ):
                stage.network.before = lambda _request, _number, answer=answer: answer()
                result = await do(client, tool, **given)
                whole = text(result) + json.dumps(data(result))
                tries.held(DEMO_TOKEN not in whole, f"{what}, {tool}: the token is in the answer")
                stage.clock.time += 3_600


@attack("api", "a proxy of the environment that sees the token on its way to this computer")
async def _(tries: Tries) -> None:
    seen: list[bytes] = []
    port = free_port()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)

    async def spy(stream: Any) -> None:
        async with stream:
            seen.append(await stream.receive())

    async with api("--people", "60", "--assignments", "150") as place, anyio.create_task_group() as group:
        group.start_soon(listener.serve, spy)
        proxy = f"http://127.0.0.1:{port}"
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            async with stdio({**place.settings, name: proxy}) as server:
                answer = await server.ask("list_users", page_size=1)
            tries.held(not seen and answer.get("total_count") == 60, f"{name}: {str(answer)[:80]}, {seen[:1]}")
        group.cancel_scope.cancel()
    await listener.aclose()

"""The times that are promised, measured on real processes."""

from __future__ import annotations

import time

import anyio
import httpx2

from .processes import Json, api, http, stdio
from .tries import Tries, attack

IDS = 600


@attack("times", "600 listed ids at 0.5 s a request: at most six calls after one question", beside=True)
async def _(tries: Tries) -> None:
    async with api("--people", "300", "--assignments", "4000", "--fault", "latency=0.5") as place:
        loose = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
        open_ones = f"state IN ('not_started', 'in_progress') AND {loose}"
        ids = place.column(f"SELECT public_id FROM assignments WHERE {open_ones} ORDER BY id LIMIT ?", IDS)
        assert len(ids) == IDS, len(ids)
        given: Json = {"action": "set_due_date", "assignments": ids, "due_date": "2031-01-31"}
        done = "SELECT count(*) FROM assignments WHERE due_date = '2031-01-31'"
        began = time.monotonic()
        async with stdio(place.settings) as server:
            answer = await server.ask("bulk_update_assignments", **given)
            assert "confirm_token" in answer, answer
            call: Json = {
                "tool": "bulk_update_assignments",
                "arguments": {**given, "confirm_token": answer["confirm_token"]},
            }
            calls = questions = 0
            while call and calls < 8:
                answer = await server.ask(call["tool"], **call["arguments"])
                calls += 1
                if answer.get("status") == "confirmation_required":
                    questions += 1
                    call = {**call, "arguments": {**call["arguments"], "confirm_token": answer["confirm_token"]}}
                else:
                    call = answer.get("continue") or {}
        tries.figure = f"{place.one(done)} done in {calls} calls and {time.monotonic() - began:.0f} s"
        tries.held(questions == 0, f"asked {questions} times more")
        tries.held(place.one(done) == IDS and calls <= 6, f"{tries.figure}; the last: {str(answer)[:200]}")


@attack("times", "get_user beside thirty reports of another caller, at 0.2 s a request: within 4 s")
async def _(tries: Tries) -> None:
    async with api("--people", "300", "--assignments", "4000", "--fault", "latency=0.2") as place:
        person = place.one("SELECT public_id FROM users WHERE is_active")
        async with http(place.settings) as server:
            slowest = 0.0
            async with anyio.create_task_group() as group:

                async def report(number: int) -> None:
                    given: Json = {"group_by": ["user"], "top": 5 + number % 7}
                    async with httpx2.AsyncClient(trust_env=False, timeout=120) as own:
                        await server.call("report_assignments", client=own, name="the reporter", **given)

                for number in range(30):
                    group.start_soon(report, number)
                await anyio.sleep(1.5)
                for _ in range(3):
                    began = time.monotonic()
                    async with httpx2.AsyncClient(trust_env=False, timeout=60) as own:
                        answer = await server.call("get_user", client=own, name="somebody else", user=person)
                    took = time.monotonic() - began
                    slowest = max(slowest, took)
                    tries.held("error" not in answer and took < 4, f"{took:.1f} s: {str(answer)[:100]}")
                group.cancel_scope.cancel()
            tries.figure = f"{slowest:.1f} s"


@attack("times", "/health while a request has 260,000 unknown arguments: within 3 s")
async def _(tries: Tries) -> None:
    async with http({}, "--demo", "--people", "60", "--assignments", "150") as server:
        flood = {f"{number:x}": 0 for number in range(260_000)}
        slowest = 0.0
        async with anyio.create_task_group() as group:

            async def send(arguments: Json) -> None:
                answer = await server.call("list_users", **arguments)
                tries.held("error" in answer and len(answer["error"]) < 5_000, str(answer)[:200])

            group.start_soon(send, flood)
            group.start_soon(send, {"search": ["x"] * 260_000})
            group.start_soon(send, {"page": {"a": flood}})
            for _ in range(10):
                await anyio.sleep(0.3)
                slowest = max(slowest, await server.health())
        tries.figure = f"{slowest:.1f} s"
        tries.held(slowest < 3, f"{slowest:.1f} s")

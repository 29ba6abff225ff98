"""Tasks: long work for clients that take them; after the confirmation, bounded, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from mcp.server.auth.provider import AccessToken
from stage import LEGACY, NOON, Carry, Stage, ask, make_server, served

from pp_mcp.demo import Sizes, Tenant
from pp_mcp.server import tasks
from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.store import ProcessStore

from .wire import TASKS, WAYS, Json, Wire, over_http, over_stdio

pytestmark = pytest.mark.anyio

REPORT, UPDATE = "report_assignments", "bulk_update_assignments"
SIZES = Sizes(people=120, groups=3, content_items=20, assignments=1_500, enrollments=0)


class Hold:
    """Keeps requests from the tenant: those of `method`, once so many have passed."""

    def __init__(self, there: Stage, method: str, after: int) -> None:
        self._method, self._after = method, after
        self.passed = 0
        self.held, self.go = anyio.Event(), anyio.Event()
        there.network.between = self.between

    async def between(self, request: httpx2.Request, carry: Carry) -> httpx2.Response:
        if request.method == self._method:
            self.passed += 1
            if self.passed > self._after:
                self.held.set()
                await self.go.wait()
        return await carry(request)


@pytest.fixture
def there() -> Iterator[Stage]:
    tenant = Tenant(sizes=SIZES, now=lambda: NOON)
    yield Stage(tenant)
    tenant.close()


def server_of(there: Stage, soon: float = 0.0, **settings: Any) -> PlusPlusServer:
    server = make_server(there.tenant, transport=there.network, **settings)
    server.tasks.soon = soon
    return server


@pytest.fixture(params=WAYS)
async def wire(request: pytest.FixtureRequest, there: Stage) -> AsyncIterator[Wire]:
    way: AbstractAsyncContextManager[Wire] = WAYS[request.param](server_of(there))
    async with way as client:
        yield client


def some(there: Stage, count: int = 60) -> list[str]:
    query = "SELECT public_id FROM assignments WHERE state = 'not_started' ORDER BY public_id LIMIT ?"
    return there.column(query, count)


async def confirmed(wire: Wire, ids: list[str]) -> Json:
    """The arguments of an update with the token of its preview, which is never a task."""
    given = {"action": "exempt", "assignments": ids}
    preview = await wire.call(UPDATE, given)
    assert preview["resultType"] == "complete"
    assert preview["structuredContent"]["status"] == "confirmation_required"
    return {**given, "confirm_token": preview["structuredContent"]["confirm_token"]}


async def test_the_server_declares_the_extension(wire: Wire) -> None:
    assert (await wire.result("server/discover"))["capabilities"]["extensions"][TASKS] == {}


async def test_a_report_over_many_rows(wire: Wire, there: Stage) -> None:
    hold = Hold(there, "GET", after=5)
    made = await wire.call(REPORT, {"group_by": ["user"], "top": 3}, _meta={"progressToken": "p"})
    assert made["resultType"] == "task"
    assert made["status"] == "working"
    assert "result" not in made
    told = len(wire.told)
    state = await wire.until(made["taskId"], lambda state: "of 1,5" in state["statusMessage"])
    assert state["status"] == "working"
    assert state["ttlMs"] >= 3_600_000
    hold.go.set()
    ended = await wire.until(made["taskId"])
    assert ended["status"] == "completed"
    data = ended["result"]["structuredContent"]
    plain = await answered(there, REPORT, {"group_by": ["user"], "top": 3})
    assert (data["summary"], data["rows"]) == (plain["summary"], plain["rows"])
    assert ended["statusMessage"] == data["summary"]
    assert len(wire.told) == told, "progress is not told once the call is answered"
    assert await wire.get(made["taskId"]) == ended


async def answered(there: Stage, tool: str, arguments: Json) -> Json:
    """What a client without tasks is answered."""
    there.network.between = None
    async with over_http(server_of(there)) as wire:
        wire.extensions = {}
        return (await wire.call(tool, arguments))["structuredContent"]


def without_info(result: Json) -> Json:
    return {name: value for name, value in result.items() if name != "_meta"}


async def test_what_is_quick_is_answered_at_once(there: Stage) -> None:
    async with over_http(server_of(there, soon=60)) as wire:
        assert (await wire.call(REPORT, {"group_by": ["state"]}))["resultType"] == "complete"


async def test_other_tools_are_never_tasks(wire: Wire, there: Stage) -> None:
    assert (await wire.call("list_users", {"page_size": 1}))["structuredContent"]["total_count"] == 120
    given = {"assignment": some(there)[0], "due_date": "2030-01-01"}
    assert (await wire.call("update_assignment", given))["structuredContent"]["status"] == "done"


async def test_who_does_not_declare_it_is_answered_and_may_not_ask(wire: Wire, there: Stage) -> None:
    hold = Hold(there, "GET", after=3)
    made = await wire.call(REPORT, {})
    hold.go.set()
    wire.extensions = {}
    assert (await wire.call(REPORT, {}))["resultType"] == "complete"
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        more = {"inputResponses": {}} if method == "tasks/update" else {}
        error = await wire.error(method, taskId=made["taskId"], **more)
        assert error["code"] == -32021
        assert error["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


async def test_the_older_protocol_has_no_tasks(there: Stage) -> None:
    async with served(server_of(there), LEGACY, extensions=None) as client:
        assert (await ask(client, REPORT, group_by=["state"]))["coverage"]["complete"]


async def test_a_task_that_does_not_exist(wire: Wire) -> None:
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        more = {"inputResponses": {}} if method == "tasks/update" else {}
        assert (await wire.error(method, taskId="nothing-like-it", **more))["code"] == -32602
        assert (await wire.error(method, **more))["code"] == -32602


async def test_the_header_names_the_task(there: Stage) -> None:
    async with over_http(server_of(there)) as wire:
        made = await wire.call(REPORT, {})
        for name in ("another", ""):
            wire.headers = {"Mcp-Name": name}
            assert (await wire.error("tasks/get", taskId=made["taskId"]))["code"] == -32020


async def test_a_bulk_action_after_its_confirmation(wire: Wire, there: Stage) -> None:
    ids = some(there)
    given = await confirmed(wire, ids)
    hold = Hold(there, "POST", after=20)
    made = await wire.call(UPDATE, given)
    assert made["resultType"] == "task"
    state = await wire.until(made["taskId"], lambda state: "of 60" in state["statusMessage"])
    assert state["status"] == "working"
    hold.go.set()
    ended = await wire.until(made["taskId"])
    done = ended["result"]["structuredContent"]
    assert (done["status"], done["succeeded"]) == ("done", 60)
    assert done["undo"]
    assert {there.state(one) for one in ids} == {"exempted"}
    again = await wire.call(UPDATE, given)
    assert again["structuredContent"]["status"] in ("confirmation_required", "unchanged")


async def test_the_person_is_asked_before(there: Stage) -> None:
    async with over_http(server_of(there, confirm="person")) as wire:
        wire.capabilities = {"elicitation": {"form": {}}}
        given = {"action": "exempt", "assignments": some(there)}
        asked = await wire.call(UPDATE, given)
        assert asked["resultType"] == "input_required"
        assert not there.writes()
        answer = {"confirm": {"action": "accept", "content": {"confirm": True}}}
        hold = Hold(there, "POST", after=5)
        made = await wire.call(UPDATE, given, inputResponses=answer, requestState=asked["requestState"])
        assert made["resultType"] == "task"
        hold.go.set()
        assert (await wire.until(made["taskId"]))["result"]["structuredContent"]["succeeded"] == 60


async def test_cancelling_a_bulk_action_begins_nothing_new_and_tells_what_was_done(wire: Wire, there: Stage) -> None:
    ids = some(there)
    given = await confirmed(wire, ids)
    hold = Hold(there, "POST", after=20)
    made = await wire.call(UPDATE, given)
    await hold.held.wait()
    assert without_info(await wire.result("tasks/cancel", taskId=made["taskId"])) == {"resultType": "complete"}
    hold.go.set()
    ended = await wire.until(made["taskId"])
    done = [one for one in ids if there.state(one) == "exempted"]
    assert ended["status"] == "cancelled"
    assert 20 <= len(done) <= 28
    told = ended["result"]["structuredContent"]
    assert told["succeeded"] == len(done)
    assert told["not_sent"] == 60 - len(done)
    assert f"Exempted {len(done)} assignments" in ended["statusMessage"]
    assert "the call was cancelled" in ended["statusMessage"]
    rest = told["continue"]["arguments"]
    assert sorted(rest["assignments"]) == sorted(set(ids) - set(done))


async def test_cancelling_a_report_ends_it(wire: Wire, there: Stage) -> None:
    hold = Hold(there, "GET", after=5)
    made = await wire.call(REPORT, {"group_by": ["user"]})
    await hold.held.wait()
    await wire.result("tasks/cancel", taskId=made["taskId"])
    ended = await wire.until(made["taskId"])
    assert ended["status"] == "cancelled"
    assert "result" not in ended
    sent = len(there.network.paths)
    hold.go.set()
    await wire.result("tasks/cancel", taskId=made["taskId"])
    assert (await wire.get(made["taskId"]))["status"] == "cancelled"
    assert len(there.network.paths) == sent


async def test_an_error_of_the_tool_is_a_result(wire: Wire, there: Stage) -> None:
    hold = Hold(there, "GET", after=2)
    made = await wire.call(REPORT, {"user": "nobody@acme.example"})
    hold.go.set()
    ended = await wire.until(made["taskId"]) if made["resultType"] == "task" else {"result": made}
    assert ended["result"]["isError"]


async def test_a_task_is_its_principals_alone(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    who = ["jane"]

    def token() -> AccessToken:
        return AccessToken(token="t", client_id="c", scopes=["pp:read"], subject=who[0])

    monkeypatch.setattr("pp_mcp.server.principal.get_access_token", token)
    async with over_http(server_of(there)) as wire:
        hold = Hold(there, "GET", after=5)
        made = await wire.call(REPORT, {"group_by": ["user"]})
        who[0] = "rosa"
        for method in ("tasks/get", "tasks/cancel"):
            assert (await wire.error(method, taskId=made["taskId"]))["code"] == -32602
        who[0] = "jane"
        hold.go.set()
        assert (await wire.until(made["taskId"]))["status"] == "completed"


async def test_beyond_the_limit_calls_are_answered_as_without_tasks(
    there: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MOST", 2)
    async with over_http(server_of(there)) as wire:
        kinds = [(await wire.call(REPORT, {"group_by": ["state"]}))["resultType"] for _ in range(3)]
    assert kinds == ["task", "task", "complete"]


async def test_a_result_that_is_too_large_is_said_so(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LARGEST", 500)
    async with over_http(server_of(there)) as wire:
        made = await wire.call(REPORT, {"group_by": ["user"]})
        ended = await wire.until(made["taskId"])
    assert ended["status"] == "completed"
    assert ended["result"]["isError"]
    assert "500" in ended["result"]["content"][0]["text"]


async def test_a_result_is_kept_for_an_hour(there: Stage) -> None:
    moment = [0.0]
    server = server_of(there)
    server.runtime.store = ProcessStore(lambda: moment[0])
    async with over_http(server) as wire:
        made = await wire.call(REPORT, {"group_by": ["state"]})
        await wire.until(made["taskId"])
        moment[0] += 3_590
        assert (await wire.get(made["taskId"]))["status"] == "completed"
        moment[0] += 20
        assert (await wire.error("tasks/get", taskId=made["taskId"]))["code"] == -32602


async def test_a_task_outlives_the_time_of_a_call(there: Stage) -> None:
    ids = some(there)
    async with over_http(server_of(there)) as wire:
        given = await confirmed(wire, ids)
        slow = Hold(there, "POST", after=10)
        made = await wire.call(UPDATE, given)
        await slow.held.wait()

        def takes(_request: httpx2.Request, _number: int) -> None:
            there.clock.time += 10

        there.network.before = takes
        slow.go.set()
        assert (await wire.until(made["taskId"]))["result"]["structuredContent"]["succeeded"] == 60


async def test_a_server_that_stops_brings_writes_to_their_end_and_tells_of_the_rest(there: Stage) -> None:
    ids, server = some(there), server_of(there)
    async with over_stdio(server) as wire:
        given = await confirmed(wire, ids)
        hold = Hold(there, "POST", after=20)
        made = await wire.call(UPDATE, given)
        await hold.held.wait()
        server.runtime.stopping.set()
        hold.go.set()
    state = await server.runtime.store.kept(f"task:{made['taskId']}")
    done = [one for one in ids if there.state(one) == "exempted"]
    assert 20 <= len(done) <= 28
    assert state["status"] == "completed"
    assert "the server is stopping" in state["statusMessage"]
    assert state["result"]["structuredContent"]["not_sent"] == 60 - len(done)


async def test_a_report_of_a_server_that_stops_has_failed(there: Stage) -> None:
    server = server_of(there)
    async with over_stdio(server) as wire:
        hold = Hold(there, "GET", after=5)
        made = await wire.call(REPORT, {"group_by": ["user"]})
        await hold.held.wait()
    state = await server.runtime.store.kept(f"task:{made['taskId']}")
    assert state["status"] == "failed"
    assert state["error"]["data"]["continue"] == {"tool": REPORT, "arguments": {"group_by": ["user"]}}


async def test_another_process_tells_of_a_task_and_cancels_it(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BEAT", 0.0)
    one, other = server_of(there), server_of(there)
    other.runtime.store = one.runtime.store
    ids = some(there)
    async with over_http(one) as here, over_http(other) as elsewhere:
        given = await confirmed(here, ids)
        hold = Hold(there, "POST", after=20)
        made = await here.call(UPDATE, given)
        await hold.held.wait()
        state = await elsewhere.until(made["taskId"], lambda state: "of 60" in state["statusMessage"])
        assert state["status"] == "working"
        await elsewhere.result("tasks/cancel", taskId=made["taskId"])
        with anyio.fail_after(10):
            while not all(job.is_cancelled for job in one.tasks.jobs.values()):
                await anyio.lowlevel.checkpoint()
        hold.go.set()
        assert (await elsewhere.until(made["taskId"]))["status"] == "cancelled"


async def test_a_task_whose_process_died_has_failed_and_names_the_call_that_does_the_rest(there: Stage) -> None:
    ids, store = some(there), ProcessStore()
    died = server_of(there)
    died.runtime.store = store
    async with over_stdio(died) as wire:
        given = await confirmed(wire, ids)
        hold = Hold(there, "POST", after=20)
        made = await wire.call(UPDATE, given)
        await hold.held.wait()
        # What the store holds when a process is killed: nothing is written afterwards.
        left = await store.kept(f"task:{made['taskId']}")
        hold.go.set()
        await wire.result("tasks/cancel", taskId=made["taskId"])
    assert left["status"] == "working"
    await store.keep(f"task:{made['taskId']}", {**left, "seen": time.time() - 60}, 3_600)
    another = server_of(there)
    another.runtime.store = store
    async with over_http(another) as wire:
        state = await wire.get(made["taskId"])
        assert state["status"] == "failed"
        assert "of 60" in state["error"]["message"]
        rest = state["error"]["data"]["continue"]
        assert rest == {"tool": UPDATE, "arguments": {"action": "exempt", "assignments": ids}}
        there.network.between = None
        token = (await wire.call(UPDATE, rest["arguments"]))["structuredContent"]["confirm_token"]
        last = await wire.call(UPDATE, {**rest["arguments"], "confirm_token": token})
        assert last["resultType"] == "task"
        await wire.until(last["taskId"])
    assert {there.state(one) for one in ids} == {"exempted"}
    assert len([one for one in there.writes() if one.path.endswith("exempt")]) == 60

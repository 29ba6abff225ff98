"""Calls that are given up half-way, and calls that meet: nothing half done, nothing applied that was not shown."""

from __future__ import annotations

import anyio
import httpx2
import pytest
from mcp import MCPError
from stage import LEGACY, WAYS, Stage, Way, ask, connected, data_of, make_server, served

from pp_mcp.demo import Tenant

pytestmark = pytest.mark.anyio


class Held(httpx2.AsyncBaseTransport):
    """Lets writes wait until they are let go, on their way to the tenant or on the way back."""

    def __init__(self, tenant: Tenant, *, after: bool) -> None:
        self._inner = tenant.transport()
        self._after = after
        self.arrived = anyio.Event()
        self.go_on = anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return await self._inner.handle_async_request(request)
        answer = await self._inner.handle_async_request(request) if self._after else None
        self.arrived.set()
        await self.go_on.wait()
        return answer or await self._inner.handle_async_request(request)


@pytest.mark.parametrize("after", [False, True], ids=["before it was applied", "after"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_write_that_the_client_gives_up_is_brought_to_its_end(
    way: Way, after: bool, tenant: Tenant, stage: Stage
) -> None:
    held = Held(tenant, after=after)
    server = make_server(tenant, transport=held)
    person = stage.person()
    async with served(server, way) as client:
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                await held.arrived.wait()
                group.cancel_scope.cancel()
                held.go_on.set()

            group.start_soon(give_up)
            await client.call_tool("update_user", {"user": person, "name": "Given Up"})
        await server.runtime.writes_done()
    assert stage.one("SELECT name FROM users WHERE email = ?", person) == "Given Up"
    assert len(stage.writes()) == 1


async def test_a_call_given_up_before_its_write_sends_none(tenant: Tenant, stage: Stage) -> None:
    class Slow(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await anyio.sleep_forever()
            raise AssertionError

    async with connected(tenant, transport=Slow()) as client:
        with pytest.raises(MCPError):
            await client.call_tool("update_user", {"user": stage.person(), "name": "X"}, read_timeout_seconds=0.1)
    assert stage.writes() == []


@pytest.mark.parametrize("way", [WAYS[0], LEGACY], ids=str)
async def test_two_confirmed_replacements_at_once_only_one_was_shown_what_it_does(
    way: Way, tenant: Tenant, stage: Stage
) -> None:
    group = stage.group()
    before = stage.members(group)
    wishes = [before[:3], before[-3:]]
    server = make_server(tenant)
    async with served(server, way, name="one") as first, served(server, way, name="two") as second:
        flags = {"confirm_replace": True, "confirm_large_removal": True}
        tokens = []
        for client, members in zip((first, second), wishes, strict=True):
            preview = await ask(client, "replace_group_members", group=group, members=members, **flags)
            tokens.append(preview["confirm_token"])
        answers = {}

        async def confirm(number: int) -> None:
            given = {"group": group, "members": wishes[number], **flags, "confirm_token": tokens[number]}
            answers[number] = data_of(await (first, second)[number].call_tool("replace_group_members", given))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(confirm, 0)
            tasks.start_soon(confirm, 1)
    done = [number for number, answer in answers.items() if answer["status"] == "done"]
    assert len(done) == 1
    assert answers[1 - done[0]]["status"] == "confirmation_required"
    assert "no longer valid" in answers[1 - done[0]]["summary"]
    assert stage.members(group) == sorted(wishes[done[0]])
    assert len(stage.writes()) == 1


async def test_many_writes_to_one_thing_do_not_get_into_each_others_way(tenant: Tenant, stage: Stage) -> None:
    group = stage.group()
    before = stage.members(group)
    new = stage.strangers(group, 6)
    async with connected(tenant) as client, anyio.create_task_group() as tasks:
        for person in new:
            tasks.start_soon(client.call_tool, "add_group_members", {"group": group, "members": [person]})
    assert stage.members(group) == sorted([*before, *new])
    assert len(stage.writes()) == len(new)

"""What must be confirmed follows from what a call would do: rights, access, loss, reach, and how many went before."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult
from stage import WAYS, Clock, Network, Stage, Way, ask, connected, data_of, make_server, refused, served

from pp_mcp.errors import Refused
from pp_mcp.inventory import ALL_TOOLS
from pp_mcp.server.perform import HOUR, Brake, Pace
from pp_mcp.server.writes import MANY

pytestmark = pytest.mark.anyio

YES = ElicitResult(action="accept", content={"confirm": True})
NO = ElicitResult(action="decline")
ADMIN = {"email": "new.admin@acme.example", "name": "New Admin", "role": "admin"}


async def test_raising_rights_is_confirmed_whatever_the_tool_is_called(client: Client, stage: Stage) -> None:
    preview = await ask(client, "create_user", **ADMIN)
    assert preview["status"] == "confirmation_required"
    assert stage.writes() == []
    assert (await ask(client, "create_user", **ADMIN, confirm_token=preview["confirm_token"]))["status"] == "done"


async def test_block_refuses_whatever_would_be_confirmed(stage: Stage) -> None:
    group = stage.group()
    async with connected(stage.tenant, confirm="block") as client:
        for tool, given in (
            ("create_user", ADMIN),
            ("add_group_members", {"group": group, "members": stage.strangers(group, MANY + 1)}),
        ):
            assert "PP_CONFIRM=block" in (await refused(client, tool, **given))["message"]
        assert stage.writes() == []
        assert (await ask(client, "add_group_members", group=group, members=stage.strangers(group, 1)))[
            "status"
        ] == "done"


async def test_reaching_many_is_confirmed(client: Client, stage: Stage) -> None:
    group = stage.group()
    many = stage.strangers(group, MANY + 1)
    assert len(many) == MANY + 1
    preview = await ask(client, "add_group_members", group=group, members=many)
    assert preview["status"] == "confirmation_required"
    assert stage.writes() == []
    assert (await ask(client, "add_group_members", group=group, members=many[:MANY]))["status"] == "done"
    assert set(many[:MANY]) <= set(stage.members(group))


def test_every_write_takes_a_token_and_says_whether_it_may_lose_something() -> None:
    for tool in ALL_TOOLS:
        is_write = not tool.annotations.read_only_hint
        assert ("confirm_token" in tool.input_schema["properties"]) is is_write
        if tool.effect.value in ("read", "add"):
            assert tool.annotations.destructive_hint is False
        if tool.effect.value == "destroy" or (tool.effect.value == "change" and tool.may_confirm):
            assert tool.annotations.destructive_hint is True


async def rename(client: Client, stage: Stage, name: str, **more: Any) -> dict[str, Any]:
    return await ask(client, "update_user", user=stage.person(), name=name, **more)


async def test_after_many_unconfirmed_changes_every_write_is_previewed(stage: Stage) -> None:
    now = [1_000.0]
    server = make_server(stage.tenant, unconfirmed_writes=3)
    server.runtime.pace = Pace(3, lambda: now[0])
    group = stage.group()
    async with served(server) as client:
        # A call counts as many changes as people or things it changes.
        joined = await ask(client, "add_group_members", group=group, members=stage.strangers(group, 2))
        assert joined["status"] == "done"
        assert (await rename(client, stage, "One"))["status"] == "done"
        preview = await rename(client, stage, "Two")
        assert preview["status"] == "confirmation_required"
        assert "More than 3 changes in an hour" in preview["summary"]
        for name in ("Two", "Three", "Four"):
            preview = await rename(client, stage, name)
            assert (await rename(client, stage, name, confirm_token=preview["confirm_token"]))["status"] == "done"
        now[0] += HOUR
        # What was confirmed did not count.
        for name in ("Five", "Six", "Seven"):
            assert (await rename(client, stage, name))["status"] == "done"
        assert (await rename(client, stage, "Eight"))["status"] == "confirmation_required"


async def test_a_call_that_would_exceed_the_pace_is_previewed(stage: Stage) -> None:
    group = stage.group()
    async with connected(stage.tenant, unconfirmed_writes=2) as client:
        preview = await ask(client, "add_group_members", group=group, members=stage.strangers(group, 3))
        assert preview["status"] == "confirmation_required"


@pytest.mark.parametrize(("policy", "status"), [("token", "confirmation_required"), ("allow", "done")])
async def test_no_unconfirmed_change_at_all(stage: Stage, policy: str, status: str) -> None:
    async with connected(stage.tenant, unconfirmed_writes=0, confirm=policy) as client:
        assert (await rename(client, stage, "Renamed"))["status"] == status


async def test_block_refuses_what_the_pace_would_have_confirmed(stage: Stage) -> None:
    async with connected(stage.tenant, unconfirmed_writes=0, confirm="block") as client:
        error = await refused(client, "update_user", user=stage.person(), name="Renamed")
        assert "PP_CONFIRM=block" in error["message"]
        assert "More than 0 changes in an hour" in error["message"]


def test_the_brake_is_each_principals_own() -> None:
    brake = Brake(2)
    brake.take("jane", 2)
    brake.take("sam", 2)
    brake.give_back("sam", 1)
    for name in ("jane", "sam"):
        with pytest.raises(Refused):
            brake.take(name, 2)
    brake.take("sam", 1)


def test_the_pace_is_each_principals_own() -> None:
    pace = Pace(2)
    pace.add("jane", 2)
    assert not pace.allows("jane", 1)
    assert pace.allows("", 2)
    assert not pace.allows("", 3)


# --- only the person's own answer ---------------------------------------------------------------------------------


@pytest.fixture(params=WAYS, ids=" ".join)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


async def test_a_client_that_cannot_ask_is_refused(stage: Stage, way: Way) -> None:
    target = stage.assignment("not_started")
    async with connected(stage.tenant, way, confirm="token") as client:
        token = (await ask(client, "drop_assignment", assignment=target))["confirm_token"]
    async with connected(stage.tenant, way, confirm="person") as client:
        for more in ({}, {"confirm_token": token}):
            error = await refused(client, "drop_assignment", assignment=target, **more)
            assert error["code"] == "refused"
            assert "PP_CONFIRM=person" in error["message"]
            assert "cannot ask" in error["message"]
        assert (await rename(client, stage, "Renamed"))["status"] == "done"
    assert stage.state(target) == "not_started"


@pytest.mark.parametrize("agrees", [True, False])
async def test_the_persons_answer_counts(stage: Stage, way: Way, agrees: bool) -> None:
    target, asked = stage.assignment("not_started"), list[str]()

    async def person(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return YES if agrees else NO

    async with connected(stage.tenant, way, client={"elicitation_callback": person}, confirm="person") as client:
        answer = await ask(client, "drop_assignment", assignment=target)
    assert len(asked) == 1
    assert answer["status"] == ("done" if agrees else "unchanged")
    assert stage.state(target) == ("dropped" if agrees else "not_started")


async def test_leaving_the_capability_out_gets_around_nothing(stage: Stage) -> None:
    """The answer to a question is not taken from a request that says it cannot ask."""
    target = stage.assignment("not_started")

    async def person(_: Any, __: Any) -> ElicitResult:
        raise AssertionError("asked")

    server = make_server(stage.tenant, confirm="person")
    async with served(server, client_info=None, elicitation_callback=person) as able, served(server) as unable:
        asked = await able.session.call_tool("drop_assignment", {"assignment": target}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        answer = await unable.session.call_tool(
            "drop_assignment",
            {"assignment": target},
            request_state=asked.request_state,
            input_responses={"confirm": YES},
            allow_input_required=True,
        )
        assert isinstance(answer, CallToolResult)
        assert "cannot ask" in data_of(answer)["message"]
    assert stage.writes() == []


async def test_flags_are_asked_for_before_the_person(stage: Stage) -> None:
    async def person(_: Any, __: Any) -> ElicitResult:
        raise AssertionError("asked")

    group = stage.group()
    async with connected(stage.tenant, client={"elicitation_callback": person}, confirm="person") as client:
        error = await refused(client, "replace_group_members", group=group, members=stage.members(group)[1:])
    assert "confirm_replace=true" in error["message"]


# --- what is confirmed is what is done, once -----------------------------------------------------------------------


async def test_a_token_is_for_the_things_that_were_shown_not_for_their_names(client: Client, stage: Stage) -> None:
    """Two people swap names after the preview: the token removes neither."""
    group = stage.group()
    one, other = stage.members(group)[:2]
    call: dict[str, Any] = {"group": group, "members": ["Somebody Unique"]}
    stage.change("UPDATE users SET name = 'Somebody Unique', name_key = 'somebody unique' WHERE email = ?", one)
    stage.change("UPDATE users SET name = 'Someone Else', name_key = 'someone else' WHERE email = ?", other)
    preview = await ask(client, "remove_group_members", **call)
    stage.change("UPDATE users SET name = 'Someone Else', name_key = 'someone else' WHERE email = ?", one)
    stage.change("UPDATE users SET name = 'Somebody Unique', name_key = 'somebody unique' WHERE email = ?", other)
    answer = await ask(client, "remove_group_members", **call, confirm_token=preview["confirm_token"])
    assert answer["status"] == "confirmation_required"
    assert "no longer valid" in answer["summary"]
    assert stage.writes() == []


async def test_a_token_is_good_once_even_where_all_is_as_before(client: Client, stage: Stage) -> None:
    target = stage.assignment("not_started")
    preview = await ask(client, "drop_assignment", assignment=target)
    call = {"assignment": target, "confirm_token": preview["confirm_token"]}
    before = stage.tenant.connection.execute("SELECT * FROM assignments WHERE public_id = ?", (target,)).fetchone()
    assert (await ask(client, "drop_assignment", **call))["status"] == "done"
    columns = [one[1] for one in stage.tenant.connection.execute("PRAGMA table_info(assignments)")]
    stage.change(
        f"UPDATE assignments SET {', '.join(f'{one} = ?' for one in columns)} WHERE public_id = ?", *before, target
    )
    again = await ask(client, "drop_assignment", **call)
    assert again["status"] == "confirmation_required"
    for cause in ("used already", "expired", "another call or caller", "changed", "another process or key"):
        assert cause in again["summary"]
    assert stage.state(target) == "not_started"


@pytest.mark.parametrize(
    ("fault", "spent"), [("unreachable", False), ("lost", True)], ids=["before the write", "its answer was lost"]
)
async def test_when_a_token_is_spent(stage: Stage, fault: str, spent: bool) -> None:

    network, failing = Network(stage.tenant), [False]

    def before(request: httpx2.Request, _: int) -> httpx2.Response | None:
        if failing[0] and request.method != "GET":
            raise httpx2.ConnectError("no") if fault == "unreachable" else httpx2.ReadError("gone")
        return None

    network.before = before
    target = stage.assignment("not_started")
    async with served(make_server(stage.tenant, transport=network)) as client:
        call = {"assignment": target}
        call["confirm_token"] = (await ask(client, "drop_assignment", **call))["confirm_token"]
        failing[0] = True
        await refused(client, "drop_assignment", **call)
        failing[0] = False
        answer = await ask(client, "drop_assignment", **call)
    assert answer["status"] == ("confirmation_required" if spent else "done")


@pytest.mark.parametrize("first", [NO, YES], ids=["declined", "accepted"])
async def test_a_question_is_answered_once(stage: Stage, first: ElicitResult) -> None:
    async def person(_: Any, __: Any) -> ElicitResult:
        raise AssertionError("asked")

    target = stage.assignment("not_started")
    async with connected(stage.tenant, client={"elicitation_callback": person}, confirm="elicit") as client:

        async def say(answer: ElicitResult, state: str | None) -> CallToolResult | InputRequiredResult:
            return await client.session.call_tool(
                "drop_assignment",
                {"assignment": target},
                request_state=state,
                input_responses={"confirm": answer},
                allow_input_required=True,
            )

        asked = await client.session.call_tool("drop_assignment", {"assignment": target}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        assert isinstance(await say(first, asked.request_state), CallToolResult)
        before = len(stage.writes())
        stage.change("UPDATE assignments SET state = 'not_started', dropped_at = NULL WHERE public_id = ?", target)
        again = await say(YES, asked.request_state)
        assert isinstance(again, InputRequiredResult)
        assert len(stage.writes()) == before
        with pytest.raises(MCPError):
            await say(YES, "forged")


# --- bulk work goes on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["token", "elicit", "person"])
async def test_the_rest_of_a_run_needs_no_second_question(stage: Stage, policy: str) -> None:
    """On an API so slow that one call does a part: reads once, asks once, and every call makes progress."""
    ids = [stage.assignment("not_started", number) for number in range(40)]
    clock, network, asked = Clock(), Network(stage.tenant), list[str]()

    async def person(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return YES

    def slow(request: Any, _: int) -> None:
        clock.time += 3.0 if request.method != "GET" else 0.1

    # What is left counts when it is done, so that the hourly limit counts nothing twice.
    server = make_server(stage.tenant, transport=network, clock=clock, confirm=policy, max_writes_per_hour=len(ids))
    options = {} if policy == "token" else {"elicitation_callback": person}
    call: dict[str, Any] = {"action": "exempt", "assignments": ids}
    async with served(server, **options) as client:
        if policy == "token":
            call["confirm_token"] = (await ask(client, "bulk_update_assignments", **call))["confirm_token"]
        network.before = slow
        answer = await ask(client, "bulk_update_assignments", **call)
        calls, done = 1, answer["succeeded"]
        while answer["status"] == "partial":
            assert answer["succeeded"] > 0
            assert answer["not_sent"] == len(ids) - done
            follow = answer["continue"]
            assert set(follow["arguments"]) >= {"confirm_token", "assignments"}
            answer = await ask(client, follow["tool"], **follow["arguments"])
            calls, done = calls + 1, done + answer["succeeded"]
    assert calls > 1
    assert done == len(ids)
    assert {stage.state(one) for one in ids} == {"exempted"}
    assert len(asked) == (0 if policy == "token" else 1)

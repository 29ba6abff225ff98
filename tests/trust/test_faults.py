"""Every tool under every fault: right or a clean error, nothing twice, nothing claimed that is not, nothing that hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from mcp.types import CallToolResult
from server.cases import CASES, WRITES, Case

from pp_mcp.api import ROUTES
from pp_mcp.demo import Faults, Tenant
from pp_mcp.demo.routes import find

from .world import Json, World, data_of, quiet, tiny

pytestmark = pytest.mark.anyio

BUDGET = 46.0
"""Seconds that a call may take: 45, and what rounding adds."""

MANY = {"archive_content_items", "unarchive_content_items", "bulk_assign_content", "bulk_update_assignments"}
SHARES = {
    "429": "rate_limited",
    "429-bare": "rate_limited_bare",
    "5xx": "server_error",
    "5xx-after": "server_error_after",
    "drop-before": "drop_before",
    "drop-after": "drop_after",
    "truncate": "truncate",
    "garbage": "garbage",
    "wrong-type": "wrong_type",
}


@dataclass(frozen=True)
class Trouble:
    """One way for things to go wrong."""

    name: str
    befall: Callable[[Tenant], None]
    writes_only: bool = False


def _scripted(names: list[str], *, writes_only: bool = False) -> Callable[[Tenant], None]:
    return lambda tenant: tenant.faults.script(names, writes_only=writes_only)


def _lasting(**faults: Any) -> Callable[[Tenant], None]:
    def befall(tenant: Tenant) -> None:
        tenant.faults = Faults(**faults)

    return befall


TROUBLES: tuple[Trouble, ...] = (
    *(Trouble(f"{name} once", _scripted([name])) for name in SHARES),
    *(Trouble(f"{name} at the write", _scripted([name], writes_only=True), writes_only=True) for name in SHARES),
    *(
        Trouble(f"{name} at every second write", _scripted([name, "ok"] * 4, writes_only=True), writes_only=True)
        for name in ("5xx-after", "drop-after")
    ),
    *(Trouble(f"{name} always", _lasting(**{attribute: 1.0})) for name, attribute in SHARES.items()),
    Trouble("5xx in bursts", _lasting(server_error_burst=(4, 2))),
    Trouble("half of it broken", _lasting(server_error_after=0.25, drop_after=0.25, seed=3)),
    *(Trouble(f"revoked after {count}", _lasting(revoke_after=count)) for count in range(4)),
    *(Trouble(f"{seconds} s late", _lasting(latency=seconds)) for seconds in (0.5, 20, 40, 400)),
    Trouble("drift", _scripted(["drift"])),
)


def after_of(case: Case, before: Any, given: Json) -> Any:
    return case.after(before, given) if callable(case.after) else case.after


async def test_the_layer_has_no_fault_but_these() -> None:
    assert {*SHARES, "latency", "5xx-burst", "revoke-after", "drift"} == set(Faults.NAMES)


@pytest.mark.parametrize("case", [case for case in CASES if case.look is None], ids=lambda case: case.tool)
async def test_a_read_is_right_or_a_clean_error(case: Case, world: World) -> None:
    arguments = case.arguments(world.stage)
    right = timeless(data_of(await world.call(case.tool, **arguments)))
    state = world.snapshot()
    for trouble in TROUBLES:
        if trouble.writes_only or trouble.name == "drift":
            continue
        await quiet()
        began = anyio.current_time()
        trouble.befall(world.tenant)
        result = await world.call(case.tool, **arguments)
        assert anyio.current_time() - began <= BUDGET, trouble.name
        if result.is_error:
            clean(result, trouble.name)
        elif (coverage := data_of(result).get("coverage")) and not coverage["complete"]:
            assert data_of(result)["summary"].startswith("Incomplete"), trouble.name
        else:
            assert timeless(data_of(result)) == right, trouble.name
        world.heal()
        await quiet()
        assert timeless(data_of(await world.call(case.tool, **arguments))) == right, trouble.name
    assert world.snapshot() == state


def timeless(answer: Json) -> Json:
    """An answer without the moment it speaks of."""
    return {**answer, "coverage": {**answer["coverage"], "as_of": ""}} if "coverage" in answer else answer


def clean(result: CallToolResult, trouble: str) -> None:
    """A clean error: a code, words that say what to do, and no promise that its kind does not keep."""
    error = data_of(result)
    assert error["code"], trouble
    assert len(error["message"]) > 40, trouble
    assert "Traceback" not in error["message"], trouble
    assert not (error.get("check") and error["retryable"]), trouble


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
async def test_a_write_is_right_or_a_clean_error(trouble: Trouble, world: World) -> None:
    for case in WRITES:
        # Trouble that meets only writes finds none before the preview is confirmed.
        starts = ["after the preview"] * case.preview + ["all along"] * (not case.preview or not trouble.writes_only)
        for start in starts:
            await quiet()
            fresh = World(tiny(), world.client, world.switch)
            fresh.validates = False
            try:
                await endure(case, trouble, start, fresh)
            finally:
                fresh.close()


async def endure(case: Case, trouble: Trouble, start: str, world: World) -> None:
    """One write through one trouble, and once more when it is over."""
    about = f"{case.tool}, {trouble.name}, {start}"
    arguments = case.arguments(world.stage)
    assert case.look is not None
    looked, before = case.look(world.stage, arguments), world.snapshot()
    wanted = after_of(case, looked, arguments)
    confirmation: Json = {}
    if start == "after the preview":
        preview = await world.ask(case.tool, **arguments)
        confirmation = {"confirm_token": preview["confirm_token"], **dict.fromkeys(preview.get("needs", []), True)}
    world.tenant.requests.clear()
    trouble.befall(world.tenant)
    began = anyio.current_time()
    if confirmation:
        result = await world.call(case.tool, **arguments, **confirmation)
    else:
        result = await world.confirm(case.tool, **arguments)
    assert anyio.current_time() - began <= (BUDGET if confirmation or not case.preview else 2 * BUDGET), about
    now = world.snapshot()
    holds = case.look(world.stage, arguments) == wanted
    judge(case, result, before, now, holds, about)
    nothing_twice(world, about)
    world.heal()
    await quiet()
    await world.ask("list_users")
    if case.tool not in ("create_user", "create_group", "create_article", "create_api_token"):
        again = await world.confirm(case.tool, **arguments)
        gone = case.tool == "delete_content_item" and holds
        assert again.is_error == gone, about
        assert gone or data_of(again)["status"] in ("done", "unchanged"), about
        assert case.look(world.stage, arguments) == wanted, about


def judge(case: Case, result: CallToolResult, before: Json, now: Json, holds: bool, about: str) -> None:
    """What was answered against what is so."""
    answer = data_of(result)
    if result.is_error:
        clean(result, about)
        unsure = "may have happened or not" in answer["message"]
        assert unsure == ("check" in answer) or case.tool == "create_api_token", about
        assert unsure or now == before, about
        assert "Nothing was" not in answer["message"] or now == before, about
        return
    status = answer["status"]
    if status == "done":
        assert holds, about
        assert case.undo is None or answer["undo"], about
    elif status in ("unchanged", "confirmation_required"):
        assert now == before, about
    elif case.tool in MANY:
        changed = sum(
            now[table][key] != before[table].get(key)
            for table in ("assignments", "content_items")
            for key in now[table]
            if table == "assignments" or now[table][key]["is_archived"] != before[table][key]["is_archived"]
        )
        assert answer["succeeded"] <= changed <= answer["succeeded"] + answer["unknown"], about
        assert len(answer["items"]) == answer["failed"] + answer["unknown"], about
        assert answer["failed"] + answer["unknown"] + answer.get("not_sent", 0) > 0, about
    else:
        assert status == "partial", about
        assert answer["not_applied"], about
        assert not holds, about


def nothing_twice(world: World, about: str) -> None:
    """What does more when it is sent twice was sent once at most, unless the API refused it; nothing was done twice."""
    by_handler = {(route.method, route.path): route for route in ROUTES.values()}
    once: Counter[tuple[str, str]] = Counter()
    done: Counter[tuple[str, str]] = Counter()
    for arrival in world.writes():
        found = find(arrival.path)
        assert found is not None
        template = arrival.path.replace(found[1], "{public_id}") if found[1] else arrival.path
        if not by_handler[arrival.method, template].repeatable and arrival.status not in (401, 429):
            once[arrival.method, arrival.path] += 1
        if arrival.applied and arrival.path != "/assignments":
            done[arrival.method, arrival.path] += 1
    assert all(count == 1 for count in once.values()), (about, once)
    assert all(count == 1 for count in done.values()), (about, done)

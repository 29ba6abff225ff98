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
from stage import FULL, Json, Stage, ask, call, confirm, data_of

from pp_mcp.api import ROUTES
from pp_mcp.demo import Faults, Tenant
from pp_mcp.demo.routes import find

from .tenant import quiet

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


READS = [case for case in CASES if case.look is None]
REPRESENTATIVE = {"list_users", "get_user", "get_assignment", "report_assignments", "get_learner_summary"}
"""Reads of each shape: a page, one record with a name to resolve, one with an ETag, a walk, several walks at once."""

EVERY_READ_MEETS = {"5xx in bursts", "garbage always"}
READ_CASES = [
    pytest.param(case, trouble, id=f"{case.tool}, {trouble.name}")
    for case in READS
    for trouble in TROUBLES
    if not trouble.writes_only and trouble.name != "drift"
    if FULL or case.tool in REPRESENTATIVE or trouble.name in EVERY_READ_MEETS
]

PREVIEWS_IN_TROUBLE = {"update_user", "bulk_update_assignments"}
"""Whose previews meet every trouble; of the others, the confirmed calls do."""


def starts(case: Case, trouble: Trouble) -> list[str]:
    """When the trouble begins. Trouble that only writes meet finds none before the preview is confirmed."""
    found = ["after the preview"] if case.preview else ["all along"]
    if case.preview and not trouble.writes_only and (FULL or case.tool in PREVIEWS_IN_TROUBLE):
        found.append("all along")
    return found


WRITE_CASES = [
    pytest.param(case, trouble, start, id=f"{case.tool}, {trouble.name}, {start}")
    for number, trouble in enumerate(TROUBLES)
    for place, case in enumerate(WRITES)
    for start in starts(case, trouble)
    # Each write meets a third of the troubles, and each trouble a third of the writes; these meet all.
    if FULL or case.tool in PREVIEWS_IN_TROUBLE or (number + place) % 3 == 0
]


def after_of(case: Case, before: Any, given: Json) -> Any:
    return case.after(before, given) if callable(case.after) else case.after


async def test_the_layer_has_no_fault_but_these() -> None:
    assert {*SHARES, "latency", "5xx-burst", "revoke-after", "drift"} == set(Faults.NAMES)


@pytest.mark.parametrize(("case", "trouble"), READ_CASES)
async def test_a_read_is_right_or_a_clean_error(case: Case, trouble: Trouble, stage: Stage) -> None:
    arguments = case.arguments(stage)
    right = timeless(data_of(await call(stage.client, case.tool, **arguments)))
    state = stage.snapshot()
    await quiet()
    began = anyio.current_time()
    trouble.befall(stage.tenant)
    result = await call(stage.client, case.tool, **arguments)
    assert anyio.current_time() - began <= BUDGET
    if result.is_error:
        clean(result)
    elif (coverage := data_of(result).get("coverage")) and not coverage["complete"]:
        assert data_of(result)["summary"].startswith("Incomplete")
    else:
        assert timeless(data_of(result)) == right
    stage.heal()
    await quiet()
    assert timeless(data_of(await call(stage.client, case.tool, **arguments))) == right
    assert stage.snapshot() == state


def timeless(answer: Json) -> Json:
    """An answer without the moment it speaks of."""
    return {**answer, "coverage": {**answer["coverage"], "as_of": ""}} if "coverage" in answer else answer


def clean(result: CallToolResult) -> None:
    """A clean error: a code, words that say what to do, and no promise that its kind does not keep."""
    error = data_of(result)
    assert error["code"]
    assert len(error["message"]) > 40
    assert "Traceback" not in error["message"]
    assert not (error.get("check") and error["retryable"])


@pytest.mark.parametrize(("case", "trouble", "start"), WRITE_CASES)
async def test_a_write_is_right_or_a_clean_error(case: Case, trouble: Trouble, start: str, stage: Stage) -> None:
    """One write through one trouble, and once more when it is over."""
    arguments = case.arguments(stage)
    assert case.look is not None
    looked, before = case.look(stage, arguments), stage.snapshot()
    wanted = after_of(case, looked, arguments)
    confirmation: Json = {}
    if start == "after the preview":
        preview = await ask(stage.client, case.tool, **arguments)
        confirmation = {"confirm_token": preview["confirm_token"], **dict.fromkeys(preview.get("needs", []), True)}
    stage.tenant.requests.clear()
    trouble.befall(stage.tenant)
    began = anyio.current_time()
    if confirmation:
        result = await call(stage.client, case.tool, **arguments, **confirmation)
    else:
        result = await confirm(stage.client, case.tool, **arguments)
    assert anyio.current_time() - began <= (BUDGET if confirmation or not case.preview else 2 * BUDGET)
    now = stage.snapshot()
    holds = case.look(stage, arguments) == wanted
    judge(case, result, before, now, holds)
    nothing_twice(stage)
    stage.heal()
    await quiet()
    await ask(stage.client, "list_users")
    if case.tool not in ("create_user", "create_group", "create_article", "create_api_token"):
        again = await confirm(stage.client, case.tool, **arguments)
        gone = case.tool == "delete_content_item" and holds
        assert again.is_error == gone
        assert gone or data_of(again)["status"] in ("done", "unchanged")
        assert case.look(stage, arguments) == wanted


def judge(case: Case, result: CallToolResult, before: Json, now: Json, holds: bool) -> None:
    """What was answered against what is so."""
    answer = data_of(result)
    if result.is_error:
        clean(result)
        unsure = "may have happened or not" in answer["message"]
        assert unsure == ("check" in answer) or case.tool == "create_api_token"
        assert unsure or now == before
        assert "Nothing was" not in answer["message"] or now == before
        return
    status = answer["status"]
    if status == "done":
        assert holds
        assert case.undo is None or answer.get("undo")
    elif status in ("unchanged", "confirmation_required"):
        assert now == before
    elif case.tool in MANY:
        changed = sum(
            now[table][key] != before[table].get(key)
            for table in ("assignments", "content_items")
            for key in now[table]
            if table == "assignments" or now[table][key]["is_archived"] != before[table][key]["is_archived"]
        )
        assert answer["succeeded"] <= changed <= answer["succeeded"] + answer["unknown"]
        assert len(answer["items"]) == answer["failed"] + answer["unknown"]
        assert answer["failed"] + answer["unknown"] + answer.get("not_sent", 0) > 0
    else:
        assert status == "partial"
        assert answer["not_applied"]
        assert not holds


def nothing_twice(stage: Stage) -> None:
    """What does more when it is sent twice was sent once at most, unless the API refused it; nothing was done twice."""
    by_handler = {(route.method, route.path): route for route in ROUTES.values()}
    once: Counter[tuple[str, str]] = Counter()
    done: Counter[tuple[str, str]] = Counter()
    for arrival in stage.writes():
        found = find(arrival.path)
        assert found is not None
        template = arrival.path.replace(found[1], "{public_id}") if found[1] else arrival.path
        if not by_handler[arrival.method, template].repeatable and arrival.status not in (401, 429):
            once[arrival.method, arrival.path] += 1
        if arrival.applied and arrival.path != "/assignments":
            done[arrival.method, arrival.path] += 1
    assert all(count == 1 for count in once.values()), once
    assert all(count == 1 for count in done.values()), done

"""Section 2: what is confirmed is what is done, and once."""

from __future__ import annotations

import base64
import contextlib
import secrets
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.types import ElicitResult, InputRequiredResult
from stage import Carry, Json, Stage, make_server, served

from pp_mcp.demo import DEMO_TOKEN

from .processes import SMALL, api, stdio
from .scene import agree, applied, asks, data, do, scene, status, text
from .tries import Tries, attack


def _leaving(stage: Stage) -> Json:
    return {"group": stage.group(), "members": stage.members(stage.group())[:2]}


def _forgeries(token: str, other: str) -> list[str]:
    """Tokens that nobody minted for this call."""
    stamp, _, signature = token.partition(".")
    found = [other, "", ".", f"{stamp}.", f".{signature}", f"{stamp}.{signature[:-1]}", f"{token}x", token * 2]
    found += [signature, f"{int(stamp, 16) + 60:x}.{signature}", f"{int(stamp, 16) - 700:x}.{signature}", "f" * 500]
    found += [f"{stamp}.{secrets.token_urlsafe(18)}" for _ in range(120)]
    for at in range(len(signature)):
        for put in "A_9":
            if signature[at] != put:
                found.append(f"{stamp}.{signature[:at]}{put}{signature[at + 1 :]}")
    found += [f"{stamp}.{base64.urlsafe_b64encode(bytes(18)).decode()}", f"{stamp}.\ud7ff", "\u0660.\u0660" + signature]
    return [one for one in found if one != token]


@attack("tokens", "forged tokens: bits turned, cut, made up, of another call")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        given = _leaving(stage)
        other = await client.call_tool("drop_assignment", {"assignment": stage.assignment("not_started")})
        token = data(await client.call_tool("remove_group_members", given))["confirm_token"]
        for forged in _forgeries(token, data(other)["confirm_token"]):
            result = await client.call_tool("remove_group_members", {**given, "confirm_token": forged})
            tries.held(status(result) != "done" and not applied(stage), f"{forged[:40]}: {status(result)}")
        for changed in ({"members": stage.members(given["group"])[:3]}, {"group": _another(stage)}):
            result = await client.call_tool("remove_group_members", {**given, **changed, "confirm_token": token})
            tries.held(status(result) != "done" and not applied(stage), f"with {changed}: {status(result)}")
        tries.held(status(await client.call_tool("remove_group_members", {**given, "confirm_token": token})) == "done")


def _another(stage: Stage) -> str:
    return stage.one("SELECT public_id FROM groups WHERE source = 'plusplus' AND public_id != ?", stage.group())


REPLAYS: list[tuple[str, str]] = [
    ("drop_assignment", "UPDATE assignments SET state = 'not_started', dropped_at = NULL WHERE public_id = ?"),
    ("archive_content_items", "UPDATE content_items SET is_archived = 0 WHERE public_id = ?"),
    ("update_user", "UPDATE users SET role = 'user' WHERE email = ?"),
    ("remove_group_members", ""),
]


def _replayed(stage: Stage, tool: str) -> tuple[Json, str]:
    """Arguments, and the thing that somebody else puts back after the first time."""
    if tool == "drop_assignment":
        found = stage.assignment("not_started")
        return {"assignment": found}, found
    if tool == "archive_content_items":
        found = stage.item()
        return {"items": [found]}, found
    if tool == "update_user":
        return {"user": stage.person(), "role": "admin"}, stage.person()
    return _leaving(stage), stage.group()


@attack("tokens", "a used token once more, after somebody put everything back; also where the answer was lost")
async def _(tries: Tries) -> None:
    for tool, back in REPLAYS:
        for lost in (False, True):
            async with scene() as (stage, client):
                arguments, thing = _replayed(stage, tool)
                members = stage.members(stage.group())
                before = stage.snapshot()
                preview = await client.call_tool(tool, arguments)
                if lost:
                    stage.tenant.faults.script(["drop-after"] * 6, writes_only=True)
                first = await agree(client, tool, arguments, preview)
                stage.heal()
                stage.tenant.faults.script([])
                if back:
                    stage.change(back, thing)
                else:
                    stage.change(
                        "INSERT OR IGNORE INTO group_members SELECT g.id, u.id FROM groups g, users u WHERE g.public_id = ? "
                        f"AND u.email IN ({', '.join('?' * len(members))})",
                        thing,
                        *members,
                    )
                for table in ("users", "groups", "content_items", "assignments"):
                    _put_dates_back(stage, table, before)
                count = len(applied(stage))
                again = await agree(client, tool, arguments, preview)
                what = f"{tool}, answer {'lost' if lost else 'given'} ({status(first)}), then again: {status(again)}"
                tries.held(status(again) != "done" and len(applied(stage)) == count, what)


def _put_dates_back(stage: Stage, table: str, before: Json) -> None:
    """So that the state is, to the digit, what the preview showed."""
    for public_id, fields in before.get(table, {}).items():
        if "modified" in fields:
            stage.change(f"UPDATE {table} SET modified = ? WHERE public_id = ?", fields["modified"], public_id)


@attack("tokens", "a call that ended before its write: its token must still be good")
async def _(tries: Tries) -> None:
    for tool, _back in REPLAYS:
        async with scene() as (stage, client):
            arguments, _ = _replayed(stage, tool)
            preview = await client.call_tool(tool, arguments)
            stage.network.before = lambda request, _: httpx2.Response(403, json={}) if request.method == "GET" else None
            first = await agree(client, tool, arguments, preview)
            stage.network.before = lambda _request, _number: None
            second = await agree(client, tool, arguments, preview)
            tries.held(first.is_error and status(second) == "done", f"{tool}: {status(first)}, then {status(second)}")


@attack("tokens", "names that change hands between preview and confirmation")
async def _(tries: Tries) -> None:
    for count in (1, 2, 30):
        async with scene(people=120) as (stage, client):
            group = stage.group()
            stage.change(
                "INSERT OR IGNORE INTO group_members SELECT g.id, u.id FROM groups g, users u WHERE g.public_id = ? AND u.id < 90",
                group,
            )
            stage.change("UPDATE users SET name = 'Person ' || id, name_key = 'person ' || id")
            names = [f"Person {number}" for number in range(10, 10 + count)]
            arguments: Json = {"group": group, "members": names}
            preview = await client.call_tool("remove_group_members", arguments)
            # The last of them gives its name to somebody who was never shown.
            last, stranger = 9 + count, 80
            _rename(stage, last, "Somebody Else")
            _rename(stage, stranger, f"Person {last}")
            result = await agree(client, "remove_group_members", arguments, preview)
            inside = stage.one(
                "SELECT count(*) FROM group_members m JOIN groups g ON g.id = m.group_id WHERE public_id = ? AND user_id = ?",
                group,
                stranger,
            )
            tries.held(inside == 1, f"{count} names: somebody who was not shown was removed ({status(result)})")


def _rename(stage: Stage, number: int, name: str) -> None:
    stage.change("UPDATE users SET name = ?, name_key = ? WHERE id = ?", name, name.casefold(), number)


@attack("tokens", "a client that starts a process for every call: preview in one, confirmed in the next")
async def _(tries: Tries) -> None:
    async with api(*SMALL) as place:
        given: Json = {"assignment": place.one("SELECT public_id FROM assignments WHERE state = 'completed'")}
        async with stdio(place.settings) as first:
            preview = await first.ask("revert_completion", **given)
        token = preview.get("confirm_token")
        async with stdio({**place.settings, "PP_API_TOKEN": f"{DEMO_TOKEN}x"}) as stranger:
            refused = await stranger.ask("revert_completion", **given, confirm_token=token)
            tries.held(refused.get("status") != "done", "with another API token: done")
        async with stdio(place.settings) as second:
            done = await second.ask("revert_completion", **given, confirm_token=token)
        tries.held(done.get("status") == "done", f"in the second process: {done.get('status') or done}")


YES = ElicitResult(action="accept", content={"confirm": True})


@attack("tokens", "a question to the person: declined and then accepted, or an answer used twice")
async def _(tries: Tries) -> None:
    for first in (ElicitResult(action="decline"), ElicitResult(action="cancel"), YES):
        async with scene(confirm="elicit", client={"elicitation_callback": _nobody}) as (stage, client):
            target = stage.assignment("not_started")
            asked = await _answered(client, target, None, None)
            assert isinstance(asked, InputRequiredResult), asked
            state = asked.request_state
            await _answered(client, target, state, first)
            stage.change("UPDATE assignments SET state = 'not_started', dropped_at = NULL WHERE public_id = ?", target)
            count = len(applied(stage))
            with contextlib.suppress(MCPError):
                await _answered(client, target, state, YES)
            tries.held(len(applied(stage)) == count, f"after {first.action} the same question was answered again: done")


async def _nobody(*_: Any) -> ElicitResult:
    return ElicitResult(action="cancel")


async def _answered(client: Client, target: str, state: str | None, answer: ElicitResult | None) -> Any:
    more: Json = {"input_responses": {"confirm": answer}, "request_state": state} if answer else {}
    return await client.session.call_tool("drop_assignment", {"assignment": target}, allow_input_required=True, **more)


@attack("tokens", "an API that answers with another record than was asked for")
async def _(tries: Tries) -> None:
    for tool in ("get_user", "update_user", "drop_assignment", "get_assignment", "update_group"):
        async with scene() as (stage, client):
            targets: Json = {
                "user": stage.one("SELECT public_id FROM users WHERE role = 'user' ORDER BY id DESC"),
                "assignment": stage.assignment("not_started"),
                "group": stage.group(),
            }
            name = tool.partition("_")[2]
            given = {name: targets[name], **({"name": "New Name"} if tool.startswith("update") else {})}
            table = f"{name}s"
            other = stage.one(f"SELECT public_id FROM {table} WHERE public_id != ? ORDER BY id", targets[name])

            async def swapped(
                request: httpx2.Request, carry: Carry, public_id: str = targets[name], other: str = other
            ) -> httpx2.Response:
                url = httpx2.URL(str(request.url).replace(public_id, other)) if request.method == "GET" else request.url
                headers = dict(request.headers)
                return await carry(httpx2.Request(request.method, url, headers=headers, content=request.content))

            stage.network.between = swapped
            result = await do(client, tool, **given)
            tries.held(result.is_error and not applied(stage), f"{tool}: {status(result)}")


@attack("tokens", "the undo of a replaced membership takes back more than the call did")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        group = stage.group()
        before = stage.members(group)
        keep, new, late = before[:1], stage.strangers(group, 2), stage.strangers(group, 3)[2]
        given = {"group": group, "members": keep + new}
        done = await do(client, "replace_group_members", **given)
        assert status(done) == "done", text(done)
        await do(client, "add_group_members", group=group, members=[late])
        undo = data(done)["undo"]
        for step in undo if isinstance(undo, list) else [undo]:
            await do(client, step["tool"], **step["arguments"])
        now = stage.members(group)
        tries.held(late in now, "somebody who joined since was removed by the undo")
        tries.held(sorted(set(now) - {late}) == before, f"{now}, and not {before}")


@attack("tokens", "a token of another caller, tenant or key")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        given = _leaving(stage)
        token = data(await client.call_tool("remove_group_members", given))["confirm_token"]
        for server, name in (
            (make_server(stage.tenant), "somebody else"),
            (make_server(stage.tenant, key="another key that is of 40 letters as well"), "tests"),
            (make_server(stage.tenant, base_url="https://other.plusplus.app/public_api/v2"), "tests"),
        ):
            async with served(server, name=name) as other:
                result = await other.call_tool("remove_group_members", {**given, "confirm_token": token})
                tries.held(asks(result) and not applied(stage), f"{name}: {status(result)}")

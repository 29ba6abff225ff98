"""Section 7: what goes out, and what goes in."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path

import anyio
import httpx2
from mcp.types import TextResourceContents
from stage import Carry, Json

from .processes import META, api, process, stdio
from .scene import applied, asks, data, do, scene, status, text
from .tries import Tries, attack

LIMIT = 40_000
LONGEST_NAME = 200


def _names(value: object) -> list[str]:
    """Every name, title and label in an answer."""
    if isinstance(value, list):
        return [name for one in value for name in _names(one)]
    if not isinstance(value, dict):
        return []
    own = [
        str(one)
        for key, one in value.items()
        if key in ("name", "title", "label", "user", "item") and isinstance(one, str)
    ]
    return own + [name for one in value.values() for name in _names(one)]


@attack("text", "an answer of more than 40,000 characters, a name of more than one line or 200 characters")
async def _(tries: Tries) -> None:
    longest = 0
    async with scene(people=120) as (stage, client):
        for table in ("users", "groups", "content_items"):
            stage.change(f"UPDATE {table} SET name = printf('%d line one\nline two %.*c', id, 3000, 'x')")
        stage.change("UPDATE content_items SET description = printf('%.*c', 300000, 'd')")

        async def fat(request: httpx2.Request, carry: Carry) -> httpx2.Response:
            """A hundred fields more in every record."""
            answer = await carry(request)
            try:
                body = json.loads(await answer.aread())
            except ValueError:
                return answer
            more = {f"custom_{number}": "y" * 2_000 for number in range(100)}
            if isinstance(body, dict) and "public_id" in body:
                body |= more
            return httpx2.Response(answer.status_code, json=body)

        stage.network.between = fat
        person, item = stage.one("SELECT public_id FROM users"), stage.item()
        calls: list[tuple[str, Json]] = [
            ("get_user", {"user": person}),
            ("get_group", {"group": stage.group()}),
            ("get_content_item", {"content_item": item}),
            ("get_assignment", {"assignment": stage.assignment("not_started")}),
            *(
                (tool, {"page_size": 100, "detail": "full"})
                for tool in ("list_users", "search_content", "list_assignments")
            ),
            ("list_groups", {"page_size": 100}),
            ("list_group_members", {"group": stage.group(), "page_size": 100}),
            ("report_assignments", {"group_by": ["user"], "top": 100}),
            ("report_content", {"top": 100}),
            ("get_learner_summary", {"user": person}),
            ("update_user", {"user": person, "role": "admin"}),
            ("remove_group_members", {"group": stage.group(), "members": stage.members(stage.group())}),
            (
                "bulk_assign_content",
                {"content_item": item, "users": stage.column("SELECT public_id FROM users LIMIT 100")},
            ),
            ("get_user", {"user": "line one"}),
        ]
        for tool, given in calls:
            result = await client.call_tool(tool, given)
            size = max(len(text(result)), len(json.dumps(data(result), ensure_ascii=False, separators=(",", ":"))))
            longest = max(longest, size)
            tries.held(size <= LIMIT, f"{tool}: {size:,} characters")
            wrong = [one for one in _names(data(result)) if len(one) > LONGEST_NAME or "\n" in one]
            if not tool.startswith("get_"):
                tries.held(
                    not wrong, f"{tool}: a name of {max(map(len, wrong), default=0):,} characters or of two lines"
                )
    tries.figure = f"{longest:,} characters at most"


HIDDEN = (
    *("\u202e", "\u202d", "\u2066", "\u2069", "\u200e", "\u200b", "\u2060", "\ufeff", "\u00ad"),
    *("\U000e0041", "\U000e0001", "\x00", "\x07", "\x1b[31m", "\x85", "\u2028", "\u180e", "\u115f", "\u3164"),
)
FINE = ("नमस्ते क्‍ष", "می‌خواهم", "👩‍👩‍👧 family", "Ünïcode 李", "O’Brien-Smith", "Zoë & Søn")


@attack("text", "text written to the tenant that hides something: bidi, zero-width, tag and control characters")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        targets = {"user": stage.person(), "group": stage.group(), "assignment": stage.assignment("not_started")}
        for hidden in HIDDEN:
            name = f"Night{hidden}Shift"
            for tool, given in (
                ("create_group", {"name": name}),
                ("update_group", {"group": targets["group"], "name": name}),
                ("create_user", {"email": "ada.new@acme.example", "name": name}),
                ("update_user", {"user": targets["user"], "name": name}),
                ("create_article", {"name": name}),
                ("drop_assignment", {"assignment": targets["assignment"], "reason": name}),
                ("create_user", {"email": f"ada{hidden}new@acme.example", "name": "Ada New"}),
            ):
                result = await do(client, tool, **given)
                tries.held(result.is_error and not applied(stage), f"{hidden!r} in {tool}: {status(result)}")
                stage.tenant.requests.clear()
        for name in FINE:
            result = await do(client, "create_group", name=name)
            tries.held(status(result) == "done", f"{name!r}, which is fine: {text(result)[:100]}")
        given = {"assignment": targets["assignment"], "reason": "moved teams\nand left"}
        result = await do(client, "drop_assignment", **given)
        tries.held(status(result) == "done", f"a reason of two lines, which is fine: {text(result)[:100]}")


@attack("text", "an address or a name that mixes Latin with Cyrillic or Greek look-alikes, unasked")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        for email, name in (
            ("\u0430dmin@acme.example", "Ada New"),
            ("admin@\u0430cme.example", "Ada New"),
            ("ada.new@acme.example", "M\u0430rgaret Osei"),
            ("ada.new@acme.example", "Margaret \u039fsei"),
        ):
            result = await client.call_tool("create_user", {"email": email, "name": name})
            tries.held((asks(result) or result.is_error) and not applied(stage), f"{email}, {name}: {status(result)}")
        for name in ("Мария Иванова", "Ελένη Smith"):
            address = f"new{len(name)}@acme.example"
            result = await do(client, "create_user", email=address, name=name)
            tries.held(status(result) == "done", f"{name}, which is fine: {text(result)[:100]}")


FORMULAS = (
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠x",
    "﹢1",
    "﹣1",
    "−1",
    "x;=1+1",
    "x\t=cmd",
    'x";"=1',
    "x, =1",
    " =1",
)
STARTS = "=+-@＝＋－＠﹢﹣﹦﹫−"


@attack("text", "a CSV cell that a spreadsheet runs, with comma, semicolon or tab as separator")
async def _(tries: Tries) -> None:
    for formula in FORMULAS:
        async with scene() as (stage, client):
            stage.change("UPDATE users SET name = ? WHERE id < 9", formula)
            stage.change("UPDATE content_items SET name = ?", formula)
            for path in (
                "plusplus://lists/users.csv",
                "plusplus://lists/assignments.csv",
                "plusplus://reports/content.csv",
            ):
                content = (await client.read_resource(path)).contents[0]
                assert isinstance(content, TextResourceContents)
                for separator in (",", ";", "\t"):
                    rows = csv.reader(io.StringIO(content.text), delimiter=separator)
                    run = [
                        cell for row in rows for cell in row if cell.lstrip(' \t\r\n"')[:1] in STARTS and cell.strip()
                    ]
                    tries.held(not run, f"{formula!r} in {path}, separated by {separator!r}: {run[:1]}")


@attack("text", "a pasted URL of another host, another tenant or another kind of thing")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        person, group = stage.one("SELECT public_id FROM users"), stage.group()
        for url in (
            f"https://evil.example/users/{person}",
            f"https://other.plusplus.app/users/{person}",
            f"https://demo.plusplus.app.evil.example/users/{person}",
            f"https://demo.plusplus.app@evil.example/users/{person}",
            f"https://evil.example#@demo.plusplus.app/users/{person}",
            f"https://demo.plusplus.app/groups/{person}",
            f"http://127.0.0.1/users/{person}",
        ):
            result = await client.call_tool("get_user", {"user": url})
            tries.held(result.is_error, f"{url}: {status(result)}")
        for tool, given in (
            ("get_user", {"user": f"https://demo.plusplus.app/users/{person}"}),
            ("get_group", {"group": f"https://demo.plusplus.app/groups/{group}"}),
        ):
            result = await client.call_tool(tool, given)
            tries.held(not result.is_error, f"its own URL: {text(result)[:100]}")


@attack("text", "the secret of a new API token in the answer, or in a folder where an assistant may read it")
async def _(tries: Tries) -> None:
    with tempfile.TemporaryDirectory() as name:
        home, work = Path(name, "home"), Path(name, "work")
        home.mkdir()
        work.mkdir()
        async with api("--people", "40", "--assignments", "100") as place:
            settings = {
                **place.settings,
                "PP_TOOLSETS": "all",
                "HOME": str(home),
                "XDG_STATE_HOME": str(home / "state"),
            }
            async with stdio(settings, cwd=work) as server:
                preview = await server.ask("create_api_token", name="nightly job")
                done = await server.ask(
                    "create_api_token", name="nightly job", confirm_token=preview.get("confirm_token")
                )
        tries.held(done.get("status") == "done", str(done)[:200])
        tries.held(not list(work.iterdir()), f"in the working directory: {[one.name for one in work.iterdir()]}")
        files = [one for one in home.rglob("*") if one.is_file()]
        tries.held(len(files) == 1, f"{len(files)} files in the private folder")
        for file in files:
            tries.held(file.stat().st_mode & 0o077 == 0, f"mode {file.stat().st_mode & 0o777:o}")
            tries.held(
                file.parent.stat().st_mode & 0o077 == 0, f"its folder: mode {file.parent.stat().st_mode & 0o777:o}"
            )
            secret = file.read_text(encoding="utf-8").split()[-1]
            tries.held(secret not in json.dumps(done), "the secret is in the answer")


@attack("text", "a client that stops reading: the server ends quietly")
async def _(tries: Tries) -> None:
    for lines in (1, 40):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "stderr")
            reading, writing = os.pipe()
            with log.open("wb") as file:
                demo = ("serve", "--demo", "--people", "40", "--assignments", "100")
                async with process(*demo, settings={}, log=file, stdout=writing) as server:
                    os.close(writing)
                    os.close(reading)
                    assert server.stdin is not None
                    for number in range(lines):
                        params = {"name": "list_users", "arguments": {}, "_meta": META}
                        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
                        await server.stdin.send(json.dumps(message).encode() + b"\n")
                    with anyio.move_on_after(12):
                        await server.wait()
                    tries.held(server.returncode is not None, f"after {lines} calls: it goes on")
            said = log.read_text(encoding="utf-8")
            tries.held("Traceback" not in said and "Exception" not in said, f"after {lines} calls: {said[-200:]}")

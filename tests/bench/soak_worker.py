"""One assistant of the soak: what it does, and how each of its answers is held against the tenant's database."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mcp import Client
from mcp.types import CallToolResult

Json = dict[str, Any]
Look = Callable[[], dict[str, Any]]

_THEIRS = "FROM assignments a JOIN users u ON u.id = a.user_id WHERE u.public_id = ?"


@dataclass
class Tally:
    """What a soak saw."""

    calls: Counter[str] = field(default_factory=Counter[str])
    ended: Counter[str] = field(default_factory=Counter[str])
    checked: int = 0
    wrong: list[str] = field(default_factory=list[str])
    figures: dict[str, str] = field(default_factory=dict[str, str])

    def table(self) -> str:
        """The figures, a line each."""
        lines = [f"{name:28} {value}" for name, value in self.figures.items()]
        lines += [f"  {name:26} {count:,}" for name, count in self.ended.most_common()]
        return "\n".join([*lines, *(f"BROKEN: {one}" for one in self.wrong[:20])])


class Database:
    """The tenant's database, read past the API."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def column(self, query: str, *values: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self._connection.execute(query, values)]

    def pairs(self, query: str, *values: Any) -> dict[str, Any]:
        """The first column of all rows, and what the second one is for each."""
        return {str(row[0]): row[1] for row in self._connection.execute(query, values)}


class Worker:
    """Works on people, assignments, a group and content items that are nobody else's, so that what it reads back from
    the database is its own doing."""

    def __init__(self, number: int, client: Client, database: Database, tally: Tally) -> None:
        self._client, self._database, self._tally = client, database, tally
        self._chance = random.Random(number)
        column = database.column
        self._users = column("SELECT public_id FROM users WHERE is_active ORDER BY id LIMIT 12 OFFSET ?", 12 * number)
        self._mine = ", ".join("?" * len(self._users))
        self._group = column("SELECT public_id FROM groups ORDER BY id LIMIT 1 OFFSET ?", number)[0]
        plain = "content_type NOT IN ('event', 'event_type', 'scheduled_track')"
        self._items = column(
            f"SELECT public_id FROM content_items WHERE {plain} ORDER BY id LIMIT 4 OFFSET ?", 4 * number
        )
        loose = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
        alone = (
            "NOT EXISTS (SELECT 1 FROM assignments b WHERE b.id != a.id AND b.user_id = a.user_id AND "
            "b.content_item_id = a.content_item_id)"
        )
        mine = column(
            f"SELECT public_id FROM assignments a WHERE state = 'not_started' AND {loose} AND {alone} AND user_id IN "
            f"(SELECT id FROM users WHERE public_id IN ({self._mine})) AND content_item_id != "
            "(SELECT id FROM content_items WHERE public_id = ?) ORDER BY id LIMIT 16",
            *self._users,
            self._items[3],
        )
        self._dated, self._stepped = mine[: len(mine) // 2], mine[len(mine) // 2 :]
        self._acts: list[Callable[[], Awaitable[None]]] = [
            *[self._plate, self._report, self._members, self._page, self._unclear, self._tokens] * 2,
            *[self._rename, self._step, self._extend, self._join, self._leave, self._archive, self._hand_out],
        ]

    async def work(self, until: float) -> None:
        """Does one thing after the other until the time (monotonic) is up."""
        while time.monotonic() < until:
            await self._chance.choice(self._acts)()

    async def _call(self, tool: str, **arguments: Any) -> tuple[Json, bool]:
        """What a tool answers, and whether that is an error, which must be a clean one."""
        result: CallToolResult = await self._client.call_tool(tool, arguments)
        data = cast("Json", result.structured_content or {})
        text = "".join(block.text for block in result.content if block.type == "text")
        if result.is_error:
            code = re.search(r"\(code ([^;)]+)", text)
            data = {"code": code[1] if code else None, "message": text.partition("\n")[0]}
        self._tally.calls[tool] += 1
        self._tally.ended[str(data.get("code") if result.is_error else data.get("status") or "read")] += 1
        if result.is_error and (data.get("code") in (None, "internal_error") or not data.get("message")):
            self._tally.wrong.append(f"{tool}: no clean error: {data}")
        return data, result.is_error is True

    def _expect(self, what: str, found: object, wanted: object) -> None:
        self._tally.checked += 1
        if found != wanted:
            self._tally.wrong.append(f"{what}: {found!r}, and not {wanted!r}")

    async def _write(self, tool: str, look: Look, wanted: Mapping[str, Any], **arguments: Any) -> Json | None:
        """Calls, confirms where it previews, and holds the end against the database; the answer if it was done."""
        before = look()
        answer, failed = await self._call(tool, **arguments)
        if not failed and answer["status"] == "confirmation_required":
            self._expect(f"{tool}: previewed", look(), before)
            if self._chance.random() < 0.2:
                return None
            flags = dict.fromkeys(answer.get("needs", []), True)
            answer, failed = await self._call(tool, **arguments, **flags, confirm_token=answer["confirm_token"])
        after = look()
        ended = answer.get("status", answer.get("code"))
        what = f"{tool} ended as {ended}"
        if ended == "done":
            self._expect(what, after, dict(wanted))
        elif ended == "partial" or "may have happened or not" in answer.get("message", ""):
            strange = {key: value for key, value in after.items() if value not in (before.get(key), wanted.get(key))}
            self._expect(what, strange, {})
        else:
            self._expect(what, after, before)
        return answer if ended == "done" else None

    async def _maybe_undo(self, answer: Json | None, look: Look, former: Mapping[str, Any]) -> None:
        if answer and answer.get("undo") and self._chance.random() < 0.5:
            await self._write(answer["undo"]["tool"], look, former, **answer["undo"]["arguments"])

    # --- reads ----------------------------------------------------------------------------------------------------

    async def _plate(self) -> None:
        user = self._chance.choice(self._users)
        answer, failed = await self._call("get_learner_summary", user=user)
        if not failed and answer["coverage"]["complete"]:
            there = self._database.column(f"SELECT count(*) {_THEIRS}", user)[0]
            self._expect(f"assignments of {user}", answer["totals"]["total"], there)

    async def _report(self) -> None:
        """Of the own people, whose assignments nobody else makes or ends."""
        user = self._chance.choice(self._users)
        answer, failed = await self._call("report_assignments", user=user, group_by=["state"])
        if not failed and answer["coverage"]["complete"]:
            query = f"SELECT state, count(*) {_THEIRS} GROUP BY 1"
            counted = {row["state"]: row["total"] for row in answer["rows"]}
            self._expect(f"states of {user}", counted, self._database.pairs(query, user))

    async def _members(self) -> None:
        answer, failed = await self._call("list_group_members", group=self._group, page_size=100)
        if not failed:
            self._expect("members", {row["public_id"] for row in answer["items"]}, set(self._roster()))

    async def _page(self) -> None:
        answer, failed = await self._call("list_users", page_size=5, page=self._chance.randint(1, 9))
        if not failed:
            self._expect("people", answer["total_count"], self._database.column("SELECT count(*) FROM users")[0])

    async def _unclear(self) -> None:
        answer, failed = await self._call("get_user", user=f"Nobody {self._chance.random()}")
        if not failed:
            self._tally.wrong.append(f"somebody was found who is not there: {answer}")

    async def _tokens(self) -> None:
        """A token made up, and one of another call: neither may do anything."""
        target = {"assignment": self._chance.choice(self._stepped)}
        query = "SELECT public_id, state FROM assignments WHERE public_id = ?"
        before = self._database.pairs(query, target["assignment"])
        other, failed = await self._call("remove_group_members", group=self._group, members=self._users)
        token = "7b053f6f.AAAAAAAAAAAAAAAAAAAAAAAA" if failed else other.get("confirm_token", "7b053f6f.AAAA")
        answer, _ = await self._call("drop_assignment", **target, confirm_token=token)
        self._expect("dropped by a wrong token", answer.get("status") in ("done", "partial"), False)
        self._expect("state after a wrong token", self._database.pairs(query, target["assignment"]), before)

    # --- writes ---------------------------------------------------------------------------------------------------

    async def _rename(self) -> None:
        user, name = self._chance.choice(self._users), f"Name {self._chance.randrange(10**9)}"

        def look() -> dict[str, Any]:
            return self._database.pairs("SELECT public_id, name FROM users WHERE public_id = ?", user)

        former = look()
        answer = await self._write("update_user", look, {user: name}, user=user, name=name)
        await self._maybe_undo(answer, look, former)

    async def _step(self) -> None:
        target = self._chance.choice(self._stepped)

        def look() -> dict[str, Any]:
            return self._database.pairs("SELECT public_id, state FROM assignments WHERE public_id = ?", target)

        steps = {"completed": "revert_completion", "exempted": "revert_exemption"}
        tool = steps.get(look()[target]) or self._chance.choice(["complete_assignment", "exempt_assignment"])
        wanted = {"complete_assignment": "completed", "exempt_assignment": "exempted"}.get(tool, "not_started")
        await self._write(tool, look, {target: wanted}, assignment=target)

    async def _extend(self) -> None:
        due = f"2031-{self._chance.randrange(1, 13):02}-{self._chance.randrange(1, 29):02}"
        given: Json = {"action": "set_due_date", "assignments": self._dated, "due_date": due}
        marks = ", ".join("?" * len(self._dated))

        def look() -> dict[str, Any]:
            query = f"SELECT public_id, due_date FROM assignments WHERE public_id IN ({marks})"
            return self._database.pairs(query, *self._dated)

        former = look()
        answer = await self._write("bulk_update_assignments", look, dict.fromkeys(self._dated, due), **given)
        await self._maybe_undo(answer, look, former)

    def _roster(self) -> dict[str, Any]:
        query = (
            "SELECT u.public_id, 1 FROM group_members m JOIN groups g ON g.id = m.group_id "
            "JOIN users u ON u.id = m.user_id WHERE g.public_id = ?"
        )
        return self._database.pairs(query, self._group)

    async def _join(self) -> None:
        new = self._chance.sample(self._users, 4)
        former = self._roster()
        given: Json = {"group": self._group, "members": new}
        answer = await self._write("add_group_members", self._roster, former | dict.fromkeys(new, 1), **given)
        await self._maybe_undo(answer, self._roster, former)

    async def _leave(self) -> None:
        gone = self._chance.sample(self._users, 4)
        former = self._roster()
        wanted = {key: 1 for key in former if key not in gone}
        given: Json = {"group": self._group, "members": gone}
        answer = await self._write("remove_group_members", self._roster, wanted, **given)
        await self._maybe_undo(answer, self._roster, former)

    async def _archive(self) -> None:
        chosen = self._chance.sample(self._items[:3], 2)
        away = self._chance.random() < 0.5
        marks = ", ".join("?" * len(chosen))

        def look() -> dict[str, Any]:
            query = f"SELECT public_id, is_archived FROM content_items WHERE public_id IN ({marks})"
            return self._database.pairs(query, *chosen)

        former = look()
        tool = "archive_content_items" if away else "unarchive_content_items"
        answer = await self._write(tool, look, dict.fromkeys(chosen, int(away)), items=chosen)
        await self._maybe_undo(answer, look, former)

    async def _hand_out(self) -> None:
        """Assigns the own item to the own people, then drops what they have of it."""
        item = self._items[3]
        theirs = (
            "FROM users u JOIN assignments a ON a.user_id = u.id JOIN content_items c ON c.id = a.content_item_id "
            f"WHERE c.public_id = ? AND a.state IN ('not_started', 'in_progress') AND u.public_id IN ({self._mine})"
        )

        def look() -> dict[str, Any]:
            return self._database.pairs(f"SELECT u.public_id, count(*) {theirs} GROUP BY 1", item, *self._users)

        given: Json = {"content_item": item, "users": self._users, "reassign": True}
        await self._write("bulk_assign_content", look, look() | dict.fromkeys(self._users, 1), **given)
        if made := self._database.column(f"SELECT a.public_id {theirs}", item, *self._users):
            await self._write("bulk_update_assignments", look, {}, action="drop", assignments=made)

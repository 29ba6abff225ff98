"""Kill -9 in the middle of a bulk action, then the same again: the wanted end, nothing twice. Real processes, real time."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEY = "a key that all processes of a test share"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "killer", "version": "1"},
}
SMALL = ("--people", "60", "--assignments", "150")
SLOW = ("--fault", "latency=0.05")
DONE_BEFORE_THE_KILL = 12


@contextmanager
def running(*arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PP_")}
    env = {**kept, "PYTHONPATH": str(ROOT), "PP_SECRET_KEY": KEY, **settings}
    command, pipe = [sys.executable, "-m", "pp_mcp", *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


class Assistant:
    """Speaks raw MCP with one server process over its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self._number = process, 0
        # Nobody reads what it logs, and a full pipe would stop it.
        threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()

    def begin(self, tool: str, **arguments: Any) -> int:
        assert self.process.stdin is not None
        self._number += 1
        meta = {**META, "progressToken": self._number}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        return self._number

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        number = self.begin(tool, **arguments)
        found = next(message for message in self.messages() if message.get("id") == number)
        assert not found["result"].get("isError"), found
        return found["result"]["structuredContent"]

    def kill_in_the_middle(self, tool: str, **arguments: Any) -> None:
        """Begins a call, and kills the process when it has done some of it; the answer must not have come."""
        number = self.begin(tool, **arguments)
        for message in self.messages():
            assert message.get("id") != number, "it was over before the kill"
            if changed(message) >= DONE_BEFORE_THE_KILL:
                break
        self.process.kill()
        assert self.process.wait() == -9


def changed(message: dict[str, Any]) -> int:
    """How many items a progress message says are done."""
    said = re.match(r"changing ([\d,]+) of", message.get("params", {}).get("message", ""))
    return int(said[1].replace(",", "")) if said else 0


def column(db: Path, query: str, *params: Any) -> list[Any]:
    with sqlite3.connect(db) as connection:
        found = [row[0] for row in connection.execute(query, params)]
    connection.close()
    return found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    """The demo tenant's API as a process of its own: the settings that lead to it, and its database."""
    db = tmp_path_factory.mktemp("tenant") / "tenant.db"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with running("demo", "--api", "--port", port, "--demo-db", str(db), *SMALL, *SLOW) as process:
        assert process.stderr is not None
        token = ""
        for line in process.stderr:
            token = token or line.decode().partition("PP_API_TOKEN=")[2].strip()
            if b"Uvicorn running" in line:
                break
        threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
        yield {"PP_BASE_URL": f"http://127.0.0.1:{port}/public_api/v2", "PP_API_TOKEN": token}, db


ITEM = (
    "SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' AND id NOT IN "
    "(SELECT content_item_id FROM assignments WHERE state IN ('not_started', 'in_progress')) ORDER BY id LIMIT 1"
)
STATES = "SELECT state FROM assignments a JOIN content_items c ON c.id = a.content_item_id WHERE c.public_id = ?"


def test_many_assigned_and_then_completed_through_two_killed_servers(api: tuple[dict[str, str], Path]) -> None:
    settings, db = api
    people = column(db, "SELECT email FROM users WHERE is_active")
    item = column(db, ITEM)[0]
    before = Counter(column(db, STATES, item))
    assign = {"content_item": item, "users": people, "reassign": True}
    complete = {"action": "complete", "content_item": item, "state": "not_started"}

    with running("serve", **settings) as process:
        first = Assistant(process)
        token = first.ask("bulk_assign_content", **assign)["confirm_token"]
        first.kill_in_the_middle("bulk_assign_content", **assign, confirm_token=token)
    done = Counter(column(db, STATES, item))["not_started"]
    assert DONE_BEFORE_THE_KILL <= done < len(people)

    with running("serve", **settings) as process:
        second = Assistant(process)
        # The token showed more people than are left: it is not good for the rest.
        again = second.ask("bulk_assign_content", **assign, confirm_token=token)
        assert again["status"] == "confirmation_required"
        rest = second.ask("bulk_assign_content", **assign, confirm_token=again["confirm_token"])
        assert rest["status"] == "done"
        assert done <= len(people) - rest["succeeded"] <= done + 8, "only what was under way can have come on top"
        assert Counter(column(db, STATES, item)) == before + Counter({"not_started": len(people)})
        assert second.ask("bulk_assign_content", **assign)["status"] == "unchanged"
        token = second.ask("bulk_update_assignments", **complete)["confirm_token"]
        second.kill_in_the_middle("bulk_update_assignments", **complete, confirm_token=token)

    with running("serve", **settings) as process:
        third = Assistant(process)
        preview = third.ask("bulk_update_assignments", **complete)
        rest = third.ask("bulk_update_assignments", **complete, confirm_token=preview["confirm_token"])
        assert (rest["status"], rest["failed"], rest["unknown"]) == ("done", 0, 0)
        assert rest["succeeded"] <= len(people) - DONE_BEFORE_THE_KILL
        assert third.ask("bulk_update_assignments", **complete)["status"] == "unchanged"
    assert Counter(column(db, STATES, item)) == before + Counter({"completed": len(people)})


def test_a_server_told_to_stop_ends_what_is_under_way_and_answers(
    api: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    settings, db = api
    log = tmp_path / "audit.jsonl"
    people = column(db, "SELECT email FROM users WHERE is_active")
    item = column(db, ITEM)[0]
    before = Counter(column(db, STATES, item))
    assign = {"content_item": [item], "users": people, "reassign": True}
    with running("serve", **settings, PP_AUDIT_LOG=str(log)) as process:
        assistant = Assistant(process)
        token = assistant.ask("bulk_assign_content", **assign)["confirm_token"]
        number = assistant.begin("bulk_assign_content", **assign, confirm_token=token)
        answer: dict[str, Any] = {}
        is_told = False
        for message in assistant.messages():
            if changed(message) >= DONE_BEFORE_THE_KILL and not is_told:
                process.send_signal(signal.SIGTERM)
                is_told = True
            if message.get("id") == number:
                answer = message["result"]["structuredContent"]
        assert process.wait() == 0
    done = Counter(column(db, STATES, item)) - before
    assert answer["status"] == "partial"
    assert DONE_BEFORE_THE_KILL <= answer["succeeded"] == done["not_started"] <= DONE_BEFORE_THE_KILL + 16
    assert answer["succeeded"] + answer["not_sent"] == len(people)
    assert "stopping" in answer["summary"]
    (outcome,) = (line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "outcome")
    assert len(outcome["items"]) == answer["succeeded"]


def test_a_demo_tenant_in_the_killed_process_itself_stays_sound(tmp_path: Path) -> None:
    db = tmp_path / "tenant.db"
    serve = ("serve", "--demo", "--demo-db", str(db), *SMALL)
    with running(*serve, *SLOW) as process:
        first = Assistant(process)
        assert first.ask("list_users", page_size=1)["total_count"] == 60
        item = column(db, ITEM)[0]
        people = column(db, "SELECT email FROM users WHERE is_active")
        assign = {"content_item": item, "users": people, "reassign": True}
        before = len(column(db, STATES, item))
        token = first.ask("bulk_assign_content", **assign)["confirm_token"]
        first.kill_in_the_middle("bulk_assign_content", **assign, confirm_token=token)
    with running(*serve) as process:
        second = Assistant(process)
        preview = second.ask("bulk_assign_content", **assign)
        rest = second.ask("bulk_assign_content", **assign, confirm_token=preview["confirm_token"])
        assert rest["status"] == "done"
        assert rest["succeeded"] <= len(people) - DONE_BEFORE_THE_KILL
    assert len(column(db, STATES, item)) == before + len(people)
    assert column(db, "PRAGMA integrity_check") == ["ok"]

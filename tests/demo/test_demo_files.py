"""A tenant in a file, and one on a port."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from pp_mcp.demo import Faults, Sizes, Tenant, serve

from .conftest import SMALL, Client, Clock

pytestmark = pytest.mark.anyio


async def test_a_file_keeps_its_state(tmp_path: Path, make: Callable[..., Tenant], clock: Clock) -> None:
    path = tmp_path / "tenant.db"
    first = make(db=path, seed=3)
    async with Client(first) as client:
        made = (await client.post("/groups", json={"name": "Kept"})).json()
        token = (await client.post("/auth/tokens", json={"name": "Kept"})).json()["token"]
        overdue = (await client.get("/assignments?is_overdue=true")).json()["meta"]["total_count"]
    before = first.snapshot()
    first.close()
    clock.pass_(days=30)
    again = make(db=str(path), sizes=Sizes(people=5), seed=9, ids="ulid")
    assert again.snapshot() == before
    async with Client(again, token) as client:
        assert (await client.get(f"/groups/{made['public_id']}")).json() == made
        assert (await client.get("/assignments?is_overdue=true")).json()["meta"]["total_count"] > overdue
        other = (await client.post("/groups", json={"name": "Later"})).json()
        assert len(other["public_id"]) == 36
        assert other["public_id"] not in before["groups"]
    facts = dict(tuple(row) for row in again.connection.execute("SELECT key, value FROM meta"))
    assert facts == {
        "version": "1",
        "seed": "3",
        "ids": "uuid",
        "opened": "2",
        "seeded_on": "2026-03-10",
        "people": "60",
        "groups": "12",
        "content_items": "60",
        "assignments": "500",
        "enrollments": "80",
    }


async def test_another_process_may_write_to_the_file(tmp_path: Path, make: Callable[..., Tenant]) -> None:
    tenant = make(db=tmp_path / "tenant.db")
    async with Client(tenant) as client:
        assert (await client.get("/groups")).json()["meta"]["total_count"] == 12
        other = sqlite3.connect(tmp_path / "tenant.db")
        with other:
            other.execute("DELETE FROM groups WHERE id = 1")
        other.close()
        assert (await client.get("/groups")).json()["meta"]["total_count"] == 11


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tenant.db"
    tenant = Tenant(db=path, sizes=SMALL)
    tenant.connection.execute("UPDATE meta SET value = '0' WHERE key = 'version'")
    tenant.close()
    with pytest.raises(ValueError, match="another version"):
        Tenant(db=path)


def test_a_failed_seed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tenant.db"
    monkeypatch.setattr("pp_mcp.demo.schema.INDEXES", "SELECT broken;")
    with pytest.raises(sqlite3.OperationalError):
        Tenant(db=path, sizes=SMALL)
    monkeypatch.undo()
    tenant = Tenant(db=path, sizes=SMALL)
    assert tenant.connection.execute("SELECT count(*) FROM users").fetchone()[0] == 60
    tenant.close()


def test_snapshots_hold_no_points_in_time(tenant: Tenant) -> None:
    state = tenant.snapshot()
    assert set(state) == {"users", "groups", "content_items", "assignments", "enrollments", "tokens"}
    for table in state.values():
        for row in table.values():
            assert not any(name.endswith(("_at", "_datetime")) or name in ("created", "modified") for name in row)
    assert any("due_date" in row for row in state["assignments"].values())
    assert sum(len(row["members"]) for row in state["groups"].values()) > 12


@pytest.fixture
def served() -> Iterator[tuple[Tenant, str]]:
    # On its own clock: the server works in a thread of its own.
    tenant = Tenant(sizes=SMALL)
    server = serve.server(tenant, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield tenant, f"http://127.0.0.1:{port}/public_api/v2"
    server.should_exit = True
    thread.join(10)
    tenant.close()


def test_over_a_network(served: tuple[Tenant, str], capfd: pytest.CaptureFixture[str]) -> None:
    tenant, url = served
    group = {"name": "Over the wire"}

    def made() -> int:
        return tenant.connection.execute("SELECT count(*) FROM groups WHERE name = 'Over the wire'").fetchone()[0]

    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {tenant.token}"}, timeout=10) as client:
        assert client.get("/users").json()["meta"]["total_count"] == 60
        assert client.head("/users").status_code == 405
        tenant.faults = Faults(drop_before=1.0)
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post("/groups", json=group)
        assert made() == 0
        tenant.faults = Faults(drop_after=1.0)
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post("/groups", json=group)
        assert made() == 1
        tenant.faults = Faults(truncate=1.0)
        with pytest.raises(ValueError, match="line"):
            client.post("/groups", json=group).json()
        tenant.faults = Faults()
        item = tenant.connection.execute("SELECT public_id FROM content_items").fetchone()[0]
        assert client.delete(f"/content-items/{item}").status_code == 204
        assert client.request("DELETE", "/groups/x/members", json={"member_ids": []}).status_code == 422
        assignment = client.get("/assignments?page_size=1").json()["data"][0]["public_id"]
        etag = client.get(f"/assignments/{assignment}").headers["ETag"]
        assert client.get(f"/assignments/{assignment}", headers={"If-None-Match": etag}).status_code == 304
    written = capfd.readouterr()
    assert written.out == ""
    assert "Traceback" not in written.err


def test_run_serves_until_interrupted(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    ran: list[tuple[str, int]] = []

    def run(self: uvicorn.Server) -> None:
        ran.append((self.config.host, self.config.port))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    serve.run(tenant, "127.0.0.1", 8123)
    assert ran == [("127.0.0.1", 8123)]


def test_other_errors_stay_in_the_log() -> None:
    record = logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "message", (), None)
    assert serve.HideDrops().filter(record)
    record.exc_info = (ValueError, ValueError("real"), None)
    assert serve.HideDrops().filter(record)

"""What the audit log records, and that nothing is changed that it cannot record."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitResult
from stage import WAYS, Stage, Way, ask, confirmed, connected, refused

from pp_mcp.audit import AuditLog, verify
from pp_mcp.demo import Tenant
from pp_mcp.errors import Refused

pytestmark = pytest.mark.anyio


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_confirmed_write_is_previewed_intended_and_done(
    way: Way, tenant: Tenant, stage: Stage, log: Path
) -> None:
    target = stage.assignment("in_progress")
    async with connected(tenant, way, name="Claude", audit_log=str(log)) as client:
        await confirmed(client, "drop_assignment", assignment=target, reason="she left the company")
    preview, intended, outcome = lines(log)
    assert [preview["event"], intended["event"], outcome["event"]] == ["preview", "intended", "outcome"]
    assert intended["call"] == outcome["call"] != preview["call"]
    assert intended["consent"] == "token"
    assert intended["before"][0] == "in_progress"
    assert outcome["changes"] == {"state": ["in_progress", "dropped"]}
    assert outcome["outcome"] == "done"
    assert outcome["request_ids"]
    for line in (preview, intended, outcome):
        assert line["tool"] == "drop_assignment"
        assert line["target"]["public_id"] == target
        assert line["caller"]["client"] == "Claude"
        assert line["tenant"] == tenant.base_url
        assert line["time"].endswith("Z")
    text = log.read_text()
    assert "she left" not in text
    assert intended["arguments"]["confirm_token"] == "(secret)"
    assert intended["arguments"]["reason"] == "(20 characters)"
    assert tenant.token not in text
    assert verify(log)[2] == []


async def test_reads_are_not_recorded(tenant: Tenant, stage: Stage, log: Path) -> None:
    async with connected(tenant, audit_log=str(log)) as client:
        await ask(client, "get_user", user=stage.person())
        await ask(client, "report_assignments")
    assert log.read_text() == ""


async def test_the_file_is_its_owners_only(tenant: Tenant, log: Path) -> None:
    async with connected(tenant, audit_log=str(log)):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_what_was_resolved_and_what_was_refused(tenant: Tenant, stage: Stage, log: Path) -> None:
    async with connected(tenant, audit_log=str(log)) as client:
        person = stage.person()
        await ask(client, "update_user", user=person, name="Another Name")
        await ask(client, "update_user", user=person, name="Another Name")
        await refused(client, "update_user", user="nobody@acme.example", name="X")
        await refused(client, "update_user", user=person, nmae="X")
    intended, outcome, unchanged, unknown, misspelt = lines(log)
    assert intended["resolved"]["user"] == outcome["target"]["public_id"]
    assert intended["consent"] == "not needed"
    assert unchanged["event"] == "unchanged"
    assert (unknown["event"], unknown["code"]) == ("refused", "unclear_reference")
    assert (misspelt["event"], misspelt["code"]) == ("refused", "invalid_argument")


async def test_an_outcome_that_nobody_knows(tenant: Tenant, stage: Stage, log: Path) -> None:
    async with connected(tenant, audit_log=str(log)) as client:
        tenant.faults.script(["drop-after"], writes_only=True)
        await refused(client, "update_user", user=stage.person(), name="Another Name")
        tenant.faults.script(["503"], writes_only=True)
        await refused(client, "create_group", name="A new group")
    first, second = [line for line in lines(log) if line["event"] == "outcome"]
    assert first["outcome"] == second["outcome"] == "unknown"
    assert not [line for line in lines(log) if line["event"] == "refused"]


async def test_a_bulk_call_names_what_it_was_going_to_do(tenant: Tenant, stage: Stage, log: Path) -> None:
    ids = [stage.assignment("not_started", number) for number in range(3)]
    async with connected(tenant, audit_log=str(log)) as client:
        done = await confirmed(client, "bulk_update_assignments", action="exempt", assignments=ids)
    assert done["succeeded"] == 3
    intended, outcome = lines(log)[1:]
    assert sorted(row[0] for row in intended["before"]) == sorted(ids)
    assert outcome["counts"] == {"succeeded": 3}


@pytest.mark.parametrize("answer", [True, False])
async def test_the_persons_answer(answer: bool, tenant: Tenant, stage: Stage, log: Path) -> None:
    async def person(_context: Any, _params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"confirm": answer})

    options = {"elicitation_callback": person}
    async with connected(tenant, confirm="elicit", audit_log=str(log), client=options) as client:
        await ask(client, "drop_assignment", assignment=stage.assignment("in_progress"))
    events = [line["event"] for line in lines(log)]
    assert events == (["asked", "intended", "outcome"] if answer else ["asked", "refused"])
    assert (lines(log)[1]["consent"] == "person") if answer else (lines(log)[1]["by"] == "person")


async def test_a_full_disk_stops_writes_and_not_reads(
    tenant: Tenant, stage: Stage, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    async with connected(tenant, audit_log=str(log)) as client:
        before = tenant.snapshot()
        with monkeypatch.context() as patch:
            patch.setattr("pp_mcp.audit.log.os.write", full)
            error = await refused(client, "update_user", user=stage.person(), name="Another Name")
        assert error["code"] == "refused"
        assert "audit log cannot be written" in error["message"]
        assert "Nothing was changed" in error["message"]
        assert stage.writes() == []
        assert tenant.snapshot() == before
        assert (await ask(client, "list_users"))["total_count"]


async def test_a_disk_that_fills_up_while_a_write_is_under_way(
    tenant: Tenant, stage: Stage, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(tenant, audit_log=str(log)) as client:
        person = stage.person()
        append = AuditLog._append

        def full(self: AuditLog, record: dict[str, Any]) -> None:
            if record["event"] == "outcome":
                raise OSError(28, "No space left on device")
            append(self, record)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AuditLog, "_append", full)
            assert (await ask(client, "update_user", user=person, name="Another Name"))["status"] == "done"
    assert "outcome could not be recorded" in caplog.text
    (finding,) = verify(log)[2]
    assert "has no outcome" in finding.what


async def test_a_file_that_cannot_be_made(tenant: Tenant, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="PP_AUDIT_LOG"):
        async with connected(tenant, audit_log=str(tmp_path / "no" / "such" / "folder")):
            pass


async def test_stderr(tenant: Tenant, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    async with connected(tenant, audit_log="-") as client:
        await ask(client, "update_user", user=stage.person(), name="Another Name")
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert second["prev"] == first["hash"]


async def test_a_line_is_never_longer_than_can_be_found_again(log: Path) -> None:
    audit = AuditLog(str(log), "t")
    entry = audit.entry("create_group", {"name": "x", "members": ["y" * 400] * 5_000}, {"client": None})
    await entry.write("intended", before=[["z" * 400] * 5_000])
    await entry.write("outcome", outcome="done")
    first, second = lines(log)
    assert len(log.read_text().splitlines()[0]) < 300_000
    assert "left_out" in first["arguments"]
    assert second["prev"] == first["hash"]


_APPEND = """
import anyio, sys
from pp_mcp.audit import AuditLog
async def main():
    entry = AuditLog(sys.argv[1], "t").entry("tool", {}, {"client": sys.argv[2]})
    for number in range(40):
        await entry.write("intended", number=number)
        await entry.write("outcome", number=number)
anyio.run(main)
"""


def test_several_processes_append_to_one_file(log: Path) -> None:
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", _APPEND, str(log), str(one)], env=here) for one in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    good, _, findings = verify(log)
    assert (good, findings) == (240, [])

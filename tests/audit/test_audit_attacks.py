"""Clients and tenants that try to forge, break or flood the audit log; and disks that fail."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mcp.types import Implementation
from stage import Stage, ask, connected, refused

from pp_mcp.audit import AuditLog, verify
from pp_mcp.audit.chain import sealed
from pp_mcp.cli import main
from pp_mcp.demo import Tenant
from pp_mcp.errors import Refused

pytestmark = pytest.mark.anyio

FORGED = "Claude\n2026-01-01T00:00:00Z  outcome  drop_assignment  Nothing  by admin\x1b[2K"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def recorded(log: Path, count: int = 3) -> AuditLog:
    audit = AuditLog(str(log), "t")
    for number in range(count):
        await audit.entry("update_user", {"name": f"n{number}"}, {"client": "Claude"}).write("refused", code="x")
    return audit


@pytest.mark.parametrize("part", ["name", "version"])
async def test_a_client_with_a_huge_name_does_not_break_the_chain(
    part: str, tenant: Tenant, stage: Stage, log: Path
) -> None:
    who = {"name": "tests", "version": "1", part: "x" * 1_500_000}
    async with connected(tenant, audit_log=str(log), client={"client_info": Implementation(**who)}) as client:
        await ask(client, "update_user", user=stage.person(), name="Another Name")
    async with connected(tenant, audit_log=str(log)) as client:
        await ask(client, "update_user", user=stage.person(), name="A Third Name")
    good, _, findings = verify(log)
    assert (good, findings) == (4, [])
    assert max(len(line) for line in log.read_text().splitlines()) < 10_000


async def test_a_name_with_a_newline_forges_no_line(tenant: Tenant, stage: Stage, log: Path) -> None:
    async with connected(tenant, name=FORGED, audit_log=str(log)) as client:
        await ask(client, "update_user", user=stage.person(), name="Another Name")
    assert {"\n" in line["caller"]["client"] for line in lines(log)} == {False}
    # Nor does a line that another program wrote with a correct hash.
    record = {"event": "outcome", "tool": "t", "caller": {"client": FORGED}, "target": {"name": FORGED}, "code": FORGED}
    with log.open("a") as file:
        file.write(sealed(record, lines(log)[-1]["hash"]) + "\n")
    output = CliRunner().invoke(main, ["audit", "show", str(log)]).output
    assert len(output.splitlines()) == 3
    assert "\x1b" not in output


async def test_misspelt_arguments_are_recorded_without_their_values(tenant: Tenant, stage: Stage, log: Path) -> None:
    async with connected(tenant, audit_log=str(log)) as client:
        await refused(client, "drop_assignment", assignment=stage.assignment("in_progress"), raeson="she is ill")
        await refused(
            client, "drop_assignment", assignment="x", reason=["she is ill"], **{f"a{n}": n for n in range(99)}
        )
    first, second = lines(log)
    assert "ill" not in log.read_text()
    assert first["arguments"]["unknown"] == ["raeson"]
    assert len(second["arguments"]["unknown"]) == 20
    assert verify(log)[2] == []


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [_nested(300), "\ud800", {"\ud800": "\udfff"}, float("nan"), 10**400, "\x00\x1b[2J\u202e", "y" * 2_000_000],
    ids=["nested", "surrogate", "surrogate key", "nan", "huge", "control", "long"],
)
async def test_odd_values_are_recorded_in_lines_that_hold(value: Any, log: Path) -> None:
    audit = AuditLog(str(log), "t")
    await audit.entry("update_user", {"name": value}, {"client": "c"}).write("refused", message=value)
    await audit.entry("update_user", {}, {"client": "c"}).write("refused", code="x")
    good, _, findings = verify(log)
    assert (good, findings) == (2, [])
    assert CliRunner().invoke(main, ["audit", "show", str(log)]).exit_code == 0


def _repeat(line: str) -> str:
    return line.replace('{"arguments"', '{"tool":"list_users","arguments"')


@pytest.mark.parametrize(
    "edit",
    [
        lambda line: line.replace(":", ": ", 1),
        lambda line: line + " ",
        lambda line: line + "\r",
        _repeat,
        lambda line: line.replace("Claude", "\\u0043laude"),
        lambda line: "[" * 100_000,
        lambda line: '{"a":' * 50_000 + "1" + "}" * 50_000,
        lambda line: line + "\n",
        lambda line: "x" * 3_000_000,
        lambda line: line.replace("Claude", "\\ud800"),
    ],
    ids=["space", "outer space", "cr", "key", "escape", "nested", "objects", "blank", "long", "surrogate"],
)
async def test_every_changed_byte_is_a_finding(edit: Callable[[str], str], log: Path) -> None:
    await recorded(log)
    text = log.read_text().splitlines()
    log.write_text("\n".join([text[0], edit(text[1]), text[2]]) + "\n")
    _, _, findings = verify(log)
    assert findings
    assert {finding.number for finding in findings} <= {2, 3, 4}
    checked = CliRunner().invoke(main, ["audit", "verify", str(log)])
    assert (checked.exit_code, "Traceback" in checked.output) == (1, False)
    assert CliRunner().invoke(main, ["audit", "show", str(log)]).exit_code == 0


async def test_a_lone_surrogate_is_a_finding_even_with_a_correct_hash(log: Path) -> None:
    log.write_text(sealed({"event": "refused", "caller": {"client": "\ud800"}}, "0" * 64) + "\n")
    (finding,) = verify(log)[2]
    assert finding.number == 1
    assert CliRunner().invoke(main, ["audit", "show", str(log)]).exit_code == 0


async def test_verify_prints_the_last_hash(log: Path) -> None:
    await recorded(log)
    assert lines(log)[-1]["hash"] in CliRunner().invoke(main, ["audit", "verify", str(log)]).output


async def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_the_file_as_it_was(log: Path) -> None:
    audit = await recorded(log)
    before = log.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, limits[1]))
    try:
        with pytest.raises(Refused, match="cannot be written"):
            await audit.entry("update_user", {}, {"client": "c"}).write("intended")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.read_bytes() == before
    await audit.entry("update_user", {}, {"client": "c"}).write("refused", code="x")
    assert verify(log)[2] == []


async def test_one_line_is_one_write(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: (written.append(data), write(file, data))[1])
    await recorded(log, 1)
    assert [data.decode() for data in written if data.startswith(b"{")] == [log.read_text()]


async def test_the_file_is_its_owners_only_also_after_rotation(log: Path) -> None:
    audit = await recorded(log)
    log.rename(log.with_suffix(".1"))
    mask = os.umask(0)
    try:
        await audit.entry("update_user", {}, {"client": "c"}).write("refused", code="x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.chmod(0o644)
    await audit.entry("update_user", {}, {"client": "c"}).write("refused", code="x")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to(path.with_name("elsewhere")), "symbolic link"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.mkdir(), "directory"),
    ],
    ids=["symlink", "fifo", "folder"],
)
async def test_only_a_regular_file_is_a_log(
    make: Callable[[Path], None], words: str, tenant: Tenant, log: Path
) -> None:
    make(log)
    with pytest.raises(Refused, match=f"PP_AUDIT_LOG.*{words}"):
        async with connected(tenant, audit_log=str(log)):
            pass
    assert not log.with_name("elsewhere").exists()


async def test_a_link_put_in_later_is_not_followed(log: Path) -> None:
    audit = await recorded(log)
    elsewhere = log.with_name("elsewhere")
    log.rename(elsewhere)
    log.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    with pytest.raises(Refused, match="symbolic link"):
        await audit.entry("update_user", {}, {"client": "c"}).write("intended")
    assert elsewhere.read_bytes() == before

"""An edited, removed, inserted or torn line shows; and what the log says can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pp_mcp.audit import AuditLog, verify
from pp_mcp.cli import main

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(str(path), "https://acme.plusplus.app")
    for number, tool in enumerate(["update_user", "create_group", "drop_assignment"]):
        entry = audit.entry(
            tool, {"name": f"thing {number}"}, {"client": "Claude", "principal": "ann" if number else None}
        )
        target = {"kind": "thing", "public_id": f"id-{number}", "name": f"Thing {number}"}
        await entry.write("intended", target=target, consent="token")
        await entry.write("outcome", target=target, outcome="done", changes={"name": ["a", "b"]})
    return path


async def test_a_whole_log_holds(log: Path) -> None:
    good, last, findings = verify(log)
    assert (good, findings) == (6, [])
    assert json.loads(log.read_text().splitlines()[-1])["hash"] == last


@pytest.mark.parametrize("number", range(6))
async def test_an_edited_line_shows(log: Path, number: int) -> None:
    text = log.read_text().splitlines()
    text[number] = text[number].replace("Claude", "Maude")
    log.write_text("\n".join(text) + "\n")
    (finding,) = verify(log)[2]
    assert (finding.number, "edited" in finding.what) == (number + 1, True)


@pytest.mark.parametrize("number", range(5))
async def test_a_line_taken_out_shows(log: Path, number: int) -> None:
    text = log.read_text().splitlines()
    del text[number]
    log.write_text("\n".join(text) + "\n")
    assert any("removed" in finding.what for finding in verify(log)[2])


async def test_a_line_put_in_or_moved_shows(log: Path) -> None:
    text = log.read_text().splitlines()
    log.write_text("\n".join([*text[:2], text[0], *text[2:]]) + "\n")
    assert verify(log)[2]
    log.write_text("\n".join([text[1], text[0], *text[2:]]) + "\n")
    assert verify(log)[2]


async def test_lines_off_the_end_show_by_the_hash_noted_before(log: Path) -> None:
    _, last, _ = verify(log)
    assert CliRunner().invoke(main, ["audit", "verify", str(log), "--expect", last]).exit_code == 0
    log.write_text("\n".join(log.read_text().splitlines()[:4]) + "\n")
    assert verify(log)[2] == []
    found = CliRunner().invoke(main, ["audit", "verify", str(log), "--expect", last])
    assert found.exit_code == 1
    assert "missing at the end" in found.output


async def test_a_crash_between_intention_and_outcome_shows(log: Path) -> None:
    log.write_text("\n".join(log.read_text().splitlines()[:5]) + "\n")
    (finding,) = verify(log)[2]
    assert (finding.number, "no outcome" in finding.what) == (5, True)


async def test_a_torn_line_shows_and_the_log_goes_on(log: Path) -> None:
    with log.open("a") as file:
        file.write('{"event": "intended", "tool": "upd')
    await AuditLog(str(log), "t").entry("create_user", {}, {"client": None}).write("refused", code="x")
    good, _, findings = verify(log)
    assert good == 7
    assert [(finding.number, "cut short" in finding.what) for finding in findings] == [(7, True)]


async def test_verify_says_it_on_the_command_line(log: Path) -> None:
    found = CliRunner().invoke(main, ["audit", "verify", str(log)])
    assert (found.exit_code, found.output.split(";")[0]) == (0, "6 lines hold")
    log.write_text("garbage\n\n[]\n" + log.read_text())
    found = CliRunner().invoke(main, ["audit", "verify", str(log)])
    assert found.exit_code == 1
    assert "line 1: cannot be read" in found.output
    assert "line 3: cannot be read" in found.output


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ([], 6),
        (["--tool", "create_group"], 2),
        (["--since", "2026-01-01"], 6),
        (["--since", "2999-01-01"], 0),
        (["--user", "ann"], 4),
        (["--user", "THING 2"], 2),
        (["--user", "nobody"], 0),
    ],
)
async def test_show(log: Path, options: list[str], count: int) -> None:
    found = CliRunner().invoke(main, ["audit", "show", str(log), *options])
    assert found.exit_code == 0
    assert len(found.output.splitlines()) == count
    as_json = CliRunner().invoke(main, ["audit", "show", str(log), *options, "--json"])
    assert len([json.loads(line) for line in as_json.output.splitlines()]) == count


async def test_show_says_what_changed(log: Path) -> None:
    log.write_text(log.read_text() + "garbage\n")
    text = CliRunner().invoke(main, ["audit", "show", str(log)]).output.splitlines()
    assert "update_user  Thing 0  by Claude" in text[0]
    assert 'changes {"name": ["a", "b"]}' in text[1]
    assert "by ann" in text[2]
    assert text[-1] == "line 7: cannot be read"


def test_a_missing_file() -> None:
    found = CliRunner().invoke(main, ["audit", "verify", "no-such-file"])
    assert found.exit_code == 2
    assert "does not exist" in found.output

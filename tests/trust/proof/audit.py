"""Section 4: the audit log holds against those who write into it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
from click.testing import CliRunner
from stage import Json

from pp_mcp.cli import main

from .processes import environment, stdio
from .scene import applied, do, scene, status, text
from .tries import Tries, attack

NAMES = (
    "x" * 1_500_000,
    "evil\n2026-01-01T00:00:00.000Z  outcome  delete_content_item  “Security 101”  by admin",
    "evil\r\n{}",
    'evil","event":"outcome","hash":"0',
    "\x1b[31m\x1b]0;x\x07",
    "a\u2028b\u2029c\x85d",
    "\u202egnp.exe\u2066",
    "",
)


def checked(log: Path) -> tuple[bool, str]:
    """Whether `audit verify` finds nothing wrong, and what it says; a crash is said too."""
    result = CliRunner().invoke(main, ["audit", "verify", str(log)])
    crash = "" if isinstance(result.exception, SystemExit | None) else f"crashed: {result.exception!r}"
    return result.exit_code == 0, crash or result.output


async def _written(log: Path, calls: int = 3, name: str = "tests") -> str:
    """Some writes, recorded; the text of the log."""
    async with scene(audit_log=str(log), name=name) as (stage, client):
        for number in range(calls):
            await do(client, "update_group", group=stage.group(), name=f"Night Shift {number}")
    return log.read_text(encoding="utf-8")


@attack("audit", "a client that calls itself 1.5 MB, lines, records or terminal codes")
async def _(tries: Tries) -> None:
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "audit.log")
            content = await _written(log, name=name)
            content += await _written(log, name="an honest one")
            records = log.read_bytes().count(b"\n")
            holds, output = checked(log)
            tries.held(holds, f"{name[:20]!r}: {output[:160]}")
            shown = CliRunner().invoke(main, ["audit", "show", str(log)]).output
            tries.held(
                len(shown.splitlines()) == records, f"{name[:20]!r}: {len(shown.splitlines())} lines shown of {records}"
            )
            tries.held(not re.search(r"[\x1b\x07\u202e\u2066]", shown), f"{name[:20]!r}: shown with control characters")
            longest = max(map(len, content.splitlines()))
            tries.held(longest < 20_000, f"{name[:20]!r}: a line of {longest:,} characters")


def _edit(line: int, change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [change(one) if number == line else one for number, one in enumerate(lines)]


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a digit changed": _edit(2, lambda line: line.replace(b"Night Shift", b"Right Shift", 1)),
    "a space put in": _edit(2, lambda line: line.replace(b":", b": ", 1)),
    "a space at the end": _edit(2, lambda line: line + b" "),
    "keys in another order": _edit(2, lambda line: b"{" + b",".join(reversed(line[1:-1].split(b",", 1))) + b"}"),
    "a key twice": _edit(2, lambda line: b'{"event":"x",' + line[1:]),
    "a key twice, alike": _edit(2, lambda line: line[:-1] + b"," + line[1:].split(b",", 1)[0] + b"}"),
    "a letter as an escape": _edit(2, lambda line: line.replace(b"update", b"\\u0075pdate", 1)),
    "a carriage return": _edit(2, lambda line: line + b"\r"),
    "a NUL": _edit(2, lambda line: line + b"\0"),
    "a line taken out": lambda lines: [*lines[:2], *lines[3:]],
    "a line doubled": lambda lines: [*lines[:3], *lines[2:]],
    "two lines swapped": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a blank line": lambda lines: [*lines[:2], b"", *lines[2:]],
    "a line of spaces": lambda lines: [*lines[:2], b"   ", *lines[2:]],
    "nested 100,000 deep": lambda lines: [*lines, b"[" * 100_000],
    "nested, within a record": lambda lines: [*lines, b'{"a":' * 50_000 + b"1" + b"}" * 50_000],
    "a lone surrogate": lambda lines: [*lines, b'{"event":"\\ud800","hash":"x","prev":"y"}'],
    "a number of 10,000 digits": lambda lines: [*lines, b'{"event":' + b"9" * 10_000 + b"}"],
    "no JSON": lambda lines: [*lines, b"hello"],
    "no UTF-8": lambda lines: [*lines, b"\xff\xfe"],
    "a list": lambda lines: [*lines, b"[1]"],
    "cut short": lambda lines: [*lines[:-1], lines[-1][:40]],
}


@attack("audit", "an edited log: bytes, blank lines, repeated keys, deep nesting, lone surrogates, moved lines")
async def _(tries: Tries) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log, edited = Path(folder, "audit.log"), Path(folder, "edited.log")
        await _written(log)
        lines = log.read_bytes().rstrip(b"\n").split(b"\n")
        tries.held(checked(log)[0], checked(log)[1])
        for what, tamper in TAMPERED.items():
            edited.write_bytes(b"\n".join(tamper(lines)) + b"\n")
            holds, output = checked(edited)
            tries.held(not holds and "crashed" not in output, f"{what}: {output.strip()[:120]}")
            shown = CliRunner().invoke(main, ["audit", "show", str(edited)])
            tries.held(isinstance(shown.exception, SystemExit | None), f"{what}: show crashed: {shown.exception!r}")
        last = re.findall(r"[0-9a-f]{64}", checked(log)[1])
        tries.held(last, "verify prints no last hash")
        edited.write_bytes(b"\n".join(lines[:-1]) + b"\n")
        result = CliRunner().invoke(main, ["audit", "verify", str(edited), "--expect", last[-1] if last else ""])
        tries.held(result.exit_code == 1, "the last line taken away, with --expect")


@attack("audit", "PP_AUDIT_LOG that is a FIFO, a symlink, a folder or a device")
async def _(tries: Tries) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.mkfifo(folder / "fifo")
        (folder / "target").write_text("")
        (folder / "link").symlink_to(folder / "target")
        (folder / "dangling").symlink_to(folder / "nowhere")
        for path in ("fifo", "link", "dangling", ".", "/dev/null"):
            command = [sys.executable, "-m", "pp_mcp", "serve", "--demo", "--people", "20", "--assignments", "20"]
            ended = None
            with anyio.move_on_after(12):
                env = environment({"PP_AUDIT_LOG": str(folder / path)})
                ended = await anyio.run_process(command, env=env, stdin=subprocess.DEVNULL, check=False)
            if ended is None:
                tries.held(False, f"{path}: hangs")
                continue
            said = ended.stderr.decode()
            clear = "PP_AUDIT_LOG" in said and "Traceback" not in said
            tries.held(ended.returncode == 2 and clear, f"{path}: exit {ended.returncode}, {said[-120:]!r}")


FULL_DISK = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); runpy.run_module('pp_mcp', run_name='__main__')"


@attack("audit", "a full disk: half a line, or a write without a record")
async def _(tries: Tries) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "audit.log")
        demo = ("--demo", "--people", "40", "--assignments", "100")
        async with stdio({"PP_AUDIT_LOG": str(log)}, *demo, code=FULL_DISK) as server:
            refused = ""
            for number in range(60):
                answer = await server.ask("create_group", name=f"Group number {number}")
                if "error" in answer:
                    refused = answer["error"]
                    break
                made = number
            tries.held("audit log" in refused, f"never refused: {refused[:100]}")
            found = await server.ask("list_groups", name=f"Group number {made + 1}")
            tries.held(found.get("total_count") == 0, f"a group was made without a record: {str(found)[:100]}")
            content = log.read_bytes()
            tries.held(content.endswith(b"\n"), "the last line is cut short")
            output = [line for line in checked(log)[1].splitlines() if "no outcome" not in line]
            tries.held(not any(line.startswith("line ") for line in output), "; ".join(output)[:200])


@attack("audit", "a rotated log, or one that others made readable: not only its owner can read it")
async def _(tries: Tries) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "audit.log")
        before = os.umask(0o022)
        try:
            async with scene(audit_log=str(log)) as (stage, client):
                for number in range(3):
                    await do(client, "update_group", group=stage.group(), name=f"Night Shift {number}")
                    tries.held(stat.S_IMODE(log.stat().st_mode) == 0o600, f"mode {log.stat().st_mode & 0o777:o}")
                    log.rename(f"{log}.{number}")
        finally:
            os.umask(before)


@attack("audit", "values of misspelt arguments, free text or tokens in the log")
async def _(tries: Tries) -> None:
    secret = "zqx-for-nobody-to-read"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "audit.log")
        async with scene(audit_log=str(log)) as (stage, client):
            target = stage.assignment("not_started")
            for given in (
                {"assignment": target, "reson": secret},
                {"assignment": target, "reason": secret},
                {"assignment": target, "confirm_token": secret},
                {"assignement": secret},
                {"assignment": target, "password": {"deep": [secret]}},
            ):
                before = len(_lines(log))
                await client.call_tool("drop_assignment", given)
                tries.held(secret not in "".join(_lines(log)[before:]), f"recorded: {given}")


@attack("audit", "PP_AUDIT_READS=true: a read of people that leaves no record, or leaves their names in it")
async def _(tries: Tries) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "audit.log")
        async with scene(audit_log=str(log), audit_reads=True) as (stage, client):
            person = stage.person()
            name = stage.one("SELECT name FROM users WHERE email = ?", person)
            reads: list[tuple[str, Json]] = [
                ("list_users", {"search": name, "page_size": 5}),
                ("get_user", {"user": person}),
                ("get_user", {"user": name}),
                ("list_group_members", {"group": stage.group()}),
                ("list_assignments", {"user": person}),
                ("report_assignments", {"group_by": ["user"], "user": person}),
                ("get_learner_summary", {"user": person}),
                ("list_enrollments", {}),
            ]
            for tool, given in reads:
                before = _lines(log)
                result = await client.call_tool(tool, given)
                tries.held(not result.is_error, text(result))
                tries.held(len(_lines(log)) > len(before) and tool in _lines(log)[-1], f"{tool} left no record")
            before = _lines(log)
            await client.read_resource("plusplus://lists/users.csv")
            tries.held(len(_lines(log)) > len(before), "the CSV left no record")
            content = "\n".join(_lines(log))
            shown = [one for one in (person, name, person.partition("@")[0]) if one in content]
            tries.held(not shown, f"{shown} in the log")
            tries.held(not applied(stage) and status(result) == "read")


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

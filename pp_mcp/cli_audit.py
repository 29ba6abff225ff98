"""`pp-mcp audit`: is the log whole, and what does it say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import click

from pp_mcp.audit import read_lines
from pp_mcp.audit import verify as verify_log

LOG_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def audit() -> None:
    """Check or read the log that PP_AUDIT_LOG names."""


@audit.command()
@click.argument("file", type=LOG_FILE)
@click.option("--expect", metavar="HASH", help="The last hash, as noted before: then lines taken off the end show too.")
def verify(file: Path, expect: str | None) -> None:
    """Check that no line was edited, taken out or put in. Exit 1 where something is wrong."""
    good, last, findings = verify_log(file)
    for finding in findings:
        click.echo(f"line {finding.number}: {finding.what}")
    missing = expect is not None and not _holds(file, expect)
    if missing:
        click.echo("The expected hash is on no line: lines were taken off the end, or it is another file.")
    click.echo(f"{good:,} lines hold; last hash {last}")
    if findings or missing:
        sys.exit(1)


def _holds(file: Path, expected: str) -> bool:
    return any(line.record is not None and line.record.get("hash") == expected for line in read_lines(file))


@audit.command()
@click.argument("file", type=LOG_FILE)
@click.option("--tool", help="Only this tool.")
@click.option("--since", metavar="TIME", help="Only from this time on, ISO 8601, such as 2026-11-24.")
@click.option("--user", help="Only calls of this principal or client, or that name this person, group or thing.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they stand.")
def show(file: Path, tool: str | None, since: str | None, user: str | None, as_json: bool) -> None:
    """Show what was done, a line each: time, event, tool, target, outcome, changes."""
    for line in read_lines(file):
        record = line.record
        if record is None:
            click.echo(f"line {line.number}: cannot be read")
            continue
        if tool is not None and record.get("tool") != tool:
            continue
        if since is not None and str(record.get("time", "")) < since:
            continue
        if user is not None and user.casefold() not in _names(record):
            continue
        click.echo(json.dumps(record, ensure_ascii=False) if as_json else _said(record))


def _names(record: dict[str, Any]) -> str:
    """Everything in a line that names somebody or something, to be searched in."""
    named = [record.get(part) for part in ("caller", "target", "resolved", "arguments")]
    return json.dumps(named, ensure_ascii=False).casefold()


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part: object = record.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _said(record: dict[str, Any]) -> str:
    target = _part(record, "target")
    caller = _part(record, "caller")
    words = [
        str(record.get("time", "?")),
        str(record.get("event", "?")),
        str(record.get("tool", "?")),
        str(target.get("name") or target.get("public_id") or "-"),
        f"by {caller.get('principal') or caller.get('client') or '?'}",
    ]
    for part in ("consent", "outcome", "code", "error", "counts", "changes"):
        if record.get(part):
            value = record[part]
            words.append(f"{part} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return "  ".join(words)

"""`pp-mcp audit`: check or read an audit log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pp_mcp.audit import read_lines, shown, verify


@click.group()
def audit() -> None:
    """Check or read an audit log (PP_AUDIT_LOG)."""


log_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))


@audit.command("verify")
@log_file
@click.option("--expect", metavar="HASH", help="The last hash you noted earlier: reveals lines removed from the end.")
def audit_verify(file: Path, expect: str | None) -> None:
    """Check that no line was edited, removed or inserted. Exits with 1 if something is wrong."""
    good, last, findings = verify(file, expect)
    for finding in findings:
        click.echo(f"line {finding.number}: {finding.what}")
    click.echo(f"{good:,} lines hold; last hash {last}")
    if findings:
        sys.exit(1)


@audit.command("show")
@log_file
@click.option("--tool", help="Only this tool.")
@click.option("--since", metavar="TIME", help="Only from this time on, ISO 8601, such as 2026-11-24.")
@click.option("--user", help="Only calls by this principal or client, or that name this person, group or item.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are in the file.")
def audit_show(file: Path, tool: str | None, since: str | None, user: str | None, as_json: bool) -> None:
    """Show what was done, one line each: time, event, tool, target, caller, outcome, changes."""
    for line in read_lines(file):
        if line.record is None:
            click.echo(f"line {line.number}: cannot be read")
        elif line.matches(tool, since, user):
            click.echo(json.dumps(line.record) if as_json else shown(line.record))

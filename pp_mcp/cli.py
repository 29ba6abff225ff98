"""The command line: `pp-mcp`, `serve`, `demo`, `contract`, `audit`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import anyio
import click
from mcp import Client
from mcp.types import CallToolResult

from pp_mcp import __version__
from pp_mcp.audit import read_lines
from pp_mcp.audit import verify as verify_log
from pp_mcp.server.app import PlusPlusServer

if TYPE_CHECKING:
    from pp_mcp.config import Settings
    from pp_mcp.demo import Tenant


Say = Callable[[str], None]

_CONNECT = """\
Connect an assistant to the demo:

  Claude Code     claude mcp add plusplus-demo -- {command} serve --demo
  Claude Desktop, Cursor and others, in their mcpServers settings:
                  {{"plusplus-demo": {{"command": "{command}", "args": ["serve", "--demo"]}}}}

and to your own tenant: the same without "serve --demo", with PP_TENANT and PP_API_TOKEN in its environment."""


def _command() -> str:
    """How this program is called from anywhere: clients start servers in a bare environment."""
    called = Path(sys.argv[0])
    return str(called.resolve()) if called.stem == "pp-mcp" else "pp-mcp"


def run_tour(server: PlusPlusServer, say: Say) -> None:
    """Shows the server at work; `say` gets every line."""
    anyio.run(_tour, server, say)


async def _tour(server: PlusPlusServer, say: Say) -> None:
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        say(f"pp-mcp serves {len(tools)} tools over a demo tenant. An assistant asks in them what you ask in words.\n")

        course = "Security 101"
        by_manager = {"content_item": course, "group_by": ["manager"], "top": 3}
        await _ask(client, say, f"Who is overdue on {course}, by manager?", "report_assignments", **by_manager)
        await _ask(client, say, "What is on Jane Doe's plate?", "get_learner_summary", user="jane.doe@acme.example")
        await _ask(client, say, "Show me Sam Lee.", "get_user", user="Sam Lee")

        say("An unclear name is never guessed. Now a change to many, which has to be confirmed:\n")
        extend: dict[str, Any] = {
            "action": "set_due_date",
            "manager": "Rosa Alvarez",
            "is_overdue": True,
            "due_date": (datetime.now(UTC).date() + timedelta(days=7)).isoformat(),
        }
        tool = "bulk_update_assignments"
        preview = await _ask(client, say, "Extend everything overdue in Rosa's team by a week.", tool, **extend)
        if "confirm_token" in _data(preview):
            say("You agree, and the assistant calls again with the token:\n")
            token = _data(preview)["confirm_token"]
            done = await _ask(client, say, "Yes, go ahead.", tool, **extend, confirm_token=token)
            undo = _data(done)["undo"]
            say(f"To undo it, the answer holds a call of {undo['tool']} with each assignment's own date from before.\n")
        question = "Is anything of Rosa's team still overdue?"
        await _ask(client, say, question, "report_assignments", manager="Rosa Alvarez", is_overdue=True)
    say(_CONNECT.format(command=_command()))


async def _ask(client: Client, say: Say, question: str, tool: str, **arguments: Any) -> CallToolResult:
    say(f"» {question}")
    shown = {name: value if len(str(value)) <= 40 else f"{str(value)[:12]}…" for name, value in arguments.items()}
    say(f"  {tool} {json.dumps(shown, ensure_ascii=False)}")
    result = await client.call_tool(tool, arguments)
    data = _data(result)
    say(f"  → {data.get('summary') or data.get('message')}")
    for row in data.get("rows", [])[:3]:
        say(f"     · {_line(row)}")
    for candidate in data.get("candidates", [])[:3]:
        say(f"     · {_line(candidate)}")
    for effect in data.get("effects", []):
        say(f"     ! {effect}")
    for name, (before, after) in data.get("changes", {}).items():
        say(f"     {name}: {before} → {after}")
    say("")
    return result


def _data(result: CallToolResult) -> dict[str, Any]:
    data = result.structured_content
    return cast(dict[str, Any], data) if isinstance(data, dict) else {}


def _line(row: dict[str, Any]) -> str:
    name = row.get("manager") or row.get("user") or row.get("name")
    words = [name, row.get("manager_email") or row.get("email")]
    if "overdue" in row:
        words.append(f"{row['overdue']} of {row['total']} overdue")
    return ", ".join(str(word) for word in words if word)


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


log = logging.getLogger("pp_mcp")

Command = Callable[..., Any]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pp-mcp")
@click.pass_context
def main(context: click.Context) -> None:
    """An MCP server over the PlusPlus Public API v2. Without a command: serve on stdin and stdout."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


main.add_command(audit)


def demo_sizes(command: Command) -> Command:
    """Options for how large a demo tenant is and where it is kept."""
    for option in reversed(
        [
            click.option(
                "--demo-db", type=click.Path(dir_okay=False, path_type=Path), help="Keep the demo tenant in FILE."
            ),
            click.option(
                "--people", type=click.IntRange(1, 50_000), default=300, show_default=True, help="Demo: people."
            ),
            click.option(
                "--assignments",
                type=click.IntRange(0, 200_000),
                default=4_000,
                show_default=True,
                help="Demo: assignments.",
            ),
            click.option(
                "--fault",
                "faults",
                multiple=True,
                metavar="NAME=VALUE",
                help="Demo: trouble on purpose, such as 5xx=0.1; repeatable. A wrong one lists what there is.",
            ),
        ]
    ):
        command = option(command)
    return command


@main.command()
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to, with --transport http.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_000, show_default=True)
@click.option("--demo", is_flag=True, help="Serve a demo tenant: no account needed.")
@demo_sizes
@click.option("--base-url", help="PP_BASE_URL.")
@click.option("--tenant", help="PP_TENANT.")
@click.option("--toolsets", help="PP_TOOLSETS.")
@click.option("--tools", help="PP_TOOLS.")
@click.option("--read-only", is_flag=True, default=None, help="PP_READ_ONLY.")
@click.option("--confirm", help="PP_CONFIRM: token, elicit, block or allow.")
@click.option("--log-level", help="PP_LOG_LEVEL.")
def serve(
    transport: str,
    host: str,
    port: int,
    demo: bool,
    demo_db: Path | None,
    people: int,
    assignments: int,
    faults: tuple[str, ...],
    **flags: Any,
) -> None:
    """Serve MCP, on stdio or HTTP. Settings come from the environment (PP_…); a flag wins over it."""
    if demo and (flags["base_url"] or flags["tenant"]):
        _stop("--demo serves a tenant of its own: leave out --base-url and --tenant.")
    if demo_db and not demo:
        _stop("--demo-db keeps a demo tenant: it goes with --demo.")
    if faults and not demo:
        _stop("--fault is for a demo tenant: it goes with --demo.")
    settings = _settings(flags, demo=demo)
    from pp_mcp.errors import Refused
    from pp_mcp.server.http import serve_http, serve_stdio

    tenant = _tenant(demo_db, people, assignments, faults) if demo else None
    try:
        server = _server(settings, tenant)
        if transport == "http":
            serve_http(server, host, port)
        else:
            serve_stdio(server)
    except Refused as error:
        _stop(error.message)
    finally:
        if tenant is not None:
            tenant.close()


@main.command()
@click.option("--api", is_flag=True, help="Serve the demo tenant's API over HTTP instead of showing the tour.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_765, show_default=True, help="Port, with --api.")
@demo_sizes
def demo(api: bool, port: int, demo_db: Path | None, people: int, assignments: int, faults: tuple[str, ...]) -> None:
    """See it work with no account: a tour of a minute, or the demo tenant's API with --api."""
    if faults and not api:
        _stop("--fault goes with --api: the tour shows how it goes when all goes well.")
    _log_to_stderr("WARNING" if not api else "INFO")
    tenant = _tenant(demo_db, people, assignments, faults)
    try:
        if api:
            from pp_mcp.demo.serve import run

            click.echo(f"PP_BASE_URL=http://127.0.0.1:{port}/public_api/v2 PP_API_TOKEN={tenant.token}", err=True)
            run(tenant, "127.0.0.1", port)
        else:
            from pp_mcp.cli import run_tour

            run_tour(_server(_settings({"log_level": "WARNING"}, demo=True), tenant), click.echo)
    finally:
        tenant.close()


@main.command()
@click.option("--write", is_flag=True, help="Write the files.")
@click.option("--check", is_flag=True, help="Exit 1 where a file differs from the code.")
@click.option(
    "--root", type=click.Path(file_okay=False, exists=True, path_type=Path), default=Path(), help="The checkout."
)
def contract(write: bool, check: bool, root: Path) -> None:
    """Write or check the contract: tools/, and what README.md and server.json say of the tools and settings."""
    from pp_mcp import contract as made

    if write == check:
        _stop("Give one of --write and --check.")
    try:
        found = made.write(root) if write else made.differences(root)
    except (OSError, ValueError) as error:
        _stop(str(error))
    for line in found:
        click.echo(line if check else f"written: {line}")
    if check and found:
        click.echo("Run: pp-mcp contract --write", err=True)
        sys.exit(1)


def _settings(flags: dict[str, Any], *, demo: bool) -> Settings:
    from pp_mcp.config import SettingsError, load
    from pp_mcp.inventory import unavailable

    try:
        settings = load(flags, demo=demo)
    except SettingsError as error:
        _stop(f"These settings have to be mended first:\n{error}")
    wrong = unavailable(settings.toolsets, settings.tools)
    if wrong:
        _stop("These settings have to be mended first:\n" + "\n".join(wrong))
    _log_to_stderr(settings.log_level)
    for warning in settings.warnings:
        log.warning(warning)
    return settings


def _tenant(db: Path | None, people: int, assignments: int, faults: tuple[str, ...]) -> Tenant:
    from pp_mcp.demo import Faults, Sizes, Tenant

    try:
        trouble = Faults.parse(faults)
    except ValueError as error:
        _stop(f"--fault: {error}")
    sizes = Sizes(people=people, assignments=assignments)
    return Tenant(db=db if db is not None else ":memory:", sizes=sizes, faults=trouble)


def _server(settings: Settings, tenant: Tenant | None) -> Any:
    from pydantic import SecretStr

    from pp_mcp.api.routes import ROUTES, override
    from pp_mcp.server.app import build_server

    if tenant is not None:
        settings = settings.model_copy(update={"base_url": tenant.base_url, "api_token": SecretStr(tenant.token)})
        return build_server(settings, transport=tenant.transport())
    try:
        routes = override(ROUTES, settings.routes)
    except ValueError as error:
        _stop(f"PP_ROUTES: {error}")
    return build_server(settings, routes=routes)


def _log_to_stderr(level: str) -> None:
    """Only to stderr: on stdio, stdout belongs to the protocol."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )


def _stop(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(2)

"""The command line: `pp-mcp`, `serve`, `demo`, `contract`, `audit`. Each command imports what it needs."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pp_mcp import __version__
from pp_mcp.audit import read_lines, shown, verify
from pp_mcp.config import Settings, SettingsError, load, variable
from pp_mcp.logs import log_to_stderr, quiet_when_stdout_breaks

if TYPE_CHECKING:
    from mcp import Client

    from pp_mcp.demo import Tenant
    from pp_mcp.server.app import PlusPlusServer

log = logging.getLogger("pp_mcp")

Command = Callable[..., Any]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pp-mcp")
@click.pass_context
def main(context: click.Context) -> None:
    """An MCP server for the PlusPlus Public API v2. Without a command it serves on stdin and stdout."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which --help lists them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_FLAGS = ("base_url", "tenant", "toolsets", "tools", "confirm", "log_level")

setting_flags = _options(
    *(click.option(f"--{name.replace('_', '-')}", help=f"Overrides {variable(name)}.") for name in _FLAGS),
    click.option("--read-only", is_flag=True, default=None, help="Overrides PP_READ_ONLY."),
)

tenant_options = _options(
    click.option("--demo-db", type=click.Path(dir_okay=False, path_type=Path), help="Keep the demo tenant in a file."),
    click.option("--people", type=click.IntRange(1, 50_000), default=300, show_default=True, help="Demo: people."),
    click.option(
        "--assignments", type=click.IntRange(0, 200_000), default=4_000, show_default=True, help="Demo: assignments."
    ),
    click.option(
        "--fault",
        "faults",
        multiple=True,
        metavar="NAME=VALUE",
        help="Demo: a deliberate fault, such as 5xx=0.1; repeatable. An unknown one lists them all.",
    ),
)


@main.command()
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to, with --transport http.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_000, show_default=True, help="Port, likewise.")
@click.option(
    "--stateless", is_flag=True, help="Keep no session of a client, so that any replica can answer; likewise."
)
@click.option(
    "--strict", is_flag=True, help="Exit with 2 if a required setting is missing, instead of saying so later."
)
@click.option("--demo", is_flag=True, help="Serve a demo tenant; no account needed.")
@tenant_options
@setting_flags
def serve(transport: str, host: str, port: int, stateless: bool, strict: bool, demo: bool, **options: Any) -> None:
    """Serve MCP on stdio or HTTP. Settings come from the environment (PP_…); flags override them."""
    flags = {name: options.pop(name) for name in (*_FLAGS, "read_only")}
    if demo and (flags["base_url"] or flags["tenant"]):
        _stop("--demo serves its own tenant: leave out --base-url and --tenant.")
    if not demo and (options["demo_db"] or options["faults"]):
        _stop("--demo-db and --fault need --demo.")
    from pp_mcp.errors import Refused
    from pp_mcp.server.http import serve_http, serve_stdio

    settings = _settings(flags, demo=demo, strict=strict)
    with _tenant(**options) if demo else nullcontext() as tenant:
        try:
            server = _server(settings, tenant)
            if transport == "http":
                serve_http(server, host, port, stateless=stateless)
            else:
                serve_stdio(server)
        except Refused as error:
            _stop(error.message)


@main.command()
@click.option("--api", is_flag=True, help="Serve the demo tenant's API over HTTP instead of showing the tour.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_765, show_default=True, help="Port, with --api.")
@tenant_options
def demo(api: bool, port: int, **options: Any) -> None:
    """See it work without an account: a one-minute tour, or the demo tenant's API with --api."""
    if options["faults"] and not api:
        _stop("--fault needs --api: the tour runs without faults.")
    with _tenant(**options) as tenant:
        if api:
            from pp_mcp.demo.serve import run

            log_to_stderr("INFO")
            click.echo(f"PP_BASE_URL=http://127.0.0.1:{port}/public_api/v2 PP_API_TOKEN={tenant.token}", err=True)
            run(tenant, "127.0.0.1", port)
        else:
            import anyio

            with quiet_when_stdout_breaks():
                anyio.run(_tour, _server(_settings({"log_level": "WARNING"}, demo=True), tenant))


@main.command()
@click.option("--write", is_flag=True, help="Write the files.")
@click.option("--check", is_flag=True, help="Exit with 1 if a file differs from the code.")
@click.option("--root", type=click.Path(file_okay=False, exists=True, path_type=Path), default=Path(), help="Checkout.")
def contract(write: bool, check: bool, root: Path) -> None:
    """Write or check the contract: tools/, and what README.md and server.json say about tools and settings."""
    from pp_mcp import contract as files

    if write == check:
        _stop("Give either --write or --check.")
    try:
        found = files.write(root) if write else files.differences(root)
    except (OSError, ValueError) as error:
        _stop(str(error))
    for path, what in found.items():
        name = path.relative_to(root)
        click.echo(f"{what}: {name}" if write else f"{name} {what}")
    if check and found:
        click.echo("Run: pp-mcp contract --write", err=True)
        sys.exit(1)


@main.group()
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


def _settings(flags: dict[str, Any], *, demo: bool, strict: bool = True) -> Settings:
    from pp_mcp.inventory import unavailable

    try:
        settings = load(flags, demo=demo, strict=strict)
        if mistakes := unavailable(settings.toolsets, settings.tools):
            raise SettingsError(mistakes)
    except SettingsError as error:
        _stop(f"Fix these settings first:\n{error}")
    log_to_stderr(settings.log_level)
    for warning in [*settings.warnings, *settings.missing]:
        log.warning(warning)
    return settings


@contextmanager
def _tenant(demo_db: Path | None, people: int, assignments: int, faults: tuple[str, ...]) -> Generator[Tenant]:
    from pp_mcp.demo import Faults, Sizes, Tenant

    try:
        parsed = Faults.parse(faults)
    except ValueError as error:
        _stop(f"--fault: {error}")
    sizes = Sizes(people=people, assignments=assignments)
    with closing(Tenant(db=demo_db or ":memory:", sizes=sizes, faults=parsed)) as tenant:
        yield tenant


def _server(settings: Settings, tenant: Tenant | None) -> PlusPlusServer:
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


def _stop(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(2)


_CONNECT = """\
Connect an assistant to the demo:

  Claude Code   claude mcp add plusplus-demo -s user -- {shell} serve --demo
  Codex         codex mcp add plusplus-demo -- {shell} serve --demo
  Claude Desktop, Cursor, Gemini CLI and others, in their configuration file (README, "Connect your client"):
                {{"mcpServers": {{"plusplus-demo": {json}}}}}

For your own tenant, leave out serve --demo and set PP_TENANT and PP_API_TOKEN in the server's environment."""


def _connecting() -> str:
    """How to connect clients, with the program's full path: clients start servers without this shell's PATH."""
    command = [os.path.abspath(sys.argv[0])]
    if Path(sys.argv[0]).stem != "pp-mcp":
        command = [sys.executable, "-m", "pp_mcp"]
    entry = {"command": command[0], "args": [*command[1:], "serve", "--demo"]}
    return _CONNECT.format(shell=shlex.join(command), json=json.dumps(entry, ensure_ascii=False))


async def _tour(server: PlusPlusServer) -> None:
    """Asks the server four questions, has it make one confirmed change, and prints the answers."""
    from mcp import Client

    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        click.echo(f"pp-mcp serves {len(tools)} tools over a demo tenant. You ask in words, an assistant calls them.\n")
        course = {"content_item": "Security 101", "group_by": ["manager"], "top": 3}
        await _ask(client, "Who is overdue on Security 101, by manager?", "report_assignments", course)
        await _ask(client, "What is on Jane Doe's plate?", "get_learner_summary", {"user": "jane.doe@acme.example"})
        await _ask(client, "Show me Sam Lee.", "get_user", {"user": "Sam Lee"})
        click.echo("It never guesses an ambiguous name. Now a change to many assignments, which needs confirming:\n")
        overdue = {"manager": "Rosa Alvarez", "is_overdue": True}
        next_week = (datetime.now(UTC).date() + timedelta(days=7)).isoformat()
        extend = {"action": "set_due_date", **overdue, "due_date": next_week}
        question, tool = "Extend everything overdue in Rosa's team by a week.", "bulk_update_assignments"
        preview = await _ask(client, question, tool, extend)
        if token := preview.get("confirm_token"):
            click.echo("You agree, and the assistant calls again with the token:\n")
            await _ask(client, "Yes, go ahead.", tool, {**extend, "confirm_token": token})
            click.echo("The answer includes its undo: the call that restores each assignment's previous date.\n")
        await _ask(client, "Is anything in Rosa's team still overdue?", "report_assignments", overdue)
    click.echo(_connecting())


async def _ask(client: Client, question: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    printed = {name: value if len(str(value)) <= 40 else f"{str(value)[:12]}…" for name, value in arguments.items()}
    click.echo(f"» {question}\n  {tool} {json.dumps(printed, ensure_ascii=False)}")
    result = await client.call_tool(tool, arguments)
    text = "\n".join(block.text for block in result.content if block.type == "text")
    answer: dict[str, Any] = {"summary": text.replace("\n", "\n    ")} if result.is_error else json.loads(text)
    click.echo(f"  → {answer['summary']}")
    for row in answer.get("rows", [])[:3]:
        click.echo(f"     · {row['manager']}, {row['manager_email']}, {row['overdue']} of {row['total']} overdue")
    for effect in answer.get("effects", []):
        click.echo(f"     ! {effect}")
    for name, (before, after) in answer.get("changes", {}).items():
        click.echo(f"     {name}: {before} → {after}")
    click.echo()
    return answer

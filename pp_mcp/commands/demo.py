"""`pp-mcp demo`: the tour, or the demo tenant's API."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from pp_mcp.commands import demo_tenant, load_settings, make_server, of_tenant, stop, tenant_options
from pp_mcp.commands.clients import BY_NAME, Launch
from pp_mcp.logs import log_to_stderr, quiet_when_stdout_breaks

if TYPE_CHECKING:
    from mcp import Client

    from pp_mcp.server.app import PlusPlusServer


@click.command()
@click.option("--api", is_flag=True, help="Serve the demo tenant's API over HTTP instead of showing the tour.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_765, show_default=True, help="Port, with --api.")
@tenant_options
def demo(api: bool, port: int, **options: Any) -> None:
    """See it work without an account: a one-minute tour, or the demo tenant's API with --api."""
    if options["faults"] and not api:
        stop("--fault needs --api: the tour runs without faults.")
    with demo_tenant(**options) as tenant:
        if api:
            from pp_mcp.demo.serve import run

            log_to_stderr("INFO")
            click.echo(f"PP_BASE_URL=http://127.0.0.1:{port}/public_api/v2 PP_API_TOKEN={tenant.token}", err=True)
            run(tenant, "127.0.0.1", port)
        else:
            import anyio

            with quiet_when_stdout_breaks():
                settings = of_tenant(load_settings({}, demo=True, quiet=True), tenant)
                anyio.run(_tour, make_server(settings, tenant))


_CONNECT = """\
Connect an assistant to the demo:

  every client on this computer   {program} init --demo
  Claude Code by hand             claude mcp add plusplus-demo -s user -- {shell}
  Codex by hand                   codex mcp add plusplus-demo -- {shell}
  others, in their settings       {json}

For your own tenant: {program} init"""


def connecting() -> str:
    """How to connect clients to the demo."""
    launch = Launch()
    settings = {"mcpServers": {launch.name: BY_NAME["cursor"].entry(launch)}}
    return _CONNECT.format(
        program=shlex.join(launch.command),
        shell=shlex.join(launch.words),
        json=json.dumps(settings, ensure_ascii=False),
    )


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
    click.echo(connecting())


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

"""`pp-mcp tools`: the menu that a client gets."""

from __future__ import annotations

import json
from typing import Any

import click

from pp_mcp.commands import FLAGS, load_settings, offered, setting_flags
from pp_mcp.declare import Effect, Operation


def compact(value: Any) -> int:
    """Characters of a value as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def entry(tool: Operation) -> dict[str, Any]:
    """What every client shows the model of a tool."""
    return {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@setting_flags
def tools(as_json: bool, **flags: Any) -> None:
    """List the tools that the settings offer: effect, whether they ask first, and size in the menu (characters)."""
    settings = load_settings({name: flags[name] for name in (*FLAGS, "read_only")}, demo=True, quiet=True)
    menu = offered(settings)
    rows = [
        {
            "tool": tool.name,
            "toolset": tool.toolset,
            "effect": tool.effect.value,
            "asks": "always" if tool.effect is Effect.DESTROY else "sometimes" if tool.may_confirm else "no",
            "size": compact(entry(tool)),
            "what": tool.title,
        }
        for tool in menu
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    from pp_mcp.commands.show import console, table

    console().print(table(rows))
    click.echo(f"\n{len(menu)} tools, {compact([entry(tool) for tool in menu]):,} characters for the model.")

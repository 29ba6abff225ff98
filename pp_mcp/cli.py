"""The command line. Each command is a module of `pp_mcp.commands`, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from pp_mcp import __version__

COMMANDS = (
    "serve",
    "demo",
    "init",
    "contract",
    "audit",
    "doctor",
    "call",
    "tools",
    "token",
)
"""Each is the module's name, and in it that of the command."""


class Commands(click.Group):
    """The commands by name, in the order of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that --help lists."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none by this name."""
        return getattr(import_module(f"pp_mcp.commands.{cmd_name}"), cmd_name) if cmd_name in COMMANDS else None


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pp-mcp")
@click.pass_context
def main(context: click.Context) -> None:
    """An MCP server for the PlusPlus Public API v2. Without a command it serves on stdin and stdout."""
    if context.invoked_subcommand is None:
        from pp_mcp.commands.serve import serve

        context.invoke(serve)

"""`pp-mcp serve`: MCP on stdio or HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from pp_mcp.commands import chosen, make_server, server_options, stop


@click.command()
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to, with --transport http.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_000, show_default=True, help="Port, likewise.")
@click.option(
    "--stateless", is_flag=True, help="Keep no session of a client, so that any replica can answer; likewise."
)
@click.option(
    "--strict", is_flag=True, help="Exit with 2 if a required setting is missing, instead of saying so later."
)
@server_options
def serve(transport: str, host: str, port: int, stateless: bool, strict: bool, **options: Any) -> None:
    """Serve MCP on stdio or HTTP. Settings come from the environment (PP_…); flags override them."""
    from pp_mcp import telemetry
    from pp_mcp.errors import Refused
    from pp_mcp.menu import menu

    with chosen(**options, strict=strict) as (settings, tenant), ExitStack() as ends:
        telemetry.start(settings.metrics_port, host if transport == "http" else "127.0.0.1", menu())
        ends.callback(telemetry.stop)
        try:
            server = make_server(settings, tenant)
            if transport == "http":
                from pp_mcp.server.http import serve_http

                serve_http(server, host, port, stateless=stateless)
            else:
                from pp_mcp.server.stdio import serve_stdio

                serve_stdio(server)
        except Refused as error:
            stop(error.message)

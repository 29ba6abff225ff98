"""`pp-mcp serve`: MCP on stdio or HTTP."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from pp_mcp.commands import FLAGS, demo_tenant, load_settings, make_server, setting_flags, stop, tenant_options


@click.command()
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to, with --transport http.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8_000, show_default=True, help="Port, likewise.")
@click.option(
    "--strict", is_flag=True, help="Exit with 2 if a required setting is missing, instead of saying so later."
)
@click.option("--demo", is_flag=True, help="Serve a demo tenant; no account needed.")
@tenant_options
@setting_flags
def serve(transport: str, host: str, port: int, strict: bool, demo: bool, **options: Any) -> None:
    """Serve MCP on stdio or HTTP. Settings come from the environment (PP_…); flags override them."""
    flags = {name: options.pop(name) for name in (*FLAGS, "read_only")}
    if demo and (flags["base_url"] or flags["tenant"]):
        stop("--demo serves its own tenant: leave out --base-url and --tenant.")
    if not demo and (options["demo_db"] or options["faults"]):
        stop("--demo-db and --fault need --demo.")
    from pp_mcp.errors import Refused

    settings = load_settings(flags, demo=demo, strict=strict)
    with demo_tenant(**options) if demo else nullcontext() as tenant:
        try:
            server = make_server(settings, tenant)
            if transport == "http":
                from pp_mcp.server.http import serve_http

                serve_http(server, host, port)
            else:
                from pp_mcp.server.stdio import serve_stdio

                serve_stdio(server)
        except Refused as error:
            stop(error.message)

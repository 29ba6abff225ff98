"""The command line: `pp-mcp`, `serve`, `demo`, `contract`, `audit`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pp_mcp import __version__
from pp_mcp.cli_audit import audit

if TYPE_CHECKING:
    from pp_mcp.config import Settings
    from pp_mcp.demo import Tenant

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
            from pp_mcp.tour import run_tour

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

"""The commands, a module each, and what several of them need: settings, the demo tenant, the server."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from pydantic import SecretStr

from pp_mcp.config import Settings, SettingsError, load, variable
from pp_mcp.logs import log_to_stderr

if TYPE_CHECKING:
    from pp_mcp.declare import Operation
    from pp_mcp.demo import Tenant
    from pp_mcp.server.app import PlusPlusServer

log = logging.getLogger("pp_mcp")

Command = Callable[..., Any]


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which --help lists them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


FLAGS = ("base_url", "tenant", "toolsets", "tools", "confirm", "log_level")

setting_flags = _options(
    *(click.option(f"--{name.replace('_', '-')}", help=f"Overrides {variable(name)}.") for name in FLAGS),
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


server_options = _options(
    click.option("--demo", is_flag=True, help="Use a demo tenant; no account needed."), tenant_options, setting_flags
)


@contextmanager
def chosen(
    demo: bool, *, strict: bool = True, quiet: bool = False, **options: Any
) -> Generator[tuple[Settings, Tenant | None]]:
    """What `server_options` choose: the settings and, with --demo, a demo tenant. Mistakes end the program."""
    flags = {name: options.pop(name) for name in (*FLAGS, "read_only")}
    if demo and (flags["base_url"] or flags["tenant"]):
        stop("--demo serves its own tenant: leave out --base-url and --tenant.")
    if not demo and (options["demo_db"] or options["faults"]):
        stop("--demo-db and --fault need --demo.")
    settings = load_settings(flags, demo=demo, strict=strict, quiet=quiet)
    if not demo:
        yield settings, None
        return
    with demo_tenant(**options) as tenant:
        yield of_tenant(settings, tenant), tenant


def load_settings(flags: dict[str, Any], *, demo: bool, strict: bool = True, quiet: bool = False) -> Settings:
    """The settings, which also configure the log: `quiet` warns only, unless PP_LOG_LEVEL is set."""
    from pp_mcp.menu import unavailable

    try:
        settings = load(flags, demo=demo, strict=strict)
        if mistakes := unavailable(settings.toolsets, settings.tools):
            raise SettingsError(mistakes)
    except SettingsError as error:
        stop(f"Fix these settings first:\n{error}")
    level = "WARNING" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    log_to_stderr(level, settings.log_format)
    for warning in [*settings.warnings, *settings.missing]:
        log.warning(warning)
    return settings


@contextmanager
def demo_tenant(demo_db: Path | None, people: int, assignments: int, faults: tuple[str, ...]) -> Generator[Tenant]:
    """A demo tenant of these sizes, closed at the end."""
    from pp_mcp.demo import Faults, Sizes, Tenant

    try:
        parsed = Faults.parse(faults)
    except ValueError as error:
        stop(f"--fault: {error}")
    sizes = Sizes(people=people, assignments=assignments)
    with closing(Tenant(db=demo_db or ":memory:", sizes=sizes, faults=parsed)) as tenant:
        yield tenant


def of_tenant(settings: Settings, tenant: Tenant) -> Settings:
    """The settings with the demo tenant's address and token, and the usual routes."""
    token = SecretStr(tenant.token)
    return settings.model_copy(update={"base_url": tenant.base_url, "api_token": token, "routes": {}})


def make_server(settings: Settings, tenant: Tenant | None) -> PlusPlusServer:
    """The server over the demo tenant, or else over the one that the settings name. Mistakes end the program."""
    from pp_mcp.errors import Refused
    from pp_mcp.server.app import build_server

    try:
        return build_server(settings, transport=tenant.transport() if tenant else None)
    except Refused as error:
        stop(error.message)


def offered(settings: Settings) -> Sequence[Operation]:
    """The tools that these settings offer."""
    from pp_mcp.inventory import BY_NAME
    from pp_mcp.menu import enabled

    block = settings.confirm == "block"
    kept = enabled(settings.toolsets, settings.tools, read_only=settings.read_only, block=block)
    return [BY_NAME[tool.name] for tool in kept]


def stop(message: str) -> NoReturn:
    """Ends the program with exit code 2: wrong usage, or settings that cannot work."""
    click.echo(message, err=True)
    sys.exit(2)

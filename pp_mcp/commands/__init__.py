"""The commands, a module each, and what several of them need: settings, the demo tenant, the server."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pp_mcp.config import Settings, SettingsError, load, variable
from pp_mcp.logs import log_to_stderr

if TYPE_CHECKING:
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


def load_settings(flags: dict[str, Any], *, demo: bool, strict: bool = True) -> Settings:
    """The settings, which also configure the log. Mistakes end the program."""
    from pp_mcp.menu import unavailable

    try:
        settings = load(flags, demo=demo, strict=strict)
        if mistakes := unavailable(settings.toolsets, settings.tools):
            raise SettingsError(mistakes)
    except SettingsError as error:
        stop(f"Fix these settings first:\n{error}")
    log_to_stderr(settings.log_level)
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


def make_server(settings: Settings, tenant: Tenant | None) -> PlusPlusServer:
    """The server over the demo tenant, or else over the tenant that the settings name."""
    from pydantic import SecretStr

    from pp_mcp.server.app import build_server

    if tenant is None:
        return build_server(settings)
    its: dict[str, Any] = {"base_url": tenant.base_url, "api_token": SecretStr(tenant.token), "routes": {}}
    return build_server(settings.model_copy(update=its), transport=tenant.transport())


def stop(message: str) -> NoReturn:
    """Ends the program with exit code 2: wrong usage, or settings that cannot work."""
    click.echo(message, err=True)
    sys.exit(2)

"""`pp-mcp token`: tokens that may call over HTTP."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from pp_mcp.commands import stop
from pp_mcp.config import SettingsError, load
from pp_mcp.errors import Refused
from pp_mcp.server.principal import SCOPES


@click.group()
def token() -> None:
    """Tokens that may call over HTTP (PP_HTTP_TOKENS_FILE)."""


@token.command("new")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the token may do; each includes those before it. Repeatable. Default: all.",
)
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Its last day, in UTC.")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Overrides PP_HTTP_TOKENS_FILE.")
def token_new(name: str, scopes: tuple[str, ...], expires: datetime | None, file: Path | None) -> None:
    """Add a token for NAME to the file, which is made if missing, and print it. It is not shown again."""
    from pp_mcp.server.signin import new_token

    try:
        file = file or Path(load(strict=False).http_tokens_file)
        if file == Path():
            stop("PP_HTTP_TOKENS_FILE is not set. Set it to the file that the server reads, or give --file.")
        made = new_token(file.expanduser(), name, scopes or SCOPES, expires.date() if expires else None)
    except SettingsError as error:
        stop(f"Fix these settings first:\n{error}")
    except Refused as error:
        stop(error.message)
    click.echo(f"{name} may now call. Give them this token; only its hash is kept, in {file}:", err=True)
    click.echo(made)

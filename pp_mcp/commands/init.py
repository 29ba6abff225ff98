"""`pp-mcp init`: adds this server to the settings of the clients that are installed.

Each change is shown as a diff and made only on a yes. What stands in a file stays as it is written, the file as it was
is kept beside it, and a file that is not what it should be is left alone.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import sys
import tempfile
import textwrap
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pp_mcp.commands import stop
from pp_mcp.commands.clients import BY_NAME, CLIENTS, TOKEN, ClientApp, Json, Launch, toml_table
from pp_mcp.config import Settings, SettingsError, load
from pp_mcp.errors import Refused

NAMES = click.Choice(list(BY_NAME))


@click.command()
@click.argument("clients", nargs=-1, type=NAMES)
@click.option("--demo", is_flag=True, help="Connect the demo tenant; no account needed.")
@click.option("--tenant", help="The subdomain of your PlusPlus address; PP_TENANT otherwise.")
@click.option("--base-url", help="The API's full base URL; PP_BASE_URL otherwise.")
@click.option("--yes", is_flag=True, help="Make the changes without asking.")
@click.option("--print", "by_hand", type=NAMES, help="Only print what to do by hand for this client.")
def init(
    clients: tuple[str, ...], demo: bool, tenant: str | None, base_url: str | None, yes: bool, by_hand: str | None
) -> None:
    """Add this server to CLIENTS, or to every client found on this computer."""
    if demo and (tenant or base_url):
        stop("--demo connects its own tenant: leave out --tenant and --base-url.")
    settings = _settings({"tenant": tenant, "base_url": base_url}, demo=demo)
    if by_hand:
        address = _address(settings) or {"PP_TENANT": "acme"}
        click.echo(BY_NAME[by_hand].printed(Launch(address={} if demo else address)))
        return
    chosen = [BY_NAME[name] for name in clients] or [client for client in CLIENTS if client.is_installed]
    if not chosen:
        stop(f"No client was found. See what to do by hand with --print and one of: {', '.join(BY_NAME)}.")
    if not demo and not _address(settings):
        settings = _settings({"tenant": _ask("Tenant (acme for acme.plusplus.app)", "--tenant")}, demo=False)
    launch = Launch(address={} if demo else _address(settings))
    if re.search(r"[/\\]uv[/\\](cache[/\\])?(archive|environments)-v\d", launch.command[0]):
        stop("This program runs from uv's cache, which may be emptied. Install it first, with: uv tool install .")
    done = [_connect(client, launch, settings, yes=yes) for client in chosen]
    sys.exit(not all(done))


def _settings(flags: dict[str, str | None], *, demo: bool) -> Settings:
    try:
        return load(flags, demo=demo, strict=False)
    except SettingsError as error:
        stop(f"Fix these settings first:\n{error}")


def _address(settings: Settings) -> dict[str, str]:
    if settings.tenant:
        return {"PP_TENANT": settings.tenant}
    return {"PP_BASE_URL": settings.base_url} if settings.base_url else {}


def _ask(question: str, instead: str, *, hide: bool = False) -> str:
    try:
        return click.prompt(question, hide_input=hide, err=True)
    except click.Abort:
        stop(f"\nNothing to ask at: set {instead}.")


def _connect(client: ClientApp, launch: Launch, settings: Settings, *, yes: bool) -> bool:
    """Shows and makes one change. False if the settings were left alone because they could not be changed."""
    token = settings.api_token.get_secret_value()
    if launch.address and not client.token and not token:
        question = f"{client.title} keeps the API token in its settings, readable by you only. Token"
        given = _ask(question, TOKEN, hide=True)
        token = _settings({"tenant": "acme", "api_token": given}, demo=False).api_token.get_secret_value()
    try:
        change = planned(client, launch, token)
        if change is None:
            click.echo(f"{client.title}: connected already, in {client.file}")
            return True
        click.echo(change.diff())
        if not yes and not click.confirm(f"Make this change for {client.title}?"):
            click.echo("Not changed.")
            return True
        backup = change.write()
    except Refused as error:
        click.echo(f"{client.title}: {error.message}", err=True)
        return False
    except click.Abort:
        stop("\nNothing was changed: there is nobody to ask. Give --yes to make the changes without asking.")
    click.echo(f"{client.title}: connected; restart it" + (f". The settings as they were: {backup}" if backup else ""))
    if launch.address and TOKEN in client.token:
        click.echo(f"{client.title} takes the token from {TOKEN}: set it where {client.title} is started.")
    return True


@dataclass(frozen=True)
class SettingsChange:
    """A client's settings file as it is and as it is to be. `before` is None where there is none."""

    file: Path
    before: bytes | None
    after: bytes
    secret: str = ""
    """What must be seen by nobody else, as it stands in `after`; empty if there is none."""

    def diff(self) -> str:
        """The change, line by line, without the secret."""
        old, new = ((text or b"").decode().splitlines() for text in (self.before, self.after))
        lines = difflib.unified_diff(old, new, str(self.file), f"{self.file} (new)", lineterm="", n=1)
        text = "\n".join(lines)
        return text.replace(self.secret, "…") if self.secret else text

    def write(self) -> Path | None:
        """Puts the new file in place as a whole; answers where the old one is kept.

        Raises:
            Refused: the file changed since it was read, or cannot be written; it is as it was.
        """
        target, backup = self.file.resolve(), None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if _content(target) != self.before:
                raise Refused(f"{target} has changed in the meantime, so it is left alone. Run this again.")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
                new = Path(folder) / target.name
                new.touch(0o600)
                new.write_bytes(self.after)
                if self.before is not None:
                    backup = target.with_name(f"{target.name}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.bak")
                    shutil.copy2(target, backup)
                    if not self.secret:
                        shutil.copymode(target, new)
                os.replace(new, target)
        except OSError as error:
            raise Refused(f"{target} cannot be written ({error.strerror}), so it is left alone.") from error
        return backup


def planned(client: ClientApp, launch: Launch, token: str = "") -> SettingsChange | None:
    """What connecting the client changes in its settings; None if it is connected already.

    Raises:
        Refused: the settings are not what they should be, or have another server of that name.
    """
    file = client.file
    try:
        before = _content(file)
        text = (before or b"").decode().replace("\r\n", "\n")
        settings: Any = _parsed(text, client) if text.strip() else {}
        servers: Any = settings.get(client.section, {})
        entry, known = client.entry(launch, token), servers.get(launch.name)
        if known == entry:
            return None
        if known is not None:
            raise Refused(f"{file} has another server {launch.name}, so it is left alone. Remove that one first.")
        wanted: Json = {**settings, client.section: {**servers, launch.name: entry}}
        if client.is_toml:
            after = f"{text.rstrip()}\n\n{toml_table(f'{client.section}.{launch.name}', entry)}\n".lstrip()
        else:
            after = _put(text if text.strip() else "{}\n", client.section, {launch.name: entry}, wanted)
            for asked in client.inputs(launch):
                if asked not in (inputs := wanted.get("inputs", [])):
                    wanted["inputs"] = [asked, *inputs]
                    after = _put(after, "inputs", [asked], wanted)
        if _parsed(after, client) != wanted:
            raise _left_alone(client)
        line_end = "\r\n" if b"\r\n" in (before or b"") else "\n"
        secret = "" if client.token or not launch.address else json.dumps(token)[1:-1]
        return SettingsChange(file, before, after.replace("\n", line_end).encode(), secret)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _left_alone(client) from error


def _left_alone(client: ClientApp) -> Refused:
    kind = "TOML" if client.is_toml else "plain JSON"
    return Refused(
        f"{client.file} is not the {kind} that is expected there, so it is left alone. Add the server by hand, as "
        f"pp-mcp init --print {client.name} shows."
    )


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _parsed(text: str, client: ClientApp) -> Any:
    return tomllib.loads(text) if client.is_toml else json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key twice, of which only one would be kept")
    return found


def _put(text: str, section: str, addition: Json | list[Json], wanted: Json) -> str:
    """The JSON text with more in the object or list of that name, which is made where it is missing.

    What stands in the text stays as it is written, so the place is searched for. Where none gives what is wanted, the
    text is answered as it is.
    """
    step = found[1] if (found := re.search(r'\n([ \t]+)"', text)) else "  "
    places = [(rf'"{section}"\s*:\s*[{{\[]', addition, step), (r"^\s*\{", {section: addition}, "")]
    for opening, value, indent in places:
        item = textwrap.indent(json.dumps(value, indent=step, ensure_ascii=False)[2:-2], indent)
        for found in re.finditer(opening, text):
            rest = text[found.end() :].lstrip()
            after = f"\n{indent}{rest}" if rest[:1] in "}]" else f",\n{indent}{step}{rest}"
            candidate = f"{text[: found.end()]}\n{item}{after}"
            try:
                if json.loads(candidate) == wanted:
                    return candidate
            except ValueError:
                continue  # what was found stands inside a text
    return text

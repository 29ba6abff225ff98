"""`pp-mcp call`: one tool from the shell, through the same server that clients talk to."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import click
from click.shell_completion import CompletionItem
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, Implementation, TextResourceContents
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pp_mcp import __version__
from pp_mcp.commands import chosen, make_server, server_options
from pp_mcp.commands.show import cell, console, table
from pp_mcp.declare import CONFIRM_TOKEN, Operation
from pp_mcp.inventory import BY_NAME
from pp_mcp.reports.answers import MOST
from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.csv import csv_uri
from pp_mcp.text import nearest
from pp_mcp.views import page, view_of

Json = dict[str, Any]

DONE, FAILED, USAGE, NOT_CONFIRMED, PARTIAL = range(5)
"""Exit codes. PARTIAL: not all of it was done, or nobody knows. USAGE is click's own, and that of wrong settings."""

_WRONG = ("failed", "skipped", "unknown", "not_applied")
"""Parts of an answer that tell what was not done."""


def arguments_of(tool: Operation, words: tuple[str, ...]) -> Json:
    """The arguments in `key=value` words; a list is comma-separated, JSON, or given by repeating its key.

    Raises:
        click.UsageError: a word is none, or is given twice.
    """
    given: Json = {}
    before = ""
    for word in words:
        # Shells complete `key=` and leave a space behind it: the next word is its value.
        key, equals, value = (before + word if "=" not in word and before.endswith("=") else word).partition("=")
        before = word
        if not equals:
            raise click.UsageError(f"{word!r} is not of the form key=value.")
        if tool.input_schema["properties"].get(key, {}).get("type") == "array" and value:
            given[key] = [*(given.get(key) or []), *_entries(value)]
        elif given.get(key):
            raise click.UsageError(f"{key} is given twice.")
        else:
            given[key] = value
    return {key: value for key, value in given.items() if value != ""}


def _entries(text: str) -> list[Any]:
    if not text.lstrip().startswith("["):
        return [entry for part in text.split(",") if (entry := part.strip())]
    try:
        return json.loads(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is not a list in JSON.") from None


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


class ShellCall:
    """One call, and what it shows and asks on the terminal."""

    def __init__(self, server: PlusPlusServer, *, yes: bool, as_json: bool) -> None:
        self._server, self._yes, self._json = server, yes, as_json
        self._out, self._err = console(), console(err=True)
        self._declined = False
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=self._err,
            transient=True,
            disable=not self._err.is_terminal,
        )

    async def run(self, tool: Operation, given: Json, csv: Path | None = None, html: Path | None = None) -> int:
        """Calls the tool, and on for what did not fit into one call; gives the exit code."""
        person = self._server.settings_used.confirm == "person"
        # --yes answers previews. Where only a person's answer counts, it has to be typed.
        can_ask = _has_terminal() and (person or not self._yes)
        asking: Json = {"elicitation_callback": self._elicit} if can_ask else {}
        info = Implementation(name="pp-mcp call", version=__version__)
        async with Client(self._server, client_info=info, **asking) as client:
            if csv is not None:
                return await self._save(client, tool, given, csv)
            if html is not None and "top" in tool.input_schema["properties"]:
                # A page cannot ask for the rows that it does not have.
                given = {"top": MOST, **given}
            code, name = DONE, tool.name
            while True:
                answer = await self._confirmed(client, name, given)
                if isinstance(answer, int):
                    return max(answer, code)
                if html is not None:
                    await anyio.Path(html).write_text(page(tool, given, answer), encoding="utf-8")
                    self._out.print(f"Written: {html}")
                    return DONE
                self._show(answer)
                rest = answer.get("continue")
                if answer.get("status") == "partial" and (rest is None or any(answer.get(one) for one in _WRONG)):
                    code = PARTIAL
                if rest is None:
                    return NOT_CONFIRMED if self._declined else code
                name, given = rest["tool"], rest["arguments"]

    async def _confirmed(self, client: Client, tool: str, given: Json) -> Json | int:
        """What the tool answers in the end, previews agreed to; or the exit code, where it does not come to that."""
        result, agreed = await self._call(client, tool, given), False
        while not result.is_error and (preview := _data(result)).get("status") == "confirmation_required":
            self._preview(preview)
            if self._yes and agreed:
                self._err.print("Something changed meanwhile. Not done: nothing was changed.")
                return NOT_CONFIRMED
            agreed = self._yes or self._ask()
            if not agreed:
                self._err.print("Not done: nothing was changed. Without a terminal to ask on, --yes agrees to it.")
                return NOT_CONFIRMED
            flags = dict.fromkeys(preview.get("needs", []), True)
            result = await self._call(client, tool, {**given, **flags, CONFIRM_TOKEN: preview[CONFIRM_TOKEN]})
        if not result.is_error:
            return _data(result)
        text = "\n".join(block.text for block in result.content if block.type == "text")
        self._err.print(text, style="red")
        return PARTIAL if "may have happened" in text else FAILED

    async def _call(self, client: Client, tool: str, given: Json) -> CallToolResult:
        with self._bar:
            task = self._bar.add_task(tool, total=None)

            async def told(progress: float, total: float | None, message: str | None) -> None:
                self._bar.update(task, completed=progress, total=total, description=message or tool)

            try:
                return await client.call_tool(tool, given, progress_callback=told)
            finally:
                self._bar.remove_task(task)

    async def _elicit(self, _: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self._bar.stop()
        self._err.print(params.message)
        self._declined = not self._ask()
        self._bar.start()
        return (
            ElicitResult(action="decline")
            if self._declined
            else ElicitResult(action="accept", content={"confirm": True})
        )

    def _ask(self) -> bool:
        """What the person at the terminal says; no, where there is none."""
        if not _has_terminal():
            return False
        # Ctrl-C is to end the question at once, not the event loop after it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return click.confirm("Go ahead?", default=False, err=True)
        except click.Abort:
            return False
        finally:
            signal.signal(signal.SIGINT, before)

    def _preview(self, preview: Json) -> None:
        self._err.print(str(preview["summary"]).partition(" Show this to the user;")[0])
        for effect in preview.get("effects", []):
            self._err.print(f"  - {effect}")
        if affected := preview.get("affected"):
            self._err.print(table(affected))
        if preview.get("irreversible"):
            self._err.print("This cannot be undone.", style="bold red")

    def _show(self, answer: Json) -> None:
        if self._json:
            click.echo(json.dumps(answer, ensure_ascii=False))
            return
        self._out.print(answer["summary"])
        for value in answer.values():
            if isinstance(value, list) and value and all(isinstance(one, dict) for one in cast("list[Any]", value)):
                self._out.print(table(cast("list[Json]", value)))
        if "item" in answer:
            self._out.print(table({"field": name, "value": value} for name, value in answer["item"].items()))
        for name, (before, after) in answer.get("changes", {}).items():
            self._out.print(f"  {name}: {cell(before)} → {cell(after)}")
        undo: Any = answer.get("undo") or []
        for one in cast("list[Json]", undo if isinstance(undo, list) else [undo]):
            self._out.print(f"Undo: {_shell(one)}", soft_wrap=True)
        if note := answer.get("undo_note"):
            self._out.print(note)

    async def _save(self, client: Client, tool: Operation, given: Json, file: Path) -> int:
        """Writes all rows of the answer to a file, as the resource has them that holds the whole."""
        uri = csv_uri(tool, given)
        try:
            contents = (await client.read_resource(f"{uri}{'&' if '?' in uri else '?'}part=all")).contents
        except MCPError as error:
            self._err.print(error.message, style="red")
            return FAILED
        text = "".join(one.text for one in contents if isinstance(one, TextResourceContents))
        await anyio.Path(file).write_bytes(text.encode())
        self._out.print(f"Written: {file}")
        return DONE


def _data(result: CallToolResult) -> Json:
    return cast(Json, result.structured_content or {})


def _shell(call: Mapping[str, Any]) -> str:
    """The call as a line for the shell."""
    plain = {name: one if isinstance(one, str) else json.dumps(one) for name, one in call["arguments"].items()}
    return shlex.join(["pp-mcp", "call", call["tool"], *(f"{name}={value}" for name, value in plain.items())])


def _tools(_context: click.Context, _parameter: click.Parameter, text: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=tool.title) for name, tool in BY_NAME.items() if name.startswith(text)]


def _words(context: click.Context, _parameter: click.Parameter, text: str) -> list[CompletionItem]:
    """Names of arguments, and behind one its values. Bash takes `=` for a word of its own."""
    tool = BY_NAME.get(context.params.get("tool", ""))
    properties: Json = tool.input_schema["properties"] if tool else {}
    *_, before, last = ["", "", *(context.params.get("words") or ())]
    if last == "=":
        prefix, name, value = "", before, text
    elif last.endswith("=") or (last in properties and before != "="):
        prefix, name, value = "", last.rstrip("="), text
    else:
        name, equals, value = text.partition("=")
        if not equals:
            return [CompletionItem(f"{one}=") for one in properties if one.startswith(text) and one != CONFIRM_TOKEN]
        prefix = f"{name}="
    schema: Json = properties.get(name, {})
    choices: list[str] = schema.get("enum") or schema.get("items", {}).get("enum") or []
    choices = ["true", "false"] if schema.get("type") == "boolean" else choices
    return [CompletionItem(prefix + one) for one in choices if one.startswith(value)]


@click.command()
@click.argument("tool", shell_complete=_tools)
@click.argument("words", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=_words)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON, one line for each call.")
@click.option(
    "--csv", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write all rows to this file."
)
@click.option(
    "--html", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write the report as a page."
)
@click.option("--yes", "-y", is_flag=True, help="Agree to what is previewed. PP_CONFIRM=person still asks.")
@server_options
def call(
    tool: str, words: tuple[str, ...], as_json: bool, csv: Path | None, html: Path | None, yes: bool, **options: Any
) -> None:
    """Call a tool: pp-mcp call list_users search=jane is_active=true.

    \b
    Exit codes: 0 done, or nothing to do   1 an error, nothing was changed
                2 wrong usage or settings  3 not confirmed, nothing was changed
                4 done in part, or its outcome is unknown
    """
    operation = BY_NAME.get(tool)
    if operation is None:
        near = nearest(tool, BY_NAME)
        raise click.UsageError(f"There is no tool {tool!r}{f'; did you mean {near}?' if near else '.'}")
    if csv is not None and operation.csv is None:
        raise click.UsageError(f"{tool} gives no table: --csv is for lists and reports.")
    if html is not None and view_of(operation) != "report":
        raise click.UsageError(f"{tool} gives no report: --html is for reports.")
    if html is not None and csv is not None:
        raise click.UsageError("Give either --csv or --html.")
    given = arguments_of(operation, words)
    with chosen(**options, quiet=True) as (settings, tenant):
        shell = ShellCall(make_server(settings, tenant), yes=yes, as_json=as_json)
        sys.exit(anyio.run(shell.run, operation, given, csv, html))

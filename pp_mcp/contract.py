"""The contract: what clients see of every tool and setting, written to files that are reviewed like code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from pp_mcp import __version__
from pp_mcp.config import Settings, variable
from pp_mcp.declare import Effect, Operation
from pp_mcp.inventory import ALL_TOOLS

_REQUIRED = {"api_token"}
"""Settings no tenant can be served without; of `tenant` and `base_url` one is needed, which a registry cannot say."""

_FORMATS: dict[Any, str] = {bool: "boolean", int: "number", float: "number"}

_WORDS = {
    Effect.READ: "reads",
    Effect.ADD: "adds",
    Effect.CHANGE: "changes",
    Effect.DESTROY: "changes after confirmation",
}


def tool_definition(tool: Operation) -> dict[str, Any]:
    """What `tools/list` answers for a tool."""
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def table() -> str:
    """All tools as a Markdown table, by toolset."""
    lines = ["| toolset | tool | what it does | effect |", "| --- | --- | --- | --- |"]
    before = ""
    for tool in ALL_TOOLS:
        effect = _WORDS[tool.effect]
        if tool.may_confirm and tool.effect is not Effect.DESTROY:
            effect += "; some changes after confirmation"
        shown = (
            "" if tool.toolset == before else tool.toolset + (" (off by default)" if tool.toolset == "tokens" else "")
        )
        before = tool.toolset
        lines.append(f"| {shown} | `{tool.name}` | {tool.title} | {effect} |")
    return "\n".join(lines)


def settings_table() -> str:
    """All settings as a Markdown table."""
    lines = ["| variable | what it sets |", "| --- | --- |"]
    for name, setting in Settings.model_fields.items():
        described = (setting.description or "").replace("|", "\\|")
        lines.append(f"| `{variable(name)}` | {described} |")
    return "\n".join(lines)


def environment_variables() -> list[dict[str, Any]]:
    """All settings as `server.json` names the variables of a package."""
    return [_environment_variable(name, setting) for name, setting in Settings.model_fields.items()]


def _environment_variable(name: str, setting: FieldInfo) -> dict[str, Any]:
    said: dict[str, Any] = {"name": variable(name), "description": setting.description}
    if name in _REQUIRED:
        said["isRequired"] = True
    if setting.annotation is SecretStr:
        said["isSecret"] = True
    if kind := _FORMATS.get(setting.annotation):
        said["format"] = kind
    if get_origin(setting.annotation) is Literal:
        said["choices"] = list(get_args(setting.annotation))
    return said


def files(root: Path) -> dict[Path, str]:
    """Every file of the contract with what it should hold.

    Raises:
        ValueError: README.md has no place marked for a table, or server.json is no description of a server.
    """
    folder = root / "tools"
    wanted = {
        folder / f"{tool.name}.json": json.dumps(tool_definition(tool), indent=2, ensure_ascii=False) + "\n"
        for tool in ALL_TOOLS
    }
    wanted[folder / "README.md"] = (
        "# The contract\n\nOne file per tool: exactly what `tools/list` answers for it. Written by `pp-mcp contract "
        f"--write`; a test fails when they differ from the code.\n\n{table()}\n"
    )
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted[readme] = _filled(_filled(text, "tools", table()), "settings", settings_table())
    registry = root / "server.json"
    wanted[registry] = _server_json(registry.read_text(encoding="utf-8"))
    return wanted


def _filled(text: str, place: str, table: str) -> str:
    """README.md with this table between the comments that mark its place."""
    opening, closing = f"<!-- {place} -->", f"<!-- /{place} -->"
    before, start, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not start or not end:
        raise ValueError(f"README.md has no place between {opening} and {closing}")
    return f"{before}{opening}\n{table}\n{closing}{after}"


def _server_json(text: str) -> str:
    """The registry's description of the server, with what follows from the code; the rest of it is written by hand."""
    try:
        server = json.loads(text)
        server["version"] = __version__
        for package in server["packages"]:
            package.update(version=__version__, environmentVariables=environment_variables())
    except (ValueError, KeyError, TypeError, AttributeError) as mistake:
        raise ValueError(f"server.json does not describe a server with packages: {mistake}") from mistake
    return json.dumps(server, indent=2, ensure_ascii=False) + "\n"


def differences(root: Path) -> list[str]:
    """What of the contract is not as the code would write it; empty when all is."""
    wanted = files(root)
    found = [
        f"{path.relative_to(root)} is {'missing' if not path.exists() else 'stale'}"
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    extra = sorted(set((root / "tools").glob("*.json")) - set(wanted))
    return found + [f"{path.relative_to(root)} belongs to no tool" for path in extra]


def write(root: Path) -> list[str]:
    """Writes the contract; answers what was written or removed."""
    changed = differences(root)
    wanted = files(root)
    (root / "tools").mkdir(exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    for path in set((root / "tools").glob("*.json")) - set(wanted):
        path.unlink()
    return changed

"""The contract: what clients see of every tool, written to files that are reviewed like code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pp_mcp.declare import Effect, Operation
from pp_mcp.inventory import ALL_TOOLS

START, END = "<!-- tools -->", "<!-- /tools -->"
"""Where the table of tools stands in README.md."""

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


def files(root: Path) -> dict[Path, str]:
    """Every file of the contract with what it should hold.

    Raises:
        ValueError: README.md has no place marked for the table.
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
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"README.md has no place between {START} and {END}")
    wanted[readme] = f"{before}{START}\n{table()}\n{END}{after}"
    return wanted


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

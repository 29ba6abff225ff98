"""What the menu of tools costs a model."""

from __future__ import annotations

import json
from typing import Any

from pp_mcp.config import load
from pp_mcp.menu import Listed, enabled

BUDGET = 32_500
"""Characters for the tools that are on by default."""


def compact(value: Any) -> int:
    """Characters of a value as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def entry(tool: Listed) -> dict[str, Any]:
    """What every client shows the model of a tool."""
    return {name: tool.definition[name] for name in ("name", "description", "inputSchema")}


def default_tools() -> tuple[Listed, ...]:
    """The tools that are on without any setting."""
    return enabled(load(demo=True, environ={}).toolsets)


def total() -> int:
    """Characters of the whole menu: the one figure that the budget is about."""
    return compact([entry(tool) for tool in default_tools()])


def table() -> str:
    """Every tool, the largest first, and the sum."""
    rows = ["| tool | toolset | characters |", "| --- | --- | ---: |"]
    for tool in sorted(default_tools(), key=lambda one: compact(entry(one)), reverse=True):
        rows.append(f"| `{tool.name}` | {tool.toolset} | {compact(entry(tool)):,} |")
    rows.append(f"| **all {len(default_tools())}** | | **{total():,}** of {BUDGET:,} |")
    return "\n".join(rows)

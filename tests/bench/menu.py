"""What the menu of tools costs a model."""

from __future__ import annotations

from pp_mcp.commands.tools import compact, entry
from pp_mcp.config import load
from pp_mcp.declare import Operation
from pp_mcp.inventory import BY_NAME
from pp_mcp.menu import enabled

BUDGET = 32_500
"""Characters for the tools that are on by default."""


def default_tools() -> tuple[Operation, ...]:
    """The tools that are on without any setting."""
    return tuple(BY_NAME[tool.name] for tool in enabled(load(demo=True, environ={}).toolsets))


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

"""What the menu costs a model, tool by tool."""

from __future__ import annotations

import json

from pp_mcp.declare import Operation
from pp_mcp.inventory import ALL_TOOLS

BUDGET = 30_000
"""Characters for all tools."""

BUDGET_WITHOUT = 24_000
"""Characters for all tools but those of the toolsets reports and bulk."""

LATER = frozenset({"reports", "bulk"})


def characters(tool: Operation) -> int:
    """Name, description and input schema as compact JSON."""
    schema = json.dumps(tool.input_schema, ensure_ascii=False, separators=(",", ":"))
    return len(tool.name) + len(tool.description) + len(schema)


def totals() -> tuple[int, int]:
    """All tools, and all without reports and bulk work."""
    return (
        sum(map(characters, ALL_TOOLS)),
        sum(characters(tool) for tool in ALL_TOOLS if tool.toolset not in LATER),
    )


def table() -> str:
    """Every tool, the dearest first, and the sums."""
    rows = ["| tool | toolset | characters |", "| --- | --- | ---: |"]
    for tool in sorted(ALL_TOOLS, key=characters, reverse=True):
        rows.append(f"| `{tool.name}` | {tool.toolset} | {characters(tool):,} |")
    everything, without = totals()
    rows.append(f"| **all {len(ALL_TOOLS)}** | | **{everything:,}** of {BUDGET:,} |")
    rows.append(f"| without reports and bulk | | {without:,} of {BUDGET_WITHOUT:,} |")
    return "\n".join(rows)

"""The menu: what clients see of every tool, read from a generated file without importing what the tools do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from pp_mcp.text import nearest

FILE = Path(__file__).with_name("menu.json")
"""Written by `pp-mcp contract --write`."""


class Effect(Enum):
    """What a tool does to the tenant; the annotations follow from it.

    `ADD` only adds, `CHANGE` overwrites and can be set back, `DESTROY` loses something or reaches many: it is always
    previewed and confirmed.
    """

    READ = "read"
    ADD = "add"
    CHANGE = "change"
    DESTROY = "destroy"


@dataclass(frozen=True)
class Entry:
    """What is known of a tool without importing what it does."""

    name: str
    toolset: str
    effect: Effect
    may_confirm: bool
    """Whether some of its calls must be confirmed."""


@dataclass(frozen=True)
class Listed(Entry):
    """A tool as the menu has it. `definition` is what tools/list answers for it."""

    definition: dict[str, Any]


@cache
def menu() -> Mapping[str, Listed]:
    """Every tool there is, by name."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Listed(name, one["toolset"], Effect(one["effect"]), one["may_confirm"], one["definition"])
        for name, one in sorted(read.items())
    }


def enabled(
    toolsets: frozenset[str], names: frozenset[str] = frozenset(), *, read_only: bool = False, block: bool = False
) -> tuple[Listed, ...]:
    """The tools these settings leave, sorted by name: those of the toolsets, of them only `names` where any are given,
    without writes where `read_only`, without tools that always need confirming where `block`."""
    kept = [tool for tool in menu().values() if tool.toolset in toolsets and (not names or tool.name in names)]
    if read_only:
        kept = [tool for tool in kept if tool.effect is Effect.READ]
    if block:
        kept = [tool for tool in kept if tool.effect is not Effect.DESTROY]
    return tuple(kept)


def unavailable(toolsets: frozenset[str], names: frozenset[str]) -> list[str]:
    """What is wrong with the names in PP_TOOLS: a line for each that no tool has, or whose toolset is off."""
    problems: list[str] = []
    for name in sorted(names):
        tool = menu().get(name)
        if tool is None:
            near = nearest(name, menu())
            problems.append(f"PP_TOOLS: there is no tool {name!r}" + (f"; did you mean {near}?" if near else "."))
        elif tool.toolset not in toolsets:
            problems.append(f"PP_TOOLS: {name} belongs to the toolset {tool.toolset}: add that to PP_TOOLSETS.")
    return problems

"""What a request over HTTP may narrow by header, never widen: to reading only, or to some toolsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pp_mcp.config import TOOLSETS
from pp_mcp.declare import Effect, Operation
from pp_mcp.errors import Refused

READ_ONLY = "x-pp-read-only"
ONLY_TOOLSETS = "x-pp-toolsets"


@dataclass(frozen=True)
class Narrowing:
    """What one request leaves of the menu."""

    read_only: bool = False
    toolsets: frozenset[str] | None = None

    @property
    def is_none(self) -> bool:
        """Whether the request narrows nothing."""
        return not self.read_only and self.toolsets is None

    def why_not(self, tool: Operation) -> str | None:
        """Why the request may not use a tool; None where it may."""
        if self.read_only and tool.effect is not Effect.READ:
            return f"{tool.name} is switched off for this request: it asked only to read (header X-PP-Read-Only)."
        if self.toolsets is not None and tool.toolset not in self.toolsets:
            return f"{tool.name} is switched off for this request: X-PP-Toolsets leaves out {tool.toolset}."
        return None


def narrowing_of(headers: Mapping[str, str] | None) -> Narrowing:
    """The narrowing that a request's headers ask for.

    Raises:
        Refused: a header says something else than it can; taking it for nothing could widen what was meant.
    """
    if headers is None:
        return Narrowing()
    said = headers.get(READ_ONLY, "").strip().lower()
    if said not in ("", "true", "false", "1", "0"):
        raise Refused("The header X-PP-Read-Only must be true or false. Nothing was sent.")
    toolsets: frozenset[str] | None = None
    if ONLY_TOOLSETS in headers:
        toolsets = frozenset(name.strip().lower() for name in headers[ONLY_TOOLSETS].split(",") if name.strip())
        unknown = sorted(toolsets - set(TOOLSETS))
        if unknown:
            raise Refused(f"The header X-PP-Toolsets takes {', '.join(TOOLSETS)}, comma-separated. Nothing was sent.")
    return Narrowing(read_only=said in ("true", "1"), toolsets=toolsets)

"""What a request over HTTP leaves of the menu: by the scopes of its token, and by headers that ask for less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pp_mcp.errors import Refused
from pp_mcp.menu import Effect, Entry
from pp_mcp.server.principal import SCOPES, granted
from pp_mcp.values import TOOLSETS

SCOPE_OF = {Effect.READ: SCOPES[0], Effect.ADD: SCOPES[1], Effect.CHANGE: SCOPES[1], Effect.DESTROY: SCOPES[2]}
"""The scope that a tool takes, by its effect."""

READ_ONLY = "x-pp-read-only"
ONLY_TOOLSETS = "x-pp-toolsets"


@dataclass(frozen=True)
class Narrowing:
    """What one request leaves of the menu."""

    read_only: bool = False
    toolsets: frozenset[str] | None = None
    scopes: frozenset[str] | None = None
    """None where nobody signs in."""

    @property
    def is_none(self) -> bool:
        """Whether every request gets the same menu."""
        return not self.read_only and self.toolsets is None and self.scopes is None

    def why_not(self, tool: Entry) -> str | None:
        """Why the request may not use a tool; None where it may."""
        if self.scopes is not None and SCOPE_OF[tool.effect] not in self.scopes:
            return (
                f"{tool.name} takes the scope {SCOPE_OF[tool.effect]}, which this sign-in does not have. Whoever runs "
                "this server can grant it; then the user signs in again."
            )
        if self.read_only and tool.effect is not Effect.READ:
            return f"{tool.name} is switched off for this request: it asked only to read (header X-PP-Read-Only)."
        if self.toolsets is not None and tool.toolset not in self.toolsets:
            return f"{tool.name} is switched off for this request: X-PP-Toolsets leaves out {tool.toolset}."
        return None


def narrowing_of(headers: Mapping[str, str] | None) -> Narrowing:
    """What the request that is being answered may use: what its scopes and these headers of it leave. Of a header given
    more than once, the narrowest counts.

    Raises:
        Refused: a header has an invalid value; ignoring it could allow more than was meant.
    """
    if headers is None:
        return Narrowing(scopes=granted())
    flags = [flag.strip().lower() for value in _values(headers, READ_ONLY) for flag in value.split(",")]
    if any(flag not in ("", "true", "false", "1", "0") for flag in flags):
        raise Refused("The header X-PP-Read-Only must be true or false. Nothing was sent.")
    given = [
        frozenset(name.strip().lower() for name in value.split(",") if name.strip())
        for value in _values(headers, ONLY_TOOLSETS)
    ]
    if any(names - set(TOOLSETS) for names in given):
        raise Refused(f"The header X-PP-Toolsets takes {', '.join(TOOLSETS)}, comma-separated. Nothing was sent.")
    toolsets = frozenset[str].intersection(*given) if given else None
    return Narrowing(any(flag in ("true", "1") for flag in flags), toolsets, granted())


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    """Every value of a header; a plain mapping has one at most."""
    values: Callable[[str], list[str]] | None = getattr(headers, "getlist", None)
    return values(name) if values is not None else [headers[name]] if name in headers else []

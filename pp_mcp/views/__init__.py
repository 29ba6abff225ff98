"""Views: what a host that knows MCP Apps shows beside an answer. One page each, whole, without a network or a build.

The files of this folder are put together when a page is asked for: `/*bridge.js*/` is where that file goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from mcp.server.apps import Apps, ResourceCsp

from pp_mcp.menu import Entry

_TITLES = {"report": "A report to look at", "preview": "A change to look at before it is confirmed"}


def view_of(tool: Entry) -> str | None:
    """The view that shows a tool's answers; none where text says it as well."""
    return "report" if tool.toolset == "reports" else "preview" if tool.may_confirm else None


def uri_of(view: str) -> str:
    """The view's resource."""
    return f"ui://plusplus/{view}"


@cache
def html(view: str) -> str:
    """The view as a page that waits for a host."""
    return re.sub(r"/\*(\w+\.(?:js|css))\*/", lambda place: _read(place[1]), _read(f"{view}.html"))


def page(tool: Entry, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The view as a page that opens by itself, with a tool's answer inside; it can be printed.

    Raises:
        ValueError: the tool's answers have no view.
    """
    view = view_of(tool)
    if view is None:
        raise ValueError(f"{tool.name} has no view")
    held = json.dumps({"tool": tool.name, "given": dict(arguments), "data": data}, ensure_ascii=False)
    # No text of the tenant can end the element that holds it.
    safe = held.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return html(view).replace("<!--data-->", f'<script type="application/json" id="data">{safe}</script>')


def apps(tools: Iterable[Entry]) -> Apps:
    """The extension that serves the views of these tools. They fetch nothing, so the policy names no domain."""
    extension = Apps()
    for view in sorted({view for tool in tools if (view := view_of(tool))}):
        extension.add_html_resource(
            uri_of(view), html(view), name=view, title=_TITLES[view], csp=ResourceCsp(), prefers_border=True
        )
    return extension


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")

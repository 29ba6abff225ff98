"""The conversation that every Python client has with the server, told as one line of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

ITEM = "Introduction to Public Speaking"
"""A content item of the demo tenant."""

Say = Callable[[str, dict[str, Any]], Awaitable[str]]
"""Calls a tool; answers with the text that the model gets to read."""


async def talk(say: Say) -> dict[str, str]:
    """A read, the same as frameworks fill it in, an error, a report, a preview and what was confirmed."""
    heard: dict[str, str] = {}

    async def step(name: str, tool: str, arguments: dict[str, Any]) -> str:
        try:
            heard[name] = await say(tool, arguments)
        except Exception as error:
            heard[name] = f"FAILED {type(error).__name__}: {error}"
        return heard[name]

    await step("read", "list_users", {"page_size": 2})
    await step("filled", "list_users", {"page_size": 2, "search": None, "manager": "", "page": None})
    await step("error", "get_user", {"user": "nobody@example.com"})
    await step("report", "report_assignments", {"group_by": ["state"]})
    preview = await step("preview", "archive_content_items", {"items": [ITEM]})
    token = re.search(r'"confirm_token":\s*"([^"]+)"', preview)
    await step("confirmed", "archive_content_items", {"items": [ITEM], "confirm_token": token[1] if token else ""})
    return heard


def tell(**heard: Any) -> None:
    """Prints what was heard."""
    print(json.dumps(heard))

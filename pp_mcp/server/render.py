"""An answer as it goes out: cleaned of what hides, in compact JSON, and never longer than a client takes.

Text and `structuredContent` hold the same object. What does not fit is left out with a word about it, as valid JSON.
"""

from __future__ import annotations

import json
from typing import Any, cast

from mcp.types import CallToolResult, ContentBlock, ResourceLink, TextContent
from pydantic import BaseModel

from pp_mcp.answers import ErrorAnswer, ListAnswer
from pp_mcp.text import neutralise, word

LIMIT = 40_000
"""Characters of one answer; clients cut or refuse longer ones at 50,000 or so."""

ROW_LIMIT = 320
"""Characters of a concise row, on average over a page: 25 rows stay under 8,000."""

REPORT_LIMIT = 6_000
"""Characters of a report of up to `REPORT_ROWS` rows, which is what it has where nothing else is asked for."""

REPORT_ROWS = 16

VALUE_LIMIT = 2_000
"""Characters of one text value, such as a description."""

_WHOLE = frozenset({"public_id", "email", "confirm_token", "expires_at", "tool", "request_id", "csv"})
"""Fields that are of no use when cut: only a value too long to be such a thing is, and the URI, ours, never."""


def rendered(answer: BaseModel, *, detail: str = "full") -> CallToolResult:
    """The result of a tool call. `detail` is what a list's caller asked for: concise rows have a tighter limit."""
    data = cast("dict[str, Any]", _clean(answer.model_dump(mode="json", exclude_unset=True), VALUE_LIMIT))
    if isinstance(answer, ListAnswer):
        limit = LIMIT
        if detail == "concise":
            limit = min(LIMIT, ROW_LIMIT * max(len(data["items"]), 10))
        data = _fit(data, "items", limit)
    elif "rows" in data:
        data = _fit(data, "rows", REPORT_LIMIT if len(data["rows"]) <= REPORT_ROWS else LIMIT)
    elif len(compact(data)) > LIMIT:
        data = _fit(data, "items", LIMIT)
    content: list[ContentBlock] = [TextContent(text=compact(data))]
    if "csv" in data:
        content.append(ResourceLink(uri=data["csv"], name="all rows as CSV", mime_type="text/csv"))
    return CallToolResult(content=content, structured_content=data)


def rendered_error(error: ErrorAnswer) -> CallToolResult:
    """An error as a result the model reads: the message first, then what it can use."""
    data = cast("dict[str, Any]", _clean(error.model_dump(mode="json", exclude_none=True), 1_500))
    lines = [data["message"]]
    for candidate in data.get("candidates", []):
        lines.append("- " + json.dumps(candidate, ensure_ascii=False))
    if "check" in data:
        lines.append(
            f"Check with {data['check']['tool']} {json.dumps(data['check']['arguments'], ensure_ascii=False)}."
        )
    if "request_id" in data:
        lines.append(f"Request id: {word(data['request_id'])}")
    return CallToolResult(content=[TextContent(text="\n".join(lines))], structured_content=data, is_error=True)


def compact(data: Any) -> str:
    """JSON without spaces."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _clean(value: Any, limit: int, key: str = "") -> Any:
    if isinstance(value, str):
        whole = None if key == "csv" else VALUE_LIMIT
        return neutralise(value, whole if key in _WHOLE or key.endswith(("_email", "_id")) else limit)
    if isinstance(value, list):
        return [_clean(one, limit, key) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {neutralise(name, 200): _clean(one, limit, name) for name, one in cast("dict[str, Any]", value).items()}
    return value


def _fit(data: dict[str, Any], rows: str, limit: int) -> dict[str, Any]:
    """Cuts long values in the rows, then leaves out the last rows, until it fits."""
    for longest in (None, 120, 60, 40):
        if longest is not None:
            data = {**data, rows: _clean(data.get(rows, []), longest)}
        if len(compact(data)) <= limit:
            return data
    kept: list[Any] = data.get(rows, [])
    everything = len(kept)
    room = limit - len(compact({**data, rows: []})) - 300
    used = 0
    shown: list[Any] = []
    for row in kept:
        used += len(compact(row)) + 1
        if used > room:
            break
        shown.append(row)
    missing = everything - len(shown)
    data = {**data, rows: shown, "left_out": missing}
    data["summary"] = f"{data['summary']} {_how_to_get(data, len(shown), missing)}"
    return data


def _how_to_get(data: dict[str, Any], shown: int, missing: int) -> str:
    if "page_size" not in data:
        return f"{missing:,} more rows did not fit into this answer."
    size = max(shown, 1)
    start = (data["page"] - 1) * data["page_size"] + shown
    return (
        f"Too long: the last {missing:,} rows of this page are left out; "
        f"page={start // size + 1} with page_size={size} has them."
    )

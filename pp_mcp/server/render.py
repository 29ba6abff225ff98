"""An answer as it goes out: cleaned of what hides, in compact JSON, and never longer than a client takes.

Text and `structuredContent` hold the same object. What does not fit is left out with a word about it, as valid JSON.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from pp_mcp.answers import ErrorAnswer, ListAnswer
from pp_mcp.text import listed, neutralise, word

LIMIT = 40_000
"""Characters of one answer; clients cut or refuse longer ones at 50,000 or so."""

ROW_LIMIT = 320
"""Characters of a concise row, on average over a page: 25 rows stay under 8,000."""

REPORT_LIMIT = 6_000
"""Characters of a report of up to `REPORT_ROWS` rows, which is what it has where nothing else is asked for."""

REPORT_ROWS = 16

_WORDS_ROOM = 300
"""Characters kept for saying what was left out."""

_LEAST_ROOM = 6_000
"""Characters that an undo leaves for the rest of an answer; one that is longer is left out."""

VALUE_LIMIT = 2_000
"""Characters of one text value, such as a description."""

LABEL_LIMIT = 200
"""Characters of a name or title, which is one line wherever it stands for a thing."""

_LABELS = frozenset({"name", "title", "label"})

_WHOLE = frozenset({"public_id", "email", "confirm_token", "expires_at", "tool", "request_id", "csv"})
"""Fields that are of no use when cut: only a value too long to be such a thing is, and the URI, ours, never."""


def rendered(answer: BaseModel, *, detail: str = "full") -> CallToolResult:
    """The result of a tool call. `detail` is what a list's caller asked for: concise rows have a tighter limit."""
    dumped = _said(answer.model_dump(mode="json", exclude_unset=True, by_alias=True))
    item = cast("dict[str, Any] | None", dumped.get("item"))
    data, text = dumped, compact(dumped)
    if not _is_clean(text):
        data = cast("dict[str, Any]", _clean(dumped, VALUE_LIMIT, label_limit=LABEL_LIMIT))
        if item is not None:
            # The thing itself, asked for by its id, may have a longer name than a row has room for.
            data["item"] |= {name: _clean(value, VALUE_LIMIT) for name, value in item.items() if name in _LABELS}
        text = compact(data)
    rows, limit = "", LIMIT
    if isinstance(answer, ListAnswer):
        rows = "items"
        if detail == "concise":
            limit = min(LIMIT, ROW_LIMIT * max(len(data["items"]), 10))
    elif "rows" in data:
        rows, limit = "rows", REPORT_LIMIT if len(data["rows"]) <= REPORT_ROWS else LIMIT
    if rows and len(text) > limit:
        data = _fit(data, rows, limit)
        text = compact(data)
    if len(text) > LIMIT:
        data = _trim(data, LIMIT - _WORDS_ROOM)
        text = compact(data)
    return CallToolResult(content=[TextContent(text=text)], structured_content=data)


def _said(data: dict[str, Any]) -> dict[str, Any]:
    """The answer without what is null, for which there is no type in its schema; in `changes` an empty field is ""."""
    said = {name: value for name, value in data.items() if value is not None}
    if "changes" in said:
        pairs = cast("dict[str, list[Any]]", said["changes"])
        said["changes"] = {name: ["" if one is None else one for one in pair] for name, pair in pairs.items()}
    return said


def rendered_error(error: ErrorAnswer) -> CallToolResult:
    """An error as text alone: the message first, then what the reader can use. Some clients check `structuredContent`
    against the output schema even here, and show the model nothing where it does not fit."""
    lines = [neutralise(error.message, 1_500)]
    lines += [f"- {compact(_clean(candidate, 200))}" for candidate in error.candidates or []]
    if error.check is not None:
        lines.append(f"Check with {error.check.tool} {compact(_clean(error.check.arguments, 200))}.")
    facts = [f"code {word(error.code)}"]
    facts += [f"HTTP {error.status}"] if error.status is not None else []
    facts += ["may be tried again"] if error.retryable else []
    facts += [f"wait {error.retry_after:.0f} s"] if error.retry_after is not None else []
    facts += [f"request id {word(error.request_id)}"] if error.request_id else []
    return CallToolResult(content=[TextContent(text="\n".join([*lines, f"({'; '.join(facts)})"]))], is_error=True)


def compact(data: Any) -> str:
    """JSON without spaces."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


_LONG = re.compile(f'"[^"]{{{LABEL_LIMIT + 1},}}"')


def _is_clean(text: str) -> bool:
    """Whether there is nothing to do for `_clean` in this compact JSON: as in most answers, and it takes a tenth of the
    time to see. No backslash: no text has a line break, a control or a quotation mark in it."""
    return (
        not any(part in text for part in ("\\", "  ", '" ', ' "'))
        and neutralise(text) == text
        and _LONG.search(text) is None
    )


def _clean(value: Any, limit: int, key: str = "", *, label_limit: int | None = None) -> Any:
    """The value without what hides, its texts cut. `label_limit`: names and titles are one line of at most so many."""
    if isinstance(value, str):
        if key in _WHOLE or key.endswith(("_email", "_id")):
            return neutralise(value, None if key == "csv" else VALUE_LIMIT)
        if label_limit is not None and key in _LABELS:
            return neutralise(" ".join(neutralise(value).split()), min(limit, label_limit))
        return neutralise(value, limit)
    if isinstance(value, list):
        return [_clean(one, limit, key, label_limit=label_limit) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            neutralise(name, 200): _clean(one, limit, name, label_limit=label_limit)
            for name, one in cast("dict[str, Any]", value).items()
        }
    return value


def _fit(data: dict[str, Any], rows: str, limit: int) -> dict[str, Any]:
    """Cuts long values in the rows, then leaves out the last rows, until it fits."""
    for longest in (120, 60, 40):
        data = {**data, rows: _clean(data[rows], longest)}
        if len(compact(data)) <= limit:
            return data
    kept: list[Any] = data[rows]
    room = limit - len(compact({**data, rows: []})) - _WORDS_ROOM
    shown = 0
    left_inside: Counter[str] = Counter()
    for row in kept:
        left_inside += _shorten(row, room) if shown == 0 else Counter()
        room -= len(compact(row)) + 2
        if room < 0:
            break
        shown += 1
    if "page_size" in data:
        shown = _whole_pages(data["page_size"], shown)
    missing = len(kept) - shown
    data = {**data, rows: kept[:shown], "left_out": missing or left_inside.total()}
    if missing:
        data["summary"] = f"{data['summary']} {_how_to_get(data, shown, missing)}"
    if left_inside:
        data["summary"] = f"{data['summary']} {_left_inside(left_inside)}"
    return data


def _whole_pages(page_size: int, shown: int) -> int:
    """So many of the rows that the others are whole pages of that size, where that costs at most half of them."""
    even = max((size for size in range(1, shown + 1) if page_size % size == 0), default=shown)
    return even if 2 * even >= shown else shown


def _how_to_get(data: dict[str, Any], shown: int, missing: int) -> str:
    rows = "row" if missing == 1 else f"{missing:,} rows"
    if "page_size" not in data:
        return f"Too long: the last {rows} did not fit into this answer."
    size = max(shown, 1)
    start = (data["page"] - 1) * data["page_size"] + shown
    first, last = start // size + 1, (start + missing - 1) // size + 1
    has = (
        f"page={first} with page_size={size} has"
        if first == last
        else f"page={first} to {last}, page_size={size}, have"
    )
    others = start % size or ((start + missing) % size and start + missing != data.get("total_count"))
    again = ", among other rows" if others else ""
    them = "it" if missing == 1 else "them"
    return f"Too long: the last {rows} of this page {'is' if missing == 1 else 'are'} left out; {has} {them}{again}."


def _trim(data: dict[str, Any], limit: int) -> dict[str, Any]:
    """Makes one thing fit: without an undo that is too long, without the ends of the longest lists inside, such as the
    groups that may see it, with shorter texts, and at last without the fields that come last."""
    undo = len(compact(data.get("undo")))
    if undo > limit - _LEAST_ROOM:
        # Half of an undo is another change.
        undo = 0
        del data["undo"]
        data["undo_note"] = "The call that undoes it is too long for one answer: undo it in parts, from your own list."
    rest = {name: value for name, value in data.items() if name != "undo"}
    left_out = _shorten(rest, limit - undo)
    for longest in (1_000, 300, 100):
        if len(compact(rest)) > limit - undo:
            rest = cast("dict[str, Any]", _clean(rest, longest))
    item = cast("dict[str, Any]", rest.get("item") or {})
    while len(compact(rest)) > limit - undo and len(item) > 2:
        item.popitem()
        left_out["fields"] += 1
    if left_out:
        rest["left_out"] = left_out.total()
        rest["summary"] = f"{rest['summary']} {_left_inside(left_out)}"
    return {
        name: data[name] if name == "undo" and undo else rest[name]
        for name in [*data, "left_out"]
        if name in rest or (name == "undo" and undo)
    }


def _left_inside(left_out: Counter[str]) -> str:
    return f"Too long: the last {listed([f'{count:,} of {name}' for name, count in left_out.items()], 8)} are left out."


def _shorten(data: dict[str, Any], limit: int) -> Counter[str]:
    """Halves the longest list inside, in place, until it fits; answers how many entries of what went. Pairs stay."""
    left_out: Counter[str] = Counter()
    while len(compact(data)) > limit:
        found = [(len(compact(values)), name, values) for name, values in _lists(data) if len(values) > 2]
        if not found:
            break
        _, name, longest = max(found, key=lambda one: one[0])
        left_out[name] += len(longest) - len(longest) // 2
        del longest[len(longest) // 2 :]
    return left_out


def _lists(value: Any, name: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every list inside, with the name of the field it stands in."""
    if isinstance(value, list):
        yield name, cast("list[Any]", value)
        for one in cast("list[Any]", value):
            yield from _lists(one, name)
    elif isinstance(value, dict):
        for key, one in cast("dict[str, Any]", value).items():
            yield from _lists(one, key)

"""Tables on a terminal, whole lines in a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pp_mcp.text import neutralise

NO_WRAP = 10_000
"""Characters of a line where there is no terminal to wrap it for."""


def console(*, err: bool = False) -> Console:
    """Where to print: stdout or stderr."""
    made = Console(stderr=err, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = NO_WRAP
    return made


def table(rows: Iterable[Mapping[str, Any]], styles: Mapping[str, str] | None = None) -> Table:
    """The rows as a table; its columns are the fields that any row has. `styles` are those of cells, by their text."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    shown = list(rows)
    columns = list(dict.fromkeys(name for row in shown for name in row))
    for name in columns:
        are_numbers = {type(row.get(name)) for row in shown} <= {int, float, type(None)}
        made.add_column(Text(name), justify="right" if are_numbers else "left", overflow="fold")
    for row in shown:
        texts = [cell(row.get(name)) for name in columns]
        made.add_row(*(Text(text, style=(styles or {}).get(text, "")) for text in texts))
    return made


def cell(value: Any) -> str:
    """A value as one line: of a thing its name, e-mail or id, of a list all of it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(map(cell, cast("list[Any]", value)))
        case dict():
            inner = cast("dict[str, Any]", value)
            names = (inner[name] for name in ("name", "email", "public_id") if inner.get(name))
            return cell(next(names, None) or json.dumps(inner, ensure_ascii=False))
        case _:
            return " ".join(neutralise(str(value)).split())

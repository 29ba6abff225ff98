"""Rows as CSV that a spreadsheet opens and computes nothing of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from pp_mcp.text import neutralise

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 - the wide forms count as well
"""A spreadsheet takes a cell that begins with one of these for a formula, some after white space too."""

END = "\r\n"
"""Of a line (RFC 4180). The writer must know it, to put quotes around a text that holds it."""


class Line(NamedTuple):
    """A row as text, with no line end, and how many cells it has."""

    text: str
    cells: int


class Sheet:
    """Makes lines of rows. It has the columns of `header`, and behind them those that turn up in rows."""

    def __init__(self, header: Iterable[str]) -> None:
        self._columns = dict.fromkeys(header)
        self._file = io.StringIO()
        self._writer = csv.writer(self._file, lineterminator=END)

    def line(self, row: dict[str, Any]) -> Line:
        """The row as a line; it may be shorter than later ones."""
        for name, value in row.items():
            if value is not None:
                self._columns.setdefault(name)
        return self._line([row.get(name) for name in self._columns])

    def text(self, lines: Iterable[Line]) -> str:
        """Header and lines, each with its end."""
        width = len(self._columns)
        parts = [self._line(list(self._columns)).text]
        parts += [line.text + "," * (width - line.cells) for line in lines]
        return END.join(parts) + END

    def _line(self, values: list[Any]) -> Line:
        self._file.seek(0)
        self._file.truncate()
        self._writer.writerow([cell(value) for value in values])
        return Line(self._file.getvalue().removesuffix(END), len(values))


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The row with what is inside its fields as fields of its own: `user: {name}` as `user_name`."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= flat(cast(dict[str, Any], value), f"{prefix}{name}_")
        else:
            found[prefix + name] = value
    return found


def cell(value: Any) -> str:
    """A value as a cell: nothing for null, lists joined, and an apostrophe before what a spreadsheet would compute."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "; ".join(_part(one) for one in cast(list[Any], value)) if isinstance(value, list) else str(value)
    clean = neutralise(text)
    return f"'{clean}" if clean.lstrip().startswith(_FORMULA) else clean


def _part(value: Any) -> str:
    return str(cast(dict[str, Any], value).get("name", value)) if isinstance(value, dict) else str(value)

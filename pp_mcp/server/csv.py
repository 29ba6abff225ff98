"""Rows as CSV that a spreadsheet opens and computes nothing of."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast, get_args
from urllib.parse import quote

from pydantic import BaseModel

from pp_mcp.answers import ListAnswer
from pp_mcp.api.walk import walk_pages
from pp_mcp.declare import Call, Operation
from pp_mcp.errors import PlusPlusError
from pp_mcp.models import Page
from pp_mcp.reports.answers import EVERY, ReportAnswer
from pp_mcp.text import neutralise

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 - the wide forms count as well
"""A spreadsheet takes a cell that begins with one of these for a formula, some after white space too."""

END = "\r\n"
"""Of a line (RFC 4180). The writer must know it, to put quotes around a text that holds it."""

Values = dict[str, Any]

_NOT_IN_A_URI = frozenset({"page", "page_size", "detail", "top"})


class IncompleteTable(PlusPlusError):
    """Not all rows could be read. A part of a table would be taken for the whole, so none is given."""


def arguments_of(tool: Operation) -> list[str]:
    """The tool's arguments that the URI of its CSV takes."""
    return [name for name in tool.arguments.model_fields if name not in _NOT_IN_A_URI]


def csv_template(tool: Operation) -> str:
    """The URI template of a tool's CSV (RFC 6570)."""
    return f"plusplus://{tool.csv}.csv{{?{','.join(arguments_of(tool))}}}"


def csv_uri(tool: Operation, given: Values) -> str:
    """The URI of all rows for these arguments, as a client gave them."""
    query = [f"{name}={_in_a_uri(given[name])}" for name in arguments_of(tool) if given.get(name) is not None]
    return f"plusplus://{tool.csv}.csv" + (f"?{'&'.join(query)}" if query else "")


def _in_a_uri(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_in_a_uri(one) for one in cast("list[Any]", value))
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe="")


async def csv_text(tool: Operation, call: Call, values: Values) -> str:
    """All rows of a tool's answer to these values.

    Raises:
        IncompleteTable: not all rows could be read.
    """
    if tool.record is None:
        answer: ReportAnswer = await tool.function(call, **{**values, "top": EVERY})
        _check(answer.coverage)
        sheet = Sheet(answer.found.header)
        return sheet.text([sheet.line(row) for row in answer.found.every_row()])
    return await _every_page(tool, call, values, Sheet(columns_of(tool.record)))


class _Placed(NamedTuple):
    """A line and the page it stood on: pages come in any order."""

    public_id: str
    page: int
    line: SheetLine


async def _every_page(tool: Operation, call: Call, values: Values, sheet: Sheet) -> str:
    """The rows of a list, over all its pages. Only their text is kept."""
    found: list[_Placed] = []

    async def page(number: int, size: int) -> Page[_Placed]:
        asked = {**values, "page": number, "page_size": size, "detail": "full"}
        answer: ListAnswer[Any] = await tool.function(call, **asked)
        rows = [
            _Placed(row.public_id, number, sheet.line(flat(row.model_dump(mode="json", exclude_unset=True))))
            for row in answer.items
        ]
        pages = math.ceil(answer.total_count / answer.page_size)
        return Page(rows, number, answer.page_size, answer.total_count, pages)

    _check(await walk_pages(call.api, page, found.append, found.clear))
    found.sort(key=lambda placed: placed.page)
    return sheet.text(placed.line for placed in found)


def _check(coverage: Any) -> None:
    if not coverage.complete:
        raise IncompleteTable(
            f"Only {coverage.rows_read:,} of {coverage.rows_total:,} rows could be read: {coverage.reason}. A part "
            "would be taken for the whole, so there is no table; narrow the query or try again."
        )


class SheetLine(NamedTuple):
    """A row as text, without its end, and how many cells it has."""

    text: str
    cells: int


class Sheet:
    """Makes lines of rows. It has the columns of `header`, and behind them those that turn up in rows."""

    def __init__(self, header: Iterable[str]) -> None:
        self._columns = dict.fromkeys(header)
        self._file = io.StringIO()
        self._writer = csv.writer(self._file, lineterminator=END)

    def line(self, row: dict[str, Any]) -> SheetLine:
        """The row as a line; it may be shorter than later ones."""
        for name, value in row.items():
            if value is not None:
                self._columns.setdefault(name)
        return self._line([row.get(name) for name in self._columns])

    def text(self, lines: Iterable[SheetLine]) -> str:
        """Header and lines, each with its end."""
        width = len(self._columns)
        parts = [self._line(list(self._columns)).text]
        parts += [line.text + "," * (width - line.cells) for line in lines]
        return END.join(parts) + END

    def _line(self, values: list[Any]) -> SheetLine:
        self._file.seek(0)
        self._file.truncate()
        self._writer.writerow([cell(value) for value in values])
        return SheetLine(self._file.getvalue().removesuffix(END), len(values))


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


def columns_of(record: type[BaseModel]) -> Iterator[str]:
    """The columns that a record of the API has at least."""
    for name, field in record.model_fields.items():
        arms = (field.annotation, *get_args(field.annotation))
        inner = next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, BaseModel)), None)
        if inner is None:
            yield name
        else:
            yield from (f"{name}_{part}" for part in inner.model_fields)

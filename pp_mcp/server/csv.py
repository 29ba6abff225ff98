"""Rows as CSV that a spreadsheet opens and computes nothing of."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast, get_args
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from pp_mcp.answers import ListAnswer
from pp_mcp.api.walk import Coverage, walk_pages
from pp_mcp.declare import Call, Operation
from pp_mcp.errors import PlusPlusError
from pp_mcp.inventory import BY_NAME
from pp_mcp.models import Article, Assignment, ContentItem, Enrollment, Group, Page, User
from pp_mcp.reports import answers
from pp_mcp.reports.assignments import assignment_table
from pp_mcp.reports.content import content_table
from pp_mcp.reports.enrollments import enrollment_table
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


Values = dict[str, Any]

_NOT_IN_A_URI = frozenset({"page", "page_size", "detail", "top"})


class IncompleteTable(PlusPlusError):
    """Not all rows could be read. A part of a table would be taken for the whole, so none is given."""


@dataclass(frozen=True)
class Table:
    """One kind of CSV: the tool whose arguments its URI takes, and what makes it of them.

    `make` raises IncompleteTable where not all rows could be read.
    """

    path: str
    tool: Operation
    make: Callable[[Call, Values], Awaitable[str]]

    @property
    def query(self) -> list[str]:
        """The arguments that the URI carries."""
        return [name for name in self.tool.arguments.model_fields if name not in _NOT_IN_A_URI]

    @property
    def uri_template(self) -> str:
        """RFC 6570."""
        return f"plusplus://{self.path}.csv{{?{','.join(self.query)}}}"

    def uri(self, given: Values) -> str:
        """The URI of the rows for these arguments, as a client gave them."""
        query: dict[str, str] = {}
        for name in self.query:
            value = given.get(name)
            if isinstance(value, list):
                query[name] = ",".join(str(one) for one in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON
            elif value is not None:
                query[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return f"plusplus://{self.path}.csv" + (f"?{urlencode(query, quote_via=quote)}" if query else "")


def _report(
    table: Callable[[Call, Values], Awaitable[answers.Table]],
) -> Callable[[Call, Values], Awaitable[str]]:
    """The rows of a report."""

    async def make(call: Call, values: Values) -> str:
        made = await table(call, values)
        _check(made.coverage)
        sheet = Sheet(made.header)
        return sheet.text([sheet.line(row) for row in made.rows])

    return make


class _Placed(NamedTuple):
    """A line and the page it stood on: pages come in any order."""

    public_id: str
    page: int
    line: Line


def _list(tool: Operation, model: type[BaseModel]) -> Callable[[Call, Values], Awaitable[str]]:
    """The rows of a list tool, over all its pages. Only their text is kept."""

    async def make(call: Call, values: Values) -> str:
        sheet = Sheet(columns_of(model))
        found: list[tuple[int, Line]] = []

        async def page(number: int, size: int) -> Page[_Placed]:
            asked = {**values, "page": number, "page_size": size, "detail": "full"}
            answer: ListAnswer[Any] = await tool.function(call, **asked)
            rows = [
                _Placed(row.public_id, number, sheet.line(flat(row.model_dump(mode="json", exclude_unset=True))))
                for row in answer.items
            ]
            pages = math.ceil(answer.total_count / answer.page_size)
            return Page(rows, number, answer.page_size, answer.total_count, pages)

        def take(row: _Placed) -> None:
            found.append((row.page, row.line))

        _check(await walk_pages(call.api, page, take, found.clear))
        found.sort(key=lambda placed: placed[0])
        return sheet.text(line for _, line in found)

    return make


def columns_of(model: type[BaseModel]) -> Iterator[str]:
    """The columns that a record of the API has at least."""
    for name, field in model.model_fields.items():
        arms = (field.annotation, *get_args(field.annotation))
        inner = next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, BaseModel)), None)
        if inner is None:
            yield name
        else:
            yield from (f"{name}_{part}" for part in inner.model_fields)


def _check(coverage: Coverage) -> None:
    if not coverage.complete:
        raise IncompleteTable(
            f"Only {coverage.rows_read:,} of {coverage.rows_total:,} rows could be read: {coverage.reason}. A part "
            "would be taken for the whole, so there is no table; narrow the query or try again."
        )


TABLES: tuple[Table, ...] = (
    Table("reports/assignments", BY_NAME["report_assignments"], _report(assignment_table)),
    Table("reports/content", BY_NAME["report_content"], _report(content_table)),
    Table("reports/enrollments", BY_NAME["report_enrollments"], _report(enrollment_table)),
    *(
        Table(f"lists/{path}", BY_NAME[tool], _list(BY_NAME[tool], model))
        for path, tool, model in (
            ("users", "list_users", User),
            ("groups", "list_groups", Group),
            ("group_members", "list_group_members", User),
            ("content", "search_content", ContentItem),
            ("articles", "list_articles", Article),
            ("assignments", "list_assignments", Assignment),
            ("overdue_assignments", "list_overdue_assignments", Assignment),
            ("enrollments", "list_enrollments", Enrollment),
        )
    ),
)

TABLE_OF = {table.tool.name: table for table in TABLES}

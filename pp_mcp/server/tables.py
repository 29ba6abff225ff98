"""Reports and lists whole, as CSV: resources whose URI carries the query, so that nothing is stored between calls."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from pp_mcp.answers import ListAnswer
from pp_mcp.api import Api
from pp_mcp.api.walk import Coverage, walk_pages
from pp_mcp.declare import Call, Operation
from pp_mcp.errors import PlusPlusError
from pp_mcp.inventory import BY_NAME
from pp_mcp.models import Page
from pp_mcp.reports.assignments import all_assignment_rows
from pp_mcp.reports.content import check_catalogue
from pp_mcp.reports.enrollments import count_enrollments
from pp_mcp.text import neutralise

Rows = list[dict[str, Any]]
Values = dict[str, Any]

_NOT_IN_A_URI = frozenset({"page", "page_size", "detail", "top"})

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins with one of these for a formula."""


@dataclass(frozen=True)
class Table:
    """One kind of CSV: the tool whose arguments its URI takes, and where its rows come from."""

    path: str
    tool: Operation
    rows: Callable[[Call, Values], Awaitable[tuple[Rows, Coverage]]]

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


async def _assignments(call: Call, values: Values) -> tuple[Rows, Coverage]:
    rows, read = await all_assignment_rows(call, values)
    return rows, read.coverage


async def _content(call: Call, values: Values) -> tuple[Rows, Coverage]:
    checked, coverage, _ = await check_catalogue(
        call, values["content_type"], values["channel"], values["group"], values["stale_days"]
    )
    return [checked.row(item) for item in checked.flagged()], coverage


async def _enrollments(call: Call, values: Values) -> tuple[Rows, Coverage]:
    event, user = values["event"], values["user"]
    dimensions = list(dict.fromkeys(values["group_by"] or (["user"] if event else ["event"])))
    filters = {
        "event": event.public_id if event else None,
        "user": user.public_id if user else None,
        "created_gte": values["created_gte"],
        "created_lte": values["created_lte"],
    }
    attendance, coverage = await count_enrollments(call, dimensions, filters)
    return [attendance.row(key, rates=coverage.complete) for key in attendance.ordered()], coverage


def _all_pages(tool: Operation) -> Callable[[Call, Values], Awaitable[tuple[Rows, Coverage]]]:
    """The rows of a list tool, over all its pages."""

    async def rows(call: Call, values: Values) -> tuple[Rows, Coverage]:
        found: Rows = []

        async def page(number: int, size: int) -> Page[BaseModel]:
            asked = {**values, "page": number, "page_size": size, "detail": "full"}
            answer: ListAnswer[Any] = await tool.function(call, **asked)
            items: list[BaseModel] = answer.items
            pages = -(-answer.total_count // size)
            return Page(items, number, size, answer.total_count, pages)

        def take(row: BaseModel) -> None:
            found.append(_flat(row.model_dump(mode="json", exclude_unset=True)))

        api: Api = call.api
        coverage = await walk_pages(api, page, take, found.clear)
        return found, coverage

    return rows


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}_")  # pyright: ignore[reportUnknownArgumentType] - JSON
        else:
            flat[prefix + name] = value
    return flat


TABLES: tuple[Table, ...] = (
    Table("reports/assignments", BY_NAME["report_assignments"], _assignments),
    Table("reports/content", BY_NAME["report_content"], _content),
    Table("reports/enrollments", BY_NAME["report_enrollments"], _enrollments),
    *(
        Table(f"lists/{path}", BY_NAME[tool], _all_pages(BY_NAME[tool]))
        for path, tool in (
            ("users", "list_users"),
            ("groups", "list_groups"),
            ("group_members", "list_group_members"),
            ("content", "search_content"),
            ("articles", "list_articles"),
            ("assignments", "list_assignments"),
            ("overdue_assignments", "list_overdue_assignments"),
            ("enrollments", "list_enrollments"),
        )
    ),
)

TABLE_OF = {table.tool.name: table for table in TABLES}


class IncompleteTable(PlusPlusError):
    """Not all rows could be read. A part of a table would be taken for the whole, so none is given."""


def as_csv(rows: Rows, coverage: Coverage) -> str:
    """The rows with a header, CRLF line ends (RFC 4180), every text cleaned and no cell a formula.

    Raises:
        IncompleteTable: not all rows were read.
    """
    if not coverage.complete:
        raise IncompleteTable(
            f"Only {coverage.rows_read:,} of {coverage.rows_total:,} rows could be read: {coverage.reason}. Narrow "
            "the query."
        )
    header = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([cell(name) for name in header])
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in header])
    return file.getvalue()


def _part(value: Any) -> str:
    return str(cast(dict[str, Any], value).get("name", value)) if isinstance(value, dict) else str(value)


def cell(value: Any) -> str:
    """A value as a cell: nothing for null, lists joined, and an apostrophe before what a spreadsheet would compute."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return cell("; ".join(_part(one) for one in cast(list[Any], value)))
    text = neutralise(str(value))
    return f"'{text}" if text.lstrip(" \n").startswith(_FORMULA) else text

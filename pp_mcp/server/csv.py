"""Rows as CSV that a spreadsheet opens and computes nothing of."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, cast, get_args
from urllib.parse import quote, unquote

from anyio.lowlevel import checkpoint
from pydantic import BaseModel

from pp_mcp.answers import Answer, ListAnswer
from pp_mcp.api.walk import PAGE_SIZE, walk_pages
from pp_mcp.declare import Call, Operation
from pp_mcp.errors import InvalidArgument, PlusPlusError
from pp_mcp.models import Page
from pp_mcp.reports.answers import EVERY, ReportAnswer
from pp_mcp.text import listed, nearest, neutralise, plural, word

_SIGNS = "=+-@\u02d7\u2212\u30a0\u29fe\ua78a\ufb29\u2795\u2796\u1400\u2e40\u2043"
"""Signs that begin a formula, and what looks like one and is neither a dash nor a wide or small form of it."""

_BEGINS = re.compile(r'(^|[;\t\r\n])([^\S\t\r\n]*"*)(?=([^;\s"]))')
"""Where a cell begins, whatever a spreadsheet takes for the separator: a line break ends one too where quotes do not
count, which is so behind another separator."""

END = "\r\n"
"""Of a line (RFC 4180). The writer must know it, to put quotes around a text that holds it."""

Values = dict[str, Any]

_NOT_IN_A_URI = frozenset({"page", "page_size", "detail", "top"})

PART = "part"
"""The argument of a URI that says which part of the rows is wanted: a number from 1, or "all"."""

MOST_CHARACTERS = 60_000
"""Of one part."""

MOST_ROWS = 200
"""Of one part. Rows of many columns or with a description are fewer: so many are shorter than a part may be, unless the
tenant's texts are very long. Then they are cut, but not in `part=all`."""


class IncompleteTable(PlusPlusError):
    """Not all rows could be read. A part of a table would be taken for the whole, so none is given."""


def rows_of_a_part(tool: Operation) -> int:
    """How many rows of the tool's CSV make one part."""
    if tool.record is None:
        return MOST_ROWS
    columns = list(columns_of(tool))
    return MOST_ROWS // 4 if "description" in columns else MOST_ROWS // 2 if len(columns) > 11 else MOST_ROWS


def parts(tool: Operation, rows: int) -> int:
    """How many parts so many rows have; one, with the header alone, where there are none."""
    return max(1, math.ceil(rows / rows_of_a_part(tool)))


def arguments_of(tool: Operation) -> list[str]:
    """The tool's arguments that the URI of its CSV takes."""
    return [name for name in tool.arguments.model_fields if name not in _NOT_IN_A_URI]


def csv_template(tool: Operation) -> str:
    """The URI template of a tool's CSV (RFC 6570)."""
    return f"plusplus://{tool.csv}.csv{{?{','.join([*arguments_of(tool), PART])}}}"


def csv_description(tool: Operation) -> str:
    """What a reader of the template needs to know."""
    columns = tool.columns
    if tool.record is not None:
        columns = (
            f"{', '.join(columns_of(tool))} (fields whose text reads like orders to an assistant), and others "
            "that the API sends."
        )
    return (
        f"All rows of {tool.name} as CSV, by its arguments (lists comma-separated), in parts of at most "
        f"{MOST_CHARACTERS:,} characters, each with the header row: part=2 is the second, part=all is everything, for "
        f"clients that save it as a file. Columns: {columns}"
    )


def csv_uri(tool: Operation, given: Values) -> str:
    """The URI of the rows for these arguments, as a client gave them."""
    query = [f"{name}={_in_a_uri(given[name])}" for name in arguments_of(tool) if given.get(name) is not None]
    return f"plusplus://{tool.csv}.csv" + (f"?{'&'.join(query)}" if query else "")


def csv_fields(tool: Operation, answer: Answer, given: Values) -> dict[str, Any]:
    """The fields of an answer that lead to its CSV: none where it has all rows itself."""
    if isinstance(answer, ReportAnswer):
        rows = len(answer.found.counting)
    elif isinstance(answer, ListAnswer) and answer.next_page is not None and answer.total_count is not None:
        rows = answer.total_count
    else:
        return {}
    count = parts(tool, rows)
    return {"csv": csv_uri(tool, given), **({"csv_parts": count} if count > 1 else {})}


def _in_a_uri(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_in_a_uri(one) for one in cast("list[Any]", value))
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe="")


def arguments_in(tool: Operation, query: str) -> tuple[Values, int | None]:
    """The tool's arguments in a URI's query, and the number of the part, None for all. The commas of a list stand as
    they are, those inside a value are encoded.

    Raises:
        InvalidArgument: an argument that there is not, or that is given twice, or a part that cannot be.
    """
    valid = [*arguments_of(tool), PART]
    given: Values = {}
    problems: dict[str, list[str]] = {}
    for pair in query.split("&") if query else []:
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name not in valid:
            near = nearest(name, valid)
            hint = f"did you mean {near}? " if near else ""
            problems[word(name)] = [f"unknown parameter; {hint}valid: {', '.join(valid)}"]
        elif name in given:
            problems[name] = ["given twice; give a list as one value, comma-separated"]
        elif value:
            schema = tool.input_schema["properties"].get(name, {})
            is_list, is_name = schema.get("type") == "array", name in tool.references
            texts = value.split(",") if is_name else unquote(value).split(",")
            given[name] = [unquote(one) for one in texts] if is_list else unquote(value)
        if len(problems) >= _MOST_PROBLEMS:
            break
    part = given.pop(PART, "1")
    if part != "all" and not re.fullmatch(r"[1-9][0-9]{0,5}", part):
        problems[PART] = ["must be a number from 1, or all"]
    if problems:
        said = listed([f"{name}: {said[0]}" for name, said in problems.items()], _MOST_PROBLEMS)
        raise InvalidArgument(f"{tool.csv}.csv: {said}. Nothing was read.", field_errors=problems)
    return given, None if part == "all" else int(part)


_MOST_PROBLEMS = 8


async def csv_text(tool: Operation, call: Call, values: Values, part: int | None) -> str:
    """A part of the rows of a tool's answer to these values, or, where it is None, all of them.

    Raises:
        IncompleteTable: not all rows could be read.
        InvalidArgument: there is no such part.
    """
    if tool.record is None:
        answer: ReportAnswer = await tool.function(call, **{**values, "top": EVERY})
        _check_whole(answer.coverage)
        found = answer.found
        if part is None:
            wanted = found.every_row()
        else:
            _check_part(tool, part, len(found.counting))
            wanted = islice(found.every_row(), (part - 1) * MOST_ROWS, part * MOST_ROWS)
        return await _sheet_of(found.header, wanted, short=part is not None)
    if part is None:
        return await _every_page(tool, call, values)
    size = rows_of_a_part(tool)
    pages = math.ceil(size / PAGE_SIZE)
    rows: list[dict[str, Any]] = []
    for number in range((part - 1) * pages + 1, part * pages + 1):
        page: ListAnswer[Any] = await tool.function(call, **_page(values, number, size // pages))
        if page.total_count is None:
            raise IncompleteTable(page.summary)
        _check_part(tool, part, page.total_count)
        rows += map(_flat, page.items)
        expected = min(number * page.page_size, page.total_count) - (part - 1) * size
        if len(rows) != expected:
            raise _incomplete(len(rows), expected, "a page has another number of rows than PlusPlus counts")
        if page.next_page is None:
            break
    return await _sheet_of(columns_of(tool), rows, short=True)


def _page(values: Values, number: int, size: int) -> Values:
    return {**values, "page": number, "page_size": size, "detail": "full"}


def _flat(row: BaseModel) -> dict[str, Any]:
    return flat(row.model_dump(mode="json", exclude_unset=True))


def _check_whole(coverage: Any) -> None:
    if not coverage.complete:
        raise _incomplete(coverage.rows_read, coverage.rows_total, coverage.reason)


def _incomplete(read: int, total: int, reason: str) -> IncompleteTable:
    return IncompleteTable(
        f"Only {read:,} of {total:,} rows could be read: {reason}. A part would be taken for the whole, so there is no "
        "table; narrow the query or try again."
    )


def _check_part(tool: Operation, part: int, rows: int) -> None:
    count = parts(tool, rows)
    if part > count:
        raise InvalidArgument(
            f"There is no part {part:,}: {plural(rows, 'row')} in {plural(count, 'part')}.",
            field_errors={PART: [f"must be at most {count}"]},
        )


async def _sheet_of(header: Iterable[str], rows: Iterable[dict[str, Any]], *, short: bool) -> str:
    """The rows as text; where it must be `short`, long cells are cut until it is short enough."""
    names = list(header)
    if not short:
        sheet = Sheet(names)
        lines: list[SheetLine] = []
        for row in rows:
            lines.append(sheet.line(row))
            if len(lines) % 500 == 0:
                # A long table is not to keep other callers waiting.
                await checkpoint()
        return sheet.text(lines)
    kept = list(rows)
    text = ""
    for longest in _LENGTHS:
        sheet = Sheet(names, longest)
        text = sheet.text([sheet.line(row) for row in kept])
        if len(text) <= MOST_CHARACTERS:
            break
    return text


_LENGTHS = (None, 1_000, 500, 250, 120, 60, 40, 20)
"""Characters of a cell, tried one after the other."""


class _Placed(NamedTuple):
    """A line and the page it stood on: pages come in any order."""

    public_id: str
    page: int
    line: SheetLine


async def _every_page(tool: Operation, call: Call, values: Values) -> str:
    """The rows of a list, over all its pages. Only their text is kept."""
    sheet = Sheet(columns_of(tool))
    found: list[_Placed] = []

    async def page(number: int, size: int) -> Page[_Placed]:
        answer: ListAnswer[Any] = await tool.function(call, **_page(values, number, size))
        if answer.total_count is None:
            raise IncompleteTable(answer.summary)
        rows = [_Placed(row.public_id, number, sheet.line(_flat(row))) for row in answer.items]
        pages = math.ceil(answer.total_count / answer.page_size)
        return Page(rows, number, answer.page_size, answer.total_count, pages)

    _check_whole(await walk_pages(call.api, page, found.append, found.clear))
    found.sort(key=lambda placed: placed.page)
    return sheet.text(placed.line for placed in found)


class SheetLine(NamedTuple):
    """A row as text, without its end, and how many cells it has."""

    text: str
    cells: int


class Sheet:
    """Makes lines of rows. It has the columns of `header`, and behind them those that turn up in rows."""

    def __init__(self, header: Iterable[str], longest: int | None = None) -> None:
        self._columns = dict.fromkeys(header)
        self._longest = longest
        self._file = io.StringIO()
        self._writer = csv.writer(self._file, lineterminator=END)

    def line(self, row: dict[str, Any]) -> SheetLine:
        """The row as a line; it may be shorter than later ones."""
        for name, value in row.items():
            if value is not None:
                self._columns.setdefault(name)
        return self._line([self._cell(name, row.get(name)) for name in self._columns])

    def _cell(self, name: str, value: Any) -> str:
        text = cell(value)
        # An e-mail or id that is cut is of no use.
        if self._longest is None or name.endswith(("email", "_id")):
            return text
        return neutralise(text, self._longest)

    def text(self, lines: Iterable[SheetLine]) -> str:
        """Header and lines, each with its end."""
        width = len(self._columns)
        parts = [self._line([cell(name) for name in self._columns]).text]
        parts += [line.text + "," * (width - line.cells) for line in lines]
        return END.join(parts) + END

    def _line(self, cells: list[str]) -> SheetLine:
        self._file.seek(0)
        self._file.truncate()
        self._writer.writerow(cells)
        return SheetLine(self._file.getvalue().removesuffix(END), len(cells))


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
    return _BEGINS.sub(
        lambda begin: f"{begin[1]}{_APOSTROPHE if _is_sign(begin[3]) else ''}{begin[2]}", neutralise(text)
    )


_APOSTROPHE = "'"


def _is_sign(character: str) -> bool:
    """Whether a spreadsheet, or a person, may take the character for one that begins a formula."""
    return (
        character in _SIGNS
        or unicodedata.category(character) == "Pd"
        or unicodedata.normalize("NFKC", character)[:1] in set("=+-@\u2212")
    )


def _part(value: Any) -> str:
    return str(cast(dict[str, Any], value).get("name", value)) if isinstance(value, dict) else str(value)


def columns_of(tool: Operation) -> Iterator[str]:
    """The columns that a row of a list has at least: what the API sends, and what the list adds to it."""
    return iter(_columns(tool.record, tool.answer))


@cache
def _columns(record: type[BaseModel] | None, answer: type[Answer]) -> tuple[str, ...]:
    return tuple(_named(record, answer))


def _named(record: type[BaseModel] | None, answer: type[Answer]) -> Iterator[str]:
    sent = record.model_fields if record else {}
    for name, field in sent.items():
        arms = (field.annotation, *get_args(field.annotation))
        inner = next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, BaseModel)), None)
        if inner is None:
            yield name
        else:
            yield from (f"{name}_{part}" for part in inner.model_fields)
    (row,) = get_args(answer.model_fields["items"].annotation)
    yield from (name for name in cast("type[BaseModel]", row).model_fields if name not in sent)
    yield "suspicious"

"""Counting instead of reading: each list of the API says how many rows it has, so a cell of a report's table is known
without reading one of them.

Counts are taken one after another, while rows move. Those that must add up are compared, and taken again where they do
not. Where they never do, as with a state that nobody documented, the report has to be read.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, get_args

from pp_mcp.api.walk import OUT_OF_TIME, PAGE_SIZE, PASSING, RESERVE, Coverage, for_each, now, why
from pp_mcp.declare import Call
from pp_mcp.errors import Rejected
from pp_mcp.models import AssignmentFacts, ContentItem
from pp_mcp.operations.assignments import OUTSTANDING
from pp_mcp.operations.lists import count
from pp_mcp.operations.params import ContentType
from pp_mcp.reports.counting import STATES, Counting, Label
from pp_mcp.reports.reading import Read, pages_for, read_all, rows_of
from pp_mcp.reports.selection import AssignmentFilters, Selection
from pp_mcp.text import plural

MOST_READ = 25
"""Requests up to which a report is read rather than counted: rows tell more than counts do."""

TAKES = 3
"""How often a count that does not fit is taken."""

USUAL_MONTHS = 120
"""From today, both ways: due dates beyond are looked for only where there are some."""

Column = tuple[str, bool]
"""A state, "" for any, and whether only what is overdue is counted."""

TOTAL, LATE = ("", False), ("", True)

Place = tuple[int, Column]
"""A cell, by its number, and a column of it."""

Values = dict[str, str]
"""What the rows of a cell have in common, by dimension."""


def pays(counting: int, reading: int) -> bool:
    """Whether counting is the plan, by the requests that both take."""
    return reading > MOST_READ and counting < reading


class _Uncountable(Exception):
    """The counts never add up, or the API does not take the filters."""


@dataclass(frozen=True)
class _Cell:
    """A part of the selection, and the filters that leave it."""

    values: Values
    filters: AssignmentFilters


@dataclass
class _Table:
    """What is counted, and how the counts must add up.

    Each of `wholes` is compared with its own total. `parts` add up to the one whole, column by column; or to `framed`,
    which is all of it that has a due date: the rest of the whole is then a row too.
    """

    call: Call
    columns: list[Column]
    wholes: list[_Cell]
    parts: list[_Cell] = field(default_factory=list[_Cell])
    framed: _Cell | None = None
    counts: dict[Place, int] = field(default_factory=dict[Place, int])
    stopped: str | None = None
    """Why not everything was counted, or does not fit."""

    def __post_init__(self) -> None:
        frame = [self.framed] if self.framed is not None else []
        # A rest is exact only where the whole is after its parts what it was before them.
        self.stages: list[range] = []
        self.cells: list[_Cell] = []
        for stage in (self.wholes, frame, self.parts, self.wholes if frame else []):
            self.stages.append(range(len(self.cells), len(self.cells) + len(stage)))
            self.cells += stage

    @property
    def requests(self) -> int:
        """How many counts it takes, at least."""
        return len(self.cells) * len(self.columns) + len(self.wholes)

    async def take(self) -> None:
        """Takes all counts, and again those that do not fit."""
        for number, stage in enumerate(self.stages):
            columns = [*self.columns, *([] if number else [TOTAL])]
            await self._settle({(at, column) for at in stage for column in columns} - self.counts.keys())

    async def _settle(self, places: Collection[Place]) -> None:
        for _ in range(TAKES):
            before = dict(self.counts)
            for stage in self.stages:
                in_order = ((at, column) for at in stage for column in (*self.columns, TOTAL))
                await self._take([place for place in in_order if place in places])
            places = self._wrong() if self.stopped is None else ()
            if not places:
                return
            if all(before.get(place) == self.counts[place] for place in places):
                raise _Uncountable
        self.stopped = "rows moved while they were counted; counts may be off by a few"

    async def _take(self, places: Sequence[Place]) -> None:
        done = 0

        async def take(place: Place) -> bool:
            nonlocal done
            if self.call.api.remaining < RESERVE:
                self.stopped = self.stopped or OUT_OF_TIME
            if self.stopped is not None:
                return False
            at, (state, is_late) = place
            narrowed = ({"state": state} if state else {}) | ({"is_overdue": True} if is_late else {})
            asked: dict[str, Any] = {**self.cells[at].filters, **narrowed}
            try:
                self.counts[place] = await count(self.call, "list_assignments", AssignmentFacts, **asked)
            except PASSING as error:
                self.stopped = self.stopped or why(error)
            done += 1
            await self.call.report(done, len(places), f"{done:,} of {len(places):,} counts taken")
            return True

        await for_each(places, take)

    def _wrong(self) -> set[Place]:
        """The counts taken so far that do not fit."""
        wrong: set[Place] = set()
        wholes, frame, parts, again = self.stages
        for at in wholes:
            late = sum(self.counts[at, column] for column in self.columns if column[1])
            states = {state: self.counts[at, (state, is_late)] for state, is_late in self.columns if not is_late}
            if sum(states.values()) != self.counts[at, TOTAL] or late > sum(states.get(one, 0) for one in OUTSTANDING):
                wrong |= {(at, column) for column in (TOTAL, *self.columns)}
        for whole, same in ((frame[0] if frame else 0, parts), (0, again)):
            for column in self.columns:
                places = {(at, column) for at in same}
                if places and places <= self.counts.keys():
                    fits = sum(self.counts[place] for place in places) == self.counts[whole, column]
                    wrong |= set() if fits else {(whole, column), *places}
        # A rest is of all these.
        columns = {column for _, column in wrong if again}
        return wrong | {place for place in self.counts if place[1] in columns}

    def rows(self) -> Iterator[tuple[Values, dict[Column, int]]]:
        """The cells and their counts. A cell that is not counted whole is left out: it would say too little."""
        wholes, frame, parts, again = self.stages
        for at in parts or wholes:
            if self._is_whole(at):
                yield self.cells[at].values, {column: self.counts[at, column] for column in self.columns}
        if again and self._is_whole(0) and self._is_whole(frame[0]):
            rest = {column: self.counts[0, column] - self.counts[frame[0], column] for column in self.columns}
            yield self.cells[0].values, rest

    def _is_whole(self, at: int) -> bool:
        return all((at, column) in self.counts for column in self.columns)


async def count_instead(
    call: Call, selection: Selection, dimensions: Sequence[str], counting: Counting, total: int, began: int
) -> Read | None:
    """Counts a selection of `total` assignments into `counting`, where that takes fewer requests than to read them;
    None where they have to be read. `began`: the requests of the call before it began to plan."""
    as_of = now()
    try:
        table = await _planned(call, selection, dimensions, counting, pages_for(selection, total))
        if table is None:
            return None
        if len(table.wholes) == 1:
            table.counts[0, TOTAL] = total
        await table.take()
    except (_Uncountable, Rejected, *PASSING):
        return None
    counted = 0
    for values, counts in table.rows():
        states = [(state, amount) for (state, is_late), amount in counts.items() if not is_late and amount]
        by_state = "state" in dimensions
        for shown in [[one] for one in states] if by_state else [states] if states else []:
            amount = sum(one for _, one in shown)
            late = counts.get((shown[0][0], True) if by_state else LATE, 0)
            if selection.filters.get("is_overdue"):
                late = amount
            row = {**values, "state": shown[0][0]}
            counting.add((row[name] for name in dimensions), (("total", amount), *shown, ("overdue", late)))
            counted += amount
    rows = sum(table.counts.get((at, TOTAL), 0) for at in table.stages[0])
    how = f"counted by {plural(call.api.requests - began, 'request')} instead of reading {plural(rows, 'row')}, "
    how += "so without people, inactive and average_progress, which PlusPlus does not count"
    return Read(Coverage(table.stopped is None, counted, rows, as_of, table.stopped), how)


async def _planned(
    call: Call, selection: Selection, dimensions: Sequence[str], counting: Counting, reading: int
) -> _Table | None:
    """The table to count; None where counting does not pay or cannot tell what is asked."""
    items, filters, asked = selection.items, selection.filters, selection.asked
    content_type = filters.get("content_type")
    unknown = set(dimensions) - {"state"} - ({"content_type"} if content_type else set())
    unknown -= {"content_item", "content_type"} if items else {"content_type"} if "content_item" in unknown else set()
    if unknown & {"user", "manager"} or len(unknown) > (len(items) < 2) or selection.completed.is_given:
        return None
    values = {"content_type": str(content_type or ""), "due_month": ""}

    def cell_of(item: ContentItem) -> _Cell:
        known = {"content_item": counting.named(Label(item.public_id, item.name)), "content_type": item.content_type}
        return _Cell({**values, **known}, {**asked, "content_item": item.public_id})

    columns = _columns(filters, by_state="state" in dimensions)
    table = _Table(call, columns, [cell_of(item) for item in items.values()] or [_Cell(values, asked)])
    if not unknown:
        return table if pays(table.requests, reading) else None
    if unknown == {"due_month"}:
        return await _by_month(table, reading)
    # The catalogue names the types there are, and tells of most items that nobody has them.
    listed = {"content_type": content_type}
    items_listed = await rows_of(call, "list_content_items", ContentItem, listed)
    cells = items_listed if "content_item" in unknown else min(items_listed, len(get_args(ContentType)))
    if not pays(table.requests + cells * len(columns) + math.ceil(items_listed / PAGE_SIZE), reading):
        return None
    found: dict[str, _Cell] = {}

    def take(item: ContentItem) -> None:
        if item.total_assignments == 0:
            return
        if "content_item" in unknown:
            found[item.public_id] = cell_of(item)
        else:
            known = {"content_type": item.content_type}
            found[item.content_type] = _Cell({**values, **known}, {**asked, **known})

    coverage = await read_all(call, "list_content_items", ContentItem, take, found.clear, listed, tolerant=True)
    return replace(table, parts=list(found.values())) if coverage.complete and found else None


def _columns(filters: AssignmentFilters, *, by_state: bool) -> list[Column]:
    """What is counted of each cell. What is overdue comes after the states in which it can be and before all others:
    something that is completed meanwhile is then noticed."""
    states = [str(filters["state"])] if filters.get("state") else list(STATES)
    late: list[Column] = [(state, True) for state in states if state in OUTSTANDING] if by_state else [LATE]
    to_do: list[Column] = [(state, False) for state in states if state in OUTSTANDING]
    over: list[Column] = [(state, False) for state in states if state not in OUTSTANDING]
    return [*to_do, *(late if filters.get("is_overdue") is None else []), *over]


# Months are numbered: twelve times the year, and those of the year before it.
_EARLIEST, _LATEST = 12, 12 * 9999 + 11


async def _by_month(table: _Table, reading: int) -> _Table | None:
    """The table with a cell for each month in which something is due."""
    (whole,) = table.wholes
    call, asked = table.call, whole.filters
    has_undated = asked.get("due_date_gte") is None and asked.get("due_date_lte") is None
    if not pays(table.requests + 2 * USUAL_MONTHS.bit_length() + 12 * len(table.columns), reading):
        return None
    parts: list[_Cell] = []
    for month in await _months(call, asked):
        year, number = divmod(month, 12)
        due = {"due_month": f"{year:04}-{number + 1:02}"}
        parts.append(_Cell({**whole.values, **due}, _due_within(asked, month, month)))
    framed = _Cell({}, _due_within(asked, _EARLIEST, _LATEST)) if parts and has_undated else None
    table = replace(table, parts=parts, framed=framed)
    return table if pays(table.requests, reading) else None


async def _months(call: Call, asked: AssignmentFilters) -> range:
    """From the first month in which something is due to the last one: found by halves, from both ends at once."""

    async def is_due(first: int, last: int) -> bool:
        filters = _due_within(asked, first, last)
        in_order = str(filters["due_date_gte"]) <= str(filters["due_date_lte"])
        return in_order and await count(call, "list_assignments", AssignmentFacts, **filters) > 0

    this = 12 * call.today.year + call.today.month - 1
    low, high = this - USUAL_MONTHS, this + USUAL_MONTHS
    if await is_due(_EARLIEST, low - 1) or await is_due(high + 1, _LATEST):
        low, high = _EARLIEST, _LATEST
    ends: dict[bool, int] = {}

    async def find(is_last: bool) -> bool:
        first, last = low, high
        while first < last:
            middle = (first + last + is_last) // 2
            if is_last:
                first, last = (middle, last) if await is_due(middle, high) else (first, middle - 1)
            else:
                first, last = (first, middle) if await is_due(low, middle) else (middle + 1, last)
        ends[is_last] = first
        return True

    await for_each((False, True), find)
    return range(ends[False], ends[True] + 1)


def _due_within(asked: AssignmentFilters, first: int, last: int) -> AssignmentFilters:
    """The filters, narrowed to what is due from one month to another."""
    year, month = last // 12, last % 12 + 1
    start, end = date(first // 12, first % 12 + 1, 1), date(year, month, monthrange(year, month)[1])
    start, end = max(start.isoformat(), str(asked.get("due_date_gte") or "")), end.isoformat()
    return {**asked, "due_date_gte": start, "due_date_lte": min(end, str(asked.get("due_date_lte") or end))}

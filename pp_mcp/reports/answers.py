"""What reports answer: `summary`, the first `rows` and the rest summed up in one, `totals`, and how much was read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, PrivateAttr

from pp_mcp.answers import Answer, marked
from pp_mcp.api.walk import Coverage
from pp_mcp.reports.counting import Bucket, Counting
from pp_mcp.text import listed, neutralise

MOST = 100
"""Rows that an answer has at most."""

TopArg = Annotated[int, Field(ge=1, le=MOST, description="Rows; the rest is summed.")]

USUAL = 15
"""Rows where nothing else is asked for."""

EVERY = 10**9
"""A `top` that no client gives: the CSV's, which has all rows."""

ROOM, MORE_ROOM = 4_200, 34_000
"""Characters that the rows may take, up to `USUAL` rows and beyond: with the rest of the answer 6,000 and 40,000."""

LONGEST_NAME = 100
"""Characters of a text in a row; the CSV has all of it."""

ReportRow = dict[str, Any]


class CoverageAnswer(BaseModel):
    """How much of the data the answer rests on; rows that PlusPlus counted are as good as read. Where it is not
    complete, counts are of what was read and rates are left out."""

    complete: bool
    rows_read: int
    rows_total: int
    as_of: str
    reason: str | None = None
    how: str | None = None


@dataclass(frozen=True)
class Found:
    """All that a report found: its answer shows the first rows, its CSV has every row."""

    counting: Counting
    row: Callable[[Bucket, bool], ReportRow]
    """A bucket as a row; true: with every column of the CSV."""
    figures: Callable[[Counter[str]], ReportRow]
    """The counts of the buckets that are not shown."""
    header: Sequence[str]
    """The CSV's columns, in their order; a row may bring more."""
    coverage: Coverage
    how: str
    things: str
    """What the rows are of, such as "people"."""
    narrow: Sequence[str]
    """Arguments by which the caller can narrow the report further."""
    fixed: frozenset[str] = frozenset()
    """Columns that hold the same in every row, for the caller asked for it; the answer leaves them out."""

    def every_row(self) -> Iterable[ReportRow]:
        """All rows, whole."""
        return (self.row(bucket, True) for bucket in self.counting.every())

    def first_rows(self, top: int) -> tuple[list[ReportRow], int]:
        """As many of the first rows as have room, one at least, with long names cut; and how many more there are, which
        are summed up in a last row."""
        buckets = self.counting.first(top)
        room = ROOM if top <= USUAL else MORE_ROOM
        rows: list[ReportRow] = []
        for bucket in buckets:
            shown = ((name, value) for name, value in self.row(bucket, False).items() if name not in self.fixed)
            row = marked({name: _cut(name, value) for name, value in shown})
            room -= len(json.dumps(row, ensure_ascii=False, separators=(",", ":"))) + 1
            if room < 0 and rows:
                break
            rows.append(row)
        more = len(self.counting) - len(rows)
        if more:
            name = next(name for name in self.counting.dimensions if name not in self.fixed)
            rows.append({name: f"({more:,} more)", **self.figures(self.counting.rest(buckets[: len(rows)]))})
        return rows, more

    def answer(self, top: int, *, summary: str, totals: ReportRow) -> ReportAnswer:
        """The report with its first `top` rows; with none where all are wanted, which the CSV takes one by one."""
        rows, more = ([], 0) if top == EVERY else self.first_rows(top)
        if more:
            summary += f" {more:,} more {self.things} in the last row: {_ways(self.narrow, top)}."
        coverage = coverage_answer(self.coverage, self.how)
        answer = ReportAnswer(summary=summary, rows=rows, totals=totals, coverage=coverage)
        answer.keep(self)
        return answer


def _ways(narrow: Sequence[str], top: int) -> str:
    """How to see what is not shown."""
    ways = [f"narrow with {listed(list(narrow), 4)}"] if narrow else []
    ways += ["raise top"] if top < MOST else []
    return ", ".join([*ways, "or read csv"])


class ReportAnswer(Answer):
    """A report."""

    rows: list[ReportRow]
    totals: ReportRow
    coverage: CoverageAnswer
    csv: str | None = None
    """URI of all rows as CSV, or of the first part of them; reading it counts again."""
    csv_parts: int | None = None
    """How many parts the CSV has, where it is more than one."""
    _found: Found = PrivateAttr()

    def keep(self, found: Found) -> None:
        """Keeps what the answer was made from."""
        self._found = found

    @property
    def found(self) -> Found:
        """What the answer was made from."""
        return self._found


def _cut(name: str, value: Any) -> Any:
    # An e-mail or id that is cut is of no use.
    if not isinstance(value, str) or name.endswith(("email", "_id")):
        return value
    return neutralise(" ".join(value.split()), LONGEST_NAME)


def coverage_answer(coverage: Coverage, how: str) -> CoverageAnswer:
    """The coverage as an answer states it."""
    told = {name: value for name, value in asdict(coverage).items() if value is not None}
    return CoverageAnswer(**told, how=how)


def caution(coverage: Coverage) -> str:
    """The sentence that an incomplete answer begins with; nothing for a complete one."""
    if coverage.complete:
        return ""
    return (
        f"Incomplete: {coverage.rows_read:,} of {coverage.rows_total:,} rows read ({coverage.reason}); counts are of "
        "those, rates left out. "
    )


def percent(part: int, whole: int) -> str:
    """`70.3 %`, but never 0 or 100 where that would be untrue."""
    rate = part / whole
    shown = min(max(rate, 0.001), 0.999) if 0 < part < whole else rate
    return f"{shown:.1%}".replace("%", " %")

"""What reports answer: `summary`, `rows` (the top ones, the rest in one), `totals`, and how much was read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from pp_mcp.answers import Answer
from pp_mcp.api.walk import Coverage
from pp_mcp.text import neutralise

TopArg = Annotated[int, Field(ge=1, le=100, description="Rows; the rest is summed.")]

USUAL = 15
"""Rows where nothing else is asked for."""

ROOM, MORE_ROOM = 4_200, 34_000
"""Characters that the rows may take, up to `USUAL` rows and beyond: with the rest of the answer 6,000 and 40,000."""

LONGEST_NAME = 100
"""Characters of a text in a row; the CSV has all of it."""


class CoverageAnswer(BaseModel):
    """How much of the data the answer rests on. Where it is not complete, counts are of what was read and rates are
    left out."""

    complete: bool
    rows_read: int
    rows_total: int
    as_of: str
    reason: str | None = None
    how: str | None = None


class ReportAnswer(Answer):
    """A report."""

    rows: list[dict[str, Any]]
    totals: dict[str, Any]
    coverage: CoverageAnswer
    csv: str | None = None
    """URI of all rows as CSV; reading it counts again."""


@dataclass(frozen=True)
class Table:
    """All rows of a report or list, for its CSV."""

    header: list[str]
    """Columns that it always has, in this order; a row's others follow."""
    rows: Iterable[dict[str, Any]]
    coverage: Coverage


def first_rows(rows: list[dict[str, Any]], top: int) -> list[dict[str, Any]]:
    """As many of the rows as have room, one at least, with long names cut."""
    room = ROOM if top <= USUAL else MORE_ROOM
    kept: list[dict[str, Any]] = []
    for row in rows:
        short = {
            name: neutralise(value, LONGEST_NAME) if isinstance(value, str) and not name.endswith(_WHOLE) else value
            for name, value in row.items()
        }
        room -= len(json.dumps(short, ensure_ascii=False, separators=(",", ":"))) + 1
        if room < 0 and kept:
            break
        kept.append(short)
    return kept


_WHOLE = ("email", "_id")
"""Ends of the names of fields that are of no use when cut."""


def coverage_answer(coverage: Coverage, how: str) -> CoverageAnswer:
    """The coverage as an answer states it."""
    told = {"reason": coverage.reason} if coverage.reason else {}
    return CoverageAnswer(
        complete=coverage.complete,
        rows_read=coverage.rows_read,
        rows_total=coverage.rows_total,
        as_of=coverage.as_of,
        how=how,
        **told,
    )


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

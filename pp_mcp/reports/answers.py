"""What reports answer: `summary`, `rows` (the top ones, the rest in one), `totals`, and how much was read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from pp_mcp.answers import Answer
from pp_mcp.api.walk import Coverage


class CoverageAnswer(BaseModel):
    """How much of the data the answer rests on. Where it is not complete, counts are of what was read and rates are left
    out."""

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
        f"Incomplete: {coverage.rows_read:,} of {coverage.rows_total:,} rows read ({coverage.reason}); counts are of those, "
        "rates left out. "
    )

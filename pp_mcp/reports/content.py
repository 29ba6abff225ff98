"""The health of the catalogue: what nobody uses, finishes, likes or keeps fresh."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.api.walk import Coverage, walk
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Assignment, ContentItem, Group
from pp_mcp.operations.lists import scope_of
from pp_mcp.operations.params import ChannelArg, ContentType, GroupArg
from pp_mcp.reports.answers import ReportAnswer, caution, coverage_answer
from pp_mcp.reports.assignments import TopArg
from pp_mcp.reports.selection import WORKERS, progress_of
from pp_mcp.text import listed, plural

LOW_RATING = 3.0
"""Ratings run from 1 to 5; below this is low."""

FINDINGS = ("never_assigned", "nobody_finished", "low_rated", "stale")
"""What can be wrong with an item in use, in the order it is told."""


@operation(toolset="reports", title="Report on the catalogue", effect=Effect.READ)
async def report_content(
    call: Call,
    content_type: Annotated[list[ContentType], Field(description="Types.", min_length=1)] | None = None,
    channel: ChannelArg | None = None,
    group: Annotated[GroupArg, Field(description="With access: public_id, name or URL.")] | None = None,
    stale_days: Annotated[int, Field(ge=1, le=3650, description="Days that make stale.")] = 365,
    top: TopArg = 15,
) -> ReportAnswer:
    """Check the health of the catalogue over all its pages: what was never assigned, what nobody finished in stale_days,
    what is rated below 3, stale (not changed in stale_days), archived or hidden; findings are of items not archived. To
    find single items use search_content; to take them out of use archive_content_items."""
    checked, coverage, how = await check_catalogue(call, content_type, channel, group, stale_days)
    flagged = checked.flagged()
    rows = [checked.row(item) for item in flagged[:top]]
    if len(flagged) > top:
        rows.append({"name": f"({len(flagged) - top:,} more)", "findings": checked.counted(flagged[top:])})
    scope = scope_of(for_the_group=group.name if group else None)
    kinds = f" ({listed(list(content_type))})" if content_type else ""
    counts = checked.counted(checked.live)
    noted = [f"{counts[name]:,} {_WORDS[name].format(days=stale_days)}" for name in FINDINGS if counts[name]]
    summary = (
        f"{caution(coverage)}{plural(checked.total, 'content item')}{kinds}{scope}: {len(checked.live):,} in use, "
        f"{checked.archived:,} archived, {checked.hidden:,} hidden. "
    )
    summary += f"Of those in use {listed(noted, 6)}." if noted else "Nothing stands out among those in use."
    return ReportAnswer(
        summary=summary,
        rows=rows,
        totals={
            "total": checked.total,
            "in_use": len(checked.live),
            "archived": checked.archived,
            "hidden": checked.hidden,
            **counts,
        },
        coverage=coverage_answer(coverage, how),
    )


_WORDS = {
    "never_assigned": "never assigned",
    "nobody_finished": "assigned, but finished by nobody in {days} days",
    "low_rated": "rated below 3",
    "stale": "not changed in {days} days",
}


@dataclass
class Catalogue:
    """Content items as a check found them."""

    since: date
    live: list[ContentItem] = field(default_factory=list[ContentItem])
    """Items that are not archived."""
    archived: int = 0
    hidden: int = 0
    last_finished: dict[str, str] = field(default_factory=dict[str, str])
    """When somebody last completed an item, by its id; ISO 8601."""
    knows_finished: bool = True

    @property
    def total(self) -> int:
        return len(self.live) + self.archived

    def take(self, item: ContentItem) -> None:
        """Counts one item."""
        if item.is_hidden:
            self.hidden += 1
        if item.is_archived:
            self.archived += 1
        else:
            self.live.append(item)

    def restart(self) -> None:
        """Forgets the items."""
        self.live, self.archived, self.hidden = [], 0, 0

    def finished(self, assignment: Assignment) -> None:
        """Notes when an item was last completed."""
        when = assignment.completed_datetime or ""
        item = assignment.content_item.public_id
        if when > self.last_finished.get(item, ""):
            self.last_finished[item] = when

    def findings(self, item: ContentItem) -> list[str]:
        """What is wrong with an item, of `FINDINGS`."""
        since = self.since.isoformat()
        found: list[str] = []
        if not item.total_assignments:
            found.append("never_assigned")
        elif self.knows_finished and self.last_finished.get(item.public_id, "")[:10] < since:
            found.append("nobody_finished")
        if item.avg_feedback_rating is not None and item.avg_feedback_rating < LOW_RATING:
            found.append("low_rated")
        if item.modified and item.modified[:10] < since:
            found.append("stale")
        return found

    def counted(self, items: list[ContentItem]) -> dict[str, int]:
        """How many items have each finding."""
        counts = dict.fromkeys(FINDINGS, 0)
        for item in items:
            for finding in self.findings(item):
                counts[finding] += 1
        return counts

    def flagged(self) -> list[ContentItem]:
        """Items with findings: most findings first, then the most assigned."""
        found = [(item, len(self.findings(item))) for item in self.live]
        return [
            item
            for item, count in sorted(
                found, key=lambda pair: (-pair[1], -(pair[0].total_assignments or 0), pair[0].public_id)
            )
            if count
        ]

    def row(self, item: ContentItem) -> dict[str, object]:
        """An item as a row."""
        row: dict[str, object] = {
            "public_id": item.public_id,
            "name": item.name,
            "content_type": item.content_type,
            "findings": self.findings(item),
            "total_assignments": item.total_assignments,
            "completed_assignments_count": item.completed_assignments_count,
            "last_finished": self.last_finished.get(item.public_id, "")[:10] or None,
            "avg_feedback_rating": item.avg_feedback_rating,
            "modified": (item.modified or "")[:10] or None,
        }
        return {name: value for name, value in row.items() if value is not None}


async def check_catalogue(
    call: Call, content_type: list[Any] | None, channel: str | None, group: Group | None, stale_days: int
) -> tuple[Catalogue, Coverage, str]:
    """Reads the content items, and the completed assignments that show when each was last finished."""
    catalogue = Catalogue(since=call.today - timedelta(days=stale_days))
    filters = {"content_type": content_type, "channel": channel, "group": group.public_id if group else None}
    items = await walk(
        call.api,
        "list_content_items",
        ContentItem,
        catalogue.take,
        catalogue.restart,
        filters=filters,
        workers=WORKERS,
        progress=progress_of(call),
    )
    done = await walk(
        call.api,
        "list_assignments",
        Assignment,
        catalogue.finished,
        catalogue.last_finished.clear,
        filters={
            "state": "completed",
            "content_type": content_type[0] if content_type and len(content_type) == 1 else None,
        },
        workers=WORKERS,
        progress=progress_of(call),
    )
    catalogue.knows_finished = done.complete
    how = f"one pass over {plural(items.rows_read, 'content item')} and one over {plural(done.rows_read, 'completion')}"
    reason = items.reason or (f"completions: {done.reason}" if done.reason else None)
    both = Coverage(
        complete=items.complete and done.complete,
        rows_read=items.rows_read + done.rows_read,
        rows_total=items.rows_total + done.rows_total,
        as_of=items.as_of,
        reason=reason,
    )
    return catalogue, both, how

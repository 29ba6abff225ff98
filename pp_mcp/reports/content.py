"""The health of the catalogue: what nobody uses, finishes, likes or keeps fresh."""

from __future__ import annotations

import heapq
import math
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import scope_of
from pp_mcp.api.walk import OUT_OF_TIME, PAGE_SIZE, PASSING, Coverage, for_each, walk, why
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Assignment, ContentItem, Group
from pp_mcp.operations.params import ChannelArg, ContentType, GroupArg
from pp_mcp.reports.answers import ReportAnswer, Table, TopArg, caution, coverage_answer, first_rows
from pp_mcp.text import listed, plural


class Finished:
    """When items were last completed, by id: `latest` where all of an item's completions were read, and `lately` those
    that turned out to be finished since the day asked for, of which no more was read."""

    def __init__(self, since: str) -> None:
        self.since = since
        self.latest: dict[str, str] = {}
        self.lately: set[str] = set()
        self.reason: str | None = None
        """Why not all is known."""
        self.how = "no completions to look at"

    def is_known(self, item: ContentItem) -> bool:
        """Whether it is known when the item was last finished, or that it was since."""
        return item.public_id in self.latest or item.public_id in self.lately or item.completed_assignments_count == 0

    def nobody_since(self, item: ContentItem) -> bool:
        """Whether it is known that nobody finished the item since the day."""
        lately = item.public_id in self.lately or self.latest.get(item.public_id, "")[:10] >= self.since
        return self.is_known(item) and not lately

    def take(self, assignment: Assignment) -> None:
        """Notes one completion."""
        when = assignment.completed_datetime or ""
        item = assignment.content_item.public_id
        self.latest[item] = max(when, self.latest.get(item, ""))


async def last_finished(call: Call, items: list[ContentItem], since: str) -> Finished:
    """When each of these items was last completed.

    Reads all completions there are, or each item's until one since that day turns up, whichever starts with fewer
    requests. Items of which the API says that nobody ever finished them need none.
    """
    finished = Finished(since)
    wanted = [item for item in items if item.completed_assignments_count != 0]
    if not wanted:
        return finished
    try:
        all_done = await call.api.page("list_assignments", Assignment, page=1, page_size=1, state="completed")
    except PASSING as error:
        finished.reason = f"completions: {why(error)}"
        return finished
    if len(wanted) <= math.ceil(all_done.total_count / PAGE_SIZE):
        await _item_by_item(call, wanted, finished)
        return finished
    coverage = await walk(
        call.api,
        "list_assignments",
        Assignment,
        finished.take,
        finished.latest.clear,
        filters={"state": "completed"},
        progress=call.rows_read,
        tolerant=True,
    )
    finished.how = f"one pass over {plural(coverage.rows_read, 'completion')}"
    if coverage.complete:
        # Counted as finished, yet no completion is listed: nobody has since.
        for item in wanted:
            finished.latest.setdefault(item.public_id, "")
    else:
        finished.lately = {item for item, when in finished.latest.items() if when[:10] >= since}
        finished.latest.clear()
        finished.reason = f"completions: {coverage.reason}"
    return finished


async def _item_by_item(call: Call, items: list[ContentItem], finished: Finished) -> None:
    read = 0

    async def look(item: ContentItem) -> bool:
        nonlocal read
        try:
            reason = await _one(call, item.public_id, finished)
        except PASSING as error:
            reason = why(error)
        if reason is not None:
            finished.reason = finished.reason or reason
            return False
        read += 1
        await call.report(read, len(items), f"completions of {read:,} of {len(items):,} items read")
        return True

    await for_each(items, look)
    if read < len(items):
        finished.reason = f"completions of {read:,} of {len(items):,} items read: {finished.reason or OUT_OF_TIME}"
    finished.how = f"completions item by item, {plural(len(items), 'item')}"


async def _one(call: Call, item: str, finished: Finished) -> str | None:
    """Looks at one item's completions until one is new enough; answers why it could not."""
    filters = {"state": "completed", "content_item": item}
    first = await call.api.page("list_assignments", Assignment, page=1, page_size=PAGE_SIZE, **filters)
    whole = len(first.items) == first.total_count
    if not whole and any((row.completed_datetime or "")[:10] >= finished.since for row in first.items):
        finished.lately.add(item)
        return None
    mine = Finished(finished.since)
    if whole:
        for row in first.items:
            mine.take(row)
    else:
        coverage = await walk(
            call.api, "list_assignments", Assignment, mine.take, mine.latest.clear, filters=filters, tolerant=True
        )
        if not coverage.complete:
            return coverage.reason
    finished.latest[item] = mine.latest.get(item, "")
    return None


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
    """Check the health of the catalogue over all its pages: what was never assigned, what nobody finished in
    stale_days, what is rated below 3, stale (not changed in stale_days), archived or hidden; findings are of items not
    archived. To find single items use search_content; to take them out of use archive_content_items."""
    catalogue, coverage, how = await _check(call, content_type, channel, group, stale_days)
    counts = catalogue.counted()
    first = catalogue.flagged(top)
    rows = first_rows([catalogue.row(item) for item in first], top)
    if catalogue.with_findings > len(rows):
        shown = catalogue.counted(first[: len(rows)])
        rest = {name: counts[name] - shown[name] for name in FINDINGS if counts[name] > shown[name]}
        rows.append({"name": f"({catalogue.with_findings - len(rows):,} more)", **rest})
    return ReportAnswer(
        summary=_summary(catalogue, coverage, content_type, group, stale_days),
        rows=rows,
        totals={
            "total": catalogue.total,
            "in_use": len(catalogue.live),
            "archived": catalogue.archived,
            "hidden": catalogue.hidden,
            "with_findings": catalogue.with_findings,
            **counts,
        },
        coverage=coverage_answer(coverage, how),
    )


async def content_table(call: Call, values: dict[str, Any]) -> Table:
    """Every item with findings, of the report that these arguments ask for; for the CSV."""
    catalogue, coverage, _ = await _check(
        call, values["content_type"], values["channel"], values["group"], values["stale_days"]
    )
    header = ["public_id", "name", "content_type", "findings", "total_assignments", "completed_assignments_count"]
    header += ["last_finished", "avg_feedback_rating", "created", "modified"]
    rows = (catalogue.row(item) for item in catalogue.flagged(catalogue.with_findings))
    return Table(header, rows, coverage)


def _summary(
    catalogue: Catalogue, coverage: Coverage, content_type: list[Any] | None, group: Group | None, stale_days: int
) -> str:
    counts = catalogue.counted()
    kinds = f" ({listed(list(content_type))})" if content_type else ""
    scope = scope_of(for_the_group=group.name if group else None)
    said = f"{caution(coverage)}{plural(catalogue.total, 'content item')}{kinds}{scope}"
    if not catalogue.total:
        return f"{caution(coverage)}No content items{kinds}{scope}{'' if coverage.complete else ' among those'}."
    said += f": {len(catalogue.live):,} in use, {catalogue.archived:,} archived, {catalogue.hidden:,} hidden."
    noted = [f"{counts[name]:,} {_WORDS[name].format(days=stale_days)}" for name in FINDINGS if counts[name]]
    if noted:
        return f"{said} Of those in use: {'; '.join(noted)}."
    return f"{said} Nothing stands out among those in use{'' if coverage.complete else ', as far as was read'}."


_WORDS = {
    "never_assigned": "never assigned",
    "nobody_finished": "assigned, but finished by nobody in {days} days",
    "low_rated": "rated below 3",
    "stale": "not changed in {days} days",
}


class Catalogue:
    """Content items as a check found them. `since` is the day before which a change or completion is long ago."""

    def __init__(self, since: str) -> None:
        self.since = since
        self.live: list[ContentItem] = []
        self.archived = 0
        self.hidden = 0
        self.finished = Finished(since)

    @property
    def total(self) -> int:
        return len(self.live) + self.archived

    @property
    def with_findings(self) -> int:
        """How many items have a finding."""
        return sum(bool(self.findings(item)) for item in self.live)

    def take(self, item: ContentItem) -> None:
        """Counts one item."""
        self.hidden += item.is_hidden is True
        if item.is_archived:
            self.archived += 1
        else:
            # A description may be long, and nothing here looks at it.
            self.live.append(item.model_copy(update={"description": None}))

    def restart(self) -> None:
        """Forgets the items."""
        self.live, self.archived, self.hidden = [], 0, 0

    def findings(self, item: ContentItem) -> list[str]:
        """What is wrong with an item, of `FINDINGS`, as far as it is known."""
        found: list[str] = []
        if item.total_assignments == 0:
            found.append("never_assigned")
        elif self.finished.nobody_since(item):
            found.append("nobody_finished")
        if item.avg_feedback_rating is not None and item.avg_feedback_rating < LOW_RATING:
            found.append("low_rated")
        if item.modified and item.modified[:10] < self.since:
            found.append("stale")
        return found

    def counted(self, items: list[ContentItem] | None = None) -> dict[str, int]:
        """How many of the items, or of all in use, have each finding."""
        counts: dict[str, int] = dict.fromkeys(FINDINGS, 0)
        for item in self.live if items is None else items:
            for finding in self.findings(item):
                counts[finding] += 1
        return counts

    def flagged(self, most: int) -> list[ContentItem]:
        """The first items with findings: most findings first, then the most assigned."""

        def rank(item: ContentItem) -> tuple[int, int, str]:
            return -len(self.findings(item)), -(item.total_assignments or 0), item.public_id

        return heapq.nsmallest(most, (item for item in self.live if self.findings(item)), key=rank)

    def row(self, item: ContentItem) -> dict[str, Any]:
        """An item as a row."""
        created = (item.created or "")[:10]
        row: dict[str, Any] = {
            "public_id": item.public_id,
            "name": item.name,
            "content_type": item.content_type,
            "findings": self.findings(item),
            "total_assignments": item.total_assignments,
            "completed_assignments_count": item.completed_assignments_count,
            "last_finished": self.finished.latest.get(item.public_id, "")[:10] or None,
            "avg_feedback_rating": item.avg_feedback_rating,
            # Said of new ones alone: that nobody finished them yet is no wonder.
            "created": created if created >= self.since else None,
            "modified": (item.modified or "")[:10] or None,
        }
        return {name: value for name, value in row.items() if value is not None}


async def _check(
    call: Call, content_type: list[Any] | None, channel: str | None, group: Group | None, stale_days: int
) -> tuple[Catalogue, Coverage, str]:
    """Reads the content items, and when those in use were last finished."""
    catalogue = Catalogue((call.today - timedelta(days=stale_days)).isoformat())
    coverage = await walk(
        call.api,
        "list_content_items",
        ContentItem,
        catalogue.take,
        catalogue.restart,
        filters={"content_type": content_type, "channel": channel, "group": group.public_id if group else None},
        progress=call.rows_read,
    )
    assigned = [item for item in catalogue.live if item.total_assignments != 0]
    catalogue.finished = await last_finished(call, assigned, catalogue.since)
    if catalogue.finished.reason is not None:
        coverage = replace(coverage, complete=False, reason=coverage.reason or catalogue.finished.reason)
    how = f"one pass over {plural(coverage.rows_read, 'content item')}, {catalogue.finished.how}"
    return catalogue, coverage, how

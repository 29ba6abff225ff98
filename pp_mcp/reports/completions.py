"""When content items were last finished: what the API shows only in the assignments themselves."""

from __future__ import annotations

import math

from pp_mcp.api.walk import OUT_OF_TIME, PAGE_SIZE, PASSING, walk, why
from pp_mcp.api.workers import for_each
from pp_mcp.declare import Call
from pp_mcp.models import Assignment, ContentItem
from pp_mcp.text import plural


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

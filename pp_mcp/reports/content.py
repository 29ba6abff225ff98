"""The health of the catalogue: what nobody uses, finishes, likes or keeps fresh."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import scope_of
from pp_mcp.api.walk import PAGE_SIZE, PASSING, walk, why
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import AssignmentFacts, ContentItem
from pp_mcp.operations.params import ChannelArg, ContentType, GroupArg
from pp_mcp.reports.answers import Found, ReportAnswer, TopArg, caution
from pp_mcp.reports.counting import Bucket, Counting
from pp_mcp.reports.reading import fewer_by_pages, one_by_one, read_all
from pp_mcp.text import listed, plural

LOW_RATING = 3.0
"""Ratings run from 1 to 5; below this is low."""

FINDINGS = {
    "never_assigned": "never assigned",
    "nobody_finished": "assigned, but finished by nobody in {days} days",
    "low_rated": "rated below 3",
    "stale": "not changed in {days} days",
}
"""What can be wrong with an item in use, in the order it is told, and in words."""

_HEADER = (
    "public_id name content_type findings total_assignments completed_assignments_count last_finished "
    "avg_feedback_rating created modified"
)


@operation(
    toolset="reports",
    title="Report on the catalogue's health",
    effect=Effect.READ,
    csv="reports/content",
    columns="public_id, name, content_type, findings (never_assigned, nobody_finished, low_rated, stale), "
    "total_assignments, completed_assignments_count, last_finished (day; blank where it is not known or never), "
    "avg_feedback_rating (1 to 5), created (day, of new items only) and modified (day). Items without findings are "
    "left out.",
)
async def report_content(
    call: Call,
    content_type: Annotated[list[ContentType], Field(description="Content types.", min_length=1)] | None = None,
    channel: ChannelArg | None = None,
    group: Annotated[GroupArg, Field(description="With access: name, id or URL.")] | None = None,
    stale_days: Annotated[int, Field(ge=1, le=3650, description="How many days to look back.")] = 365,
    top: TopArg = 15,
) -> ReportAnswer:
    """Check the health of the catalogue (library) before a clean-up: which courses nobody uses (never assigned, not
    finished in stale_days), stale or outdated (not changed in stale_days), worst rated (below 3). Archived items are
    only counted. To find single items use search_content."""
    catalogue = _Catalogue()
    filters = {"content_type": content_type, "channel": channel, "group": group.public_id if group else None}
    coverage = await read_all(call, "list_content_items", ContentItem, catalogue.take, catalogue.restart, filters)
    since = (call.today - timedelta(days=stale_days)).isoformat()
    completions = Completions(since)
    await completions.read(call, [item for item in catalogue.in_use.values() if item.total_assignments != 0])
    if completions.reason is not None:
        coverage = replace(coverage, complete=False, reason=coverage.reason or completions.reason)

    findings = {key: _findings(item, completions) for key, item in catalogue.in_use.items()}
    # Of all items the most assigned come first among those with as many findings.
    counting = Counting({"name": "public_id"}, ("findings", "total_assignments"))
    for key, found in findings.items():
        if found:
            assigned = catalogue.in_use[key].total_assignments or 0
            columns = ("findings", len(found)), ("total_assignments", assigned), *((name, 1) for name in found)
            counting.add([key], columns)

    def row(bucket: Bucket, _whole: bool) -> dict[str, Any]:
        (key,) = bucket.key
        return _row(catalogue.in_use[key], findings[key], completions)

    counts = {name: counting.totals[name] for name in FINDINGS}
    never = sum(completions.nobody_ever(item) for item in catalogue.in_use.values())
    scope = scope_of(for_the_group=group.name if group else None)
    kinds = f" ({listed(list(content_type))})" if content_type else ""
    if catalogue.total:
        said = f"{plural(catalogue.total, 'content item')}{kinds}{scope}: {catalogue.figures}."
        words = {name: said.format(days=stale_days) for name, said in FINDINGS.items()}
        if never:
            words["nobody_finished"] += f" ({never:,} of them never)"
        noted = [f"{count:,} {words[name]}" for name, count in counts.items() if count]
        nothing = f"Nothing stands out among those in use{'' if coverage.complete else ', as far as was read'}"
        said += f" {'Of those in use: ' + '; '.join(noted) if noted else nothing}."
    else:
        said = f"No content items{kinds}{scope}{'' if coverage.complete else ' among those'}."
    narrower = {"content_type": content_type, "channel": channel, "group": group}
    return Found(
        counting=counting,
        row=row,
        figures=lambda rest: {name: rest[name] for name in FINDINGS if rest[name]},
        header=_HEADER.split(),
        coverage=coverage,
        things="items with findings",
        narrow=[name for name, given in narrower.items() if not given],
        how=f"one pass over {plural(coverage.rows_read, 'content item')}, {completions.how}",
    ).answer(
        top,
        summary=caution(coverage) + said,
        totals={
            "total": catalogue.total,
            "in_use": len(catalogue.in_use),
            "archived": catalogue.archived,
            "hidden": catalogue.hidden,
            "with_findings": len(counting),
            **counts,
            "never_finished": never,
        },
    )


class _Catalogue:
    """Content items: those in use, and how many others there are."""

    def __init__(self) -> None:
        self.in_use: dict[str, ContentItem] = {}
        self.archived = 0
        self.hidden = 0

    @property
    def total(self) -> int:
        return len(self.in_use) + self.archived

    @property
    def figures(self) -> str:
        return f"{len(self.in_use):,} in use, {self.archived:,} archived, {self.hidden:,} hidden"

    def take(self, item: ContentItem) -> None:
        """Counts one item."""
        self.hidden += item.is_hidden is True
        if item.is_archived:
            self.archived += 1
        else:
            # A description may be long, and nothing here looks at it.
            self.in_use[item.public_id] = item.model_copy(update={"description": None})

    def restart(self) -> None:
        """Forgets the items."""
        self.in_use, self.archived, self.hidden = {}, 0, 0


class Completions:
    """When items were last completed, by id: `latest` where all of an item's completions were read, and `lately` those
    that turned out to be finished since the day asked for, of which no more was read."""

    def __init__(self, since: str) -> None:
        self.since = since
        self.latest: dict[str, str] = {}
        self.lately: set[str] = set()
        self.reason: str | None = None
        """Why not all is known."""
        self.how = "no completions to look at"

    def nobody_since(self, item: ContentItem) -> bool:
        """Whether it is known that nobody finished the item since the day."""
        if item.public_id in self.lately:
            return False
        known = item.public_id in self.latest or item.completed_assignments_count == 0
        return known and self.latest.get(item.public_id, "")[:10] < self.since

    def nobody_ever(self, item: ContentItem) -> bool:
        """Whether it is known that the item was assigned and nobody ever finished it."""
        never = item.completed_assignments_count == 0 or self.latest.get(item.public_id) == ""
        return item.total_assignments != 0 and never and item.public_id not in self.lately

    async def read(self, call: Call, items: list[ContentItem]) -> None:
        """Finds out when each of these items was last completed.

        Reads all completions there are, or each item's until one since the day turns up, whichever starts with fewer
        requests. Items of which the API says that nobody ever finished them need none.
        """
        wanted = [item.public_id for item in items if item.completed_assignments_count != 0]
        if not wanted:
            return
        completed = {"state": "completed"}
        try:
            by_pages = await fewer_by_pages(call, "list_assignments", AssignmentFacts, completed, singly=len(wanted))
        except PASSING as error:
            self.reason = f"completions: {why(error)}"
            return
        if not by_pages:
            self.how = f"completions item by item, {plural(len(wanted), 'item')}"
            reason = await one_by_one(call, wanted, lambda item: self._look(call, item), "item", "items")
            self.reason = f"completions of {reason}" if reason else None
            return
        coverage = await read_all(
            call, "list_assignments", AssignmentFacts, self._take, self.latest.clear, completed, tolerant=True
        )
        self.how = f"one pass over {plural(coverage.rows_read, 'completion')}"
        if coverage.complete:
            # Counted as finished, yet no completion is listed: nobody has since.
            self.latest = dict.fromkeys(wanted, "") | self.latest
        else:
            self.lately = {item for item, when in self.latest.items() if when[:10] >= self.since}
            self.latest.clear()
            self.reason = f"completions: {coverage.reason}"

    def _take(self, assignment: AssignmentFacts) -> None:
        item = assignment.content_item.public_id
        self.latest[item] = max(assignment.completed_datetime or "", self.latest.get(item, ""))

    async def _look(self, call: Call, item: str) -> str | None:
        """Looks at one item's completions until one is new enough; answers why it could not."""
        filters = {"state": "completed", "content_item": item}
        first = await call.api.page("list_assignments", AssignmentFacts, page=1, page_size=PAGE_SIZE, **filters)
        when = [row.completed_datetime or "" for row in first.items]
        if len(when) < first.total_count:
            if max(when, default="")[:10] >= self.since:
                self.lately.add(item)
                return None
            when.clear()

            def take(row: AssignmentFacts) -> None:
                when.append(row.completed_datetime or "")

            coverage = await walk(
                call.api, "list_assignments", AssignmentFacts, take, when.clear, filters=filters, tolerant=True
            )
            if not coverage.complete:
                return coverage.reason
        self.latest[item] = max(when, default="")
        return None


def _findings(item: ContentItem, completions: Completions) -> list[str]:
    """What is wrong with an item in use, of `FINDINGS`, as far as it is known."""
    found = {
        "never_assigned": item.total_assignments == 0,
        "nobody_finished": item.total_assignments != 0 and completions.nobody_since(item),
        "low_rated": item.avg_feedback_rating is not None and item.avg_feedback_rating < LOW_RATING,
        "stale": bool(item.modified) and (item.modified or "")[:10] < completions.since,
    }
    return [name for name, is_so in found.items() if is_so]


def _row(item: ContentItem, findings: list[str], completions: Completions) -> dict[str, Any]:
    created = (item.created or "")[:10]
    row: dict[str, Any] = {
        "public_id": item.public_id,
        "name": item.name,
        "content_type": item.content_type,
        "findings": findings,
        "total_assignments": item.total_assignments,
        "completed_assignments_count": item.completed_assignments_count,
        "last_finished": completions.latest.get(item.public_id, "")[:10] or None,
        "avg_feedback_rating": item.avg_feedback_rating,
        # Said of new ones alone: that nobody finished them yet is no wonder.
        "created": created if created >= completions.since else None,
        "modified": (item.modified or "")[:10] or None,
    }
    return {name: value for name, value in row.items() if value is not None}

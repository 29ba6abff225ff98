"""Content items of every type: find, change, delete."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import ContentRow, ItemAnswer, ListAnswer, Named, Outcome, OutcomeStatus, ToolCall, full, scope_of
from pp_mcp.api.walk import PAGE_SIZE, walk
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import AnswerLost, PlusPlusError
from pp_mcp.models import Assignment, AssignmentFacts, BulkOutcome, ContentItem
from pp_mcp.operations import params
from pp_mcp.operations.access import MOST_PAGES, hiding, opening
from pp_mcp.operations.lists import list_page
from pp_mcp.plan import Done, ManyPlan, Plan, call_of, update_plan
from pp_mcp.text import listed, plural, quoted, word


@operation(
    toolset="content",
    title="Search the catalogue for training",
    effect=Effect.READ,
    csv="lists/content",
    record=ContentItem,
)
async def search_content(
    call: Call,
    search: Annotated[params.SearchArg, Field(description="Part of the name.")] | None = None,
    content_type: Annotated[list[params.ContentType], Field(description="Content types.", min_length=1)] | None = None,
    is_archived: params.ArchivedArg | None = None,
    is_hidden: params.HiddenFilterArg | None = None,
    created_gte: params.FromArg | None = None,
    created_lte: params.UntilArg | None = None,
    modified_gte: params.FromArg | None = None,
    modified_lte: params.UntilArg | None = None,
    channel: params.ChannelArg | None = None,
    group: Annotated[params.GroupArg, Field(description="With access: name, id or URL.")] | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[ContentRow]:
    """Find training in the catalogue (library): is there a course, learning path (track), video, event or article on a
    topic? By part of its title, type, channel, date, or the group that may open it. For what is stale, unused or badly
    rated use report_content."""
    return await list_page(
        call,
        "list_content_items",
        ContentItem,
        ContentRow,
        noun="content item",
        scope=scope_of(for_the_group=group.name if group else None),
        page=page,
        page_size=page_size,
        detail=detail,
        note=archived_too(is_archived),
        search=search,
        content_type=content_type,
        is_archived=is_archived,
        is_hidden=is_hidden,
        created_gte=created_gte,
        created_lte=created_lte,
        modified_gte=modified_gte,
        modified_lte=modified_lte,
        channel=channel,
        group=group,
    )


@operation(toolset="content", title="Get one content item", effect=Effect.READ)
async def get_content_item(call: Call, content_item: params.ItemArg) -> ItemAnswer[ContentRow]:
    """Show all details of one course, learning path, video or other content: description, length, rating, which groups
    may see it, archived or hidden, how often assigned, how many completed it. To find it use search_content."""
    row = full(ContentRow, content_item)
    people = await _finishers(call, content_item)
    if people is None:
        return ItemAnswer[ContentRow](summary=described(content_item), item=row)
    row = row.model_copy(update={"people_completed": people})
    return ItemAnswer[ContentRow](summary=f"{described(content_item)[:-1]} by {plural(people, 'person')}.", item=row)


async def _finishers(call: Call, item: ContentItem) -> int | None:
    """How many people completed the item at least once; None where nobody did, or too many pages would be read."""
    if not 0 < (item.completed_assignments_count or 0) <= MOST_PAGES * PAGE_SIZE:
        return None
    people: set[str] = set()
    coverage = await walk(
        call.api,
        "list_assignments",
        AssignmentFacts,
        lambda row: people.add(row.user.public_id),
        people.clear,
        filters={"content_item": item.public_id, "state": "completed"},
        tolerant=True,
    )
    return len(people) if coverage.complete else None


def archived_too(is_archived: bool | None) -> str:
    """The sentence that says whether archived items are among those found, where the caller did not choose."""
    return "" if is_archived is not None else "Archived ones are included; is_archived=false leaves them out."


def described(item: ContentItem) -> str:
    """A content item in one sentence."""
    flags = [word for word, true in (("archived", item.is_archived), ("hidden", item.is_hidden)) if true]
    groups = item.groups or []
    access = f", only for {listed([quoted(group.name) for group in groups])}" if groups else ""
    done = f"{plural(item.total_assignments or 0, 'assignment')}, {item.completed_assignments_count or 0:,} completed"
    kind = ", ".join([word(item.content_type or "content"), *flags])
    return f"{quoted(item.name)}: {kind}{access}; {done}."


@operation(toolset="content", title="Rename, hide or restrict content", effect=Effect.CHANGE, may_confirm=True)
async def update_content_item(
    call: Call,
    content_item: params.ItemArg,
    name: Annotated[params.NameArg, Field(description="New title.")] | None = None,
    is_hidden: Annotated[bool, Field(description="true: out of the catalogue; links still work.")] | None = None,
    groups: params.AccessGroupsArg | None = None,
) -> Plan:
    """Rename a course, video or other content, hide it from the catalogue (unpublish) or make it visible again, or
    restrict which groups may see it. Only given fields change; groups replaces the list, [] lets everyone in. To retire
    it use archive_content_items."""
    asked = params.asked_for(
        (),
        name=name,
        is_hidden=is_hidden,
        groups=None if groups is None else sorted({one.public_id for one in groups}),
    )
    access = await opening(call, content_item, groups)
    shown = await hiding(call, content_item, is_hidden)
    return update_plan(
        call.api,
        "update_content_item",
        ContentItem,
        content_item,
        asked,
        target=target_of(content_item),
        comparable=_comparable,
        names=lambda item: {group.public_id: group.name for group in item.groups or []},
        new_names={group.public_id: group.name for group in groups or []},
        effects=[*access, *shown],
        confirm=bool(access or shown),
    )


def _comparable(item: ContentItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "is_hidden": item.is_hidden,
        # Not said is not the same as open to everyone.
        "groups": None if item.groups is None else sorted(group.public_id for group in item.groups),
    }


@operation(toolset="content", title="Delete content for good", effect=Effect.DESTROY)
async def delete_content_item(call: Call, content_item: params.ItemArg) -> Plan:
    """Delete (erase) a course, video or other content permanently, with everybody's assignments, completions and
    records. Irreversible: previews what is lost. Almost always archive_content_items is better: it keeps the history
    and can be undone."""
    assignments = await call.api.page("list_assignments", Assignment, content_item=content_item.public_id, page_size=1)
    item = content_item

    async def apply() -> Done:
        written = await call.api.erase("delete_content_item", public_id=item.public_id)
        again = " It was already gone on a second try." if written.attempts > 1 else ""
        return Done(
            summary=f"Deleted {quoted(item.name)} for good.{again}",
            changes={"exists": [True, False]},
            undo_note="A deleted item and its history cannot be restored.",
        )

    return Plan(
        target=target_of(item),
        summary=f"Delete the {word(item.content_type or 'content_item')} {quoted(item.name)} for good.",
        apply=apply,
        state=[item.name, item.modified, assignments.total_count],
        effects=[
            f"Also lost: {plural(assignments.total_count, 'assignment')} ({item.completed_assignments_count or 0:,} "
            "completed) and all reports on it.",
            "archive_content_items takes it out of use, keeps all of that and can be undone.",
        ],
        irreversible=True,
        check=call_of("get_content_item", "content_item", item.public_id),
    )


def target_of(item: ContentItem) -> Named:
    """A content item as an answer's target."""
    return Named(kind=item.content_type or "content_item", public_id=item.public_id, name=item.name)


BATCH = 100
"""Items per request, the API's maximum (documented)."""

NAMED_LIMIT = 25


@operation(toolset="content", title="Retire (archive) content", effect=Effect.DESTROY)
async def archive_content_items(call: Call, items: params.ItemsArg) -> ManyPlan:
    """Retire (archive) old or outdated courses, videos, articles that are no longer needed: out of use, people no
    longer find them, records stay. Previews which. Undone by unarchive_content_items. To erase one for good use
    delete_content_item; to only hide it update_content_item."""
    return _plan(call, items, archive=True)


@operation(toolset="content", title="Restore (unarchive) content", effect=Effect.CHANGE)
async def unarchive_content_items(call: Call, items: params.ItemsArg) -> ManyPlan:
    """Bring archived (retired) courses, modules or other content back into use. Says which were archived; the others
    stay as they are. The reverse of archive_content_items."""
    return _plan(call, items, archive=False)


def _plan(call: Call, items: list[ContentItem], *, archive: bool) -> ManyPlan:
    once = {item.public_id: item for item in items}
    moving = {key: item for key, item in once.items() if bool(item.is_archived) is not archive}
    there = len(once) - len(moving)
    tool, other = "archive_content_items", "unarchive_content_items"
    if not archive:
        tool, other = other, tool
    are = "already archived" if archive else "not archived"
    subject = "The item is" if len(once) == 1 else f"All {len(once):,} items are"

    async def apply() -> Done:
        outcomes = [_outcome(item, "unchanged") for key, item in once.items() if key not in moving]
        outcomes += await _send_all(call, tool, list(moving.values()))
        counts = Counter(one.status for one in outcomes)
        summary = f"{'Archived' if archive else 'Unarchived'} {plural(counts['succeeded'], 'item')}."
        if counts["failed"]:
            summary += f" {plural(counts['failed'], 'item')} failed."
        if counts["unknown"]:
            summary += f" {plural(counts['unknown'], 'item has', 'items have')} an unknown outcome: no answer came."
            summary += " Check with get_content_item."
        moved = [one.public_id for one in outcomes if one.status == "succeeded"]
        return Done(
            summary=summary,
            changes={"is_archived": [not archive, archive]} if moved else {},
            undo=ToolCall(tool=other, arguments={"items": moved}) if moved else None,
            outcomes=outcomes,
        )

    assigned = sum(item.total_assignments or 0 for item in moving.values())
    finished = sum(item.completed_assignments_count or 0 for item in moving.values())
    events = sum(item.content_type in {"event", "scheduled_track"} for item in moving.values())
    names = listed([f"{quoted(item.name)} ({word(item.content_type)})" for item in moving.values()], NAMED_LIMIT)
    effects = [
        f"Items: {names or 'none'}.",
        f"Their {plural(assigned, 'assignment')} ({assigned - finished:,} incomplete) stay in reports.",
    ]
    if archive and events:
        effects.append(
            f"{plural(events, 'event')} among them: archiving notifies nobody, so cancel events in PlusPlus."
        )
    return ManyPlan(
        target=Named(kind="content_items", name=plural(len(once), "item")),
        summary=f"{'Archive' if archive else 'Unarchive'} {plural(len(moving), 'content item')}"
        + (f"; {there:,} {'is' if there == 1 else 'are'} {are}." if there else "."),
        apply=apply,
        state=sorted([key, item.name, bool(item.is_archived), item.modified] for key, item in once.items()),
        effects=effects,
        reach=len(moving),
        unchanged=None if moving else f"{subject} {are}.",
        check=ToolCall(tool="search_content", arguments={"is_archived": archive}),
    )


async def _send_all(call: Call, tool: str, items: list[ContentItem]) -> list[Outcome]:
    """Sends the items in batches. A batch that is refused or fails ends it, unless it was the first: then it raises."""
    outcomes: list[Outcome] = []
    for start in range(0, len(items), BATCH):
        batch, rest = items[start : start + BATCH], items[start + BATCH :]
        try:
            outcomes += await _send(call, tool, batch)
        except PlusPlusError as error:
            if start == 0:
                raise
            if error.may_have_happened:
                outcomes += [_outcome(item, "unknown", str(error)) for item in batch]
            else:
                rest = batch + rest
            return outcomes + [_outcome(item, "failed", f"not sent: {error}") for item in rest]
    return outcomes


async def _send(call: Call, tool: str, batch: list[ContentItem]) -> list[Outcome]:
    """One request for the batch, and what it did to each item, as the API named it."""
    by_id: dict[str, BulkOutcome] = {}
    lost = "the answer does not mention it"
    try:
        by_id = {one.public_id: one for one in (await call.api.bulk(tool, [item.public_id for item in batch])).items}
    except AnswerLost:
        lost = "no answer came"
    outcomes: list[Outcome] = []
    for item in batch:
        one = by_id.get(item.public_id)
        if one is None or one.status == "unknown":
            outcomes.append(await _read_back(call, item, lost, archive=tool == "archive_content_items"))
        elif one.status == "failed":
            outcomes.append(_outcome(item, "failed", one.error_message or "no reason given"))
        else:
            outcomes.append(_outcome(item, "succeeded"))
    return outcomes


async def _read_back(call: Call, item: ContentItem, why: str, *, archive: bool) -> Outcome:
    """What became of an item of which the answer says nothing. One that is not as wanted may still become so."""
    try:
        now = await call.api.one("get_content_item", ContentItem, item.public_id)
    except PlusPlusError:
        return _outcome(item, "unknown", why)
    return _outcome(item, "succeeded") if bool(now.is_archived) is archive else _outcome(item, "unknown", why)


def _outcome(item: ContentItem, status: OutcomeStatus, reason: str | None = None) -> Outcome:
    told = {"reason": reason} if reason else {}
    return Outcome(public_id=item.public_id, name=item.name, status=status, **told)

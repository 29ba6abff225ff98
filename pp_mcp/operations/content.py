"""Content items of every type: find, change, delete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import (
    ContentRow,
    ItemAnswer,
    ListAnswer,
    Named,
    Outcome,
    OutcomeStatus,
    ToolCall,
    content_row,
    counted,
    full,
    list_answer,
    scope_of,
)
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import AnswerLost, InvalidArgument, PlusPlusError, ServerFailure
from pp_mcp.models import Assignment, ContentItem
from pp_mcp.operations.params import (
    AccessGroupsArg,
    ArchivedArg,
    ChannelArg,
    ContentType,
    DetailArg,
    FromArg,
    GroupArg,
    HiddenFilterArg,
    ItemArg,
    ItemsArg,
    NameArg,
    PageArg,
    PageSizeArg,
    SearchArg,
    UntilArg,
)
from pp_mcp.plan import Done, ManyPlan, Plan, update_plan
from pp_mcp.text import listed, plural, quoted, word


@operation(toolset="content", title="Search the catalogue", effect=Effect.READ, csv="lists/content", record=ContentItem)
async def search_content(
    call: Call,
    search: Annotated[SearchArg, Field(description="Part of the name.")] | None = None,
    content_type: Annotated[list[ContentType], Field(description="Types.", min_length=1)] | None = None,
    is_archived: ArchivedArg | None = None,
    is_hidden: HiddenFilterArg | None = None,
    created_gte: FromArg | None = None,
    created_lte: UntilArg | None = None,
    modified_gte: FromArg | None = None,
    modified_lte: UntilArg | None = None,
    channel: ChannelArg | None = None,
    group: Annotated[GroupArg, Field(description="With access: public_id, name or URL.")] | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[ContentRow]:
    """Find courses, tracks, videos, events, articles and all other content in the catalogue, with how often assigned
    and completed and how rated, a page at a time. For articles alone list_articles does too; for what is stale, unused
    or badly rated over the whole catalogue use report_content."""
    found = await call.api.page(
        "list_content_items",
        ContentItem,
        page=page,
        page_size=page_size,
        search=search,
        content_type=content_type,
        is_archived=is_archived,
        is_hidden=is_hidden,
        created_gte=created_gte,
        created_lte=created_lte,
        modified_gte=modified_gte,
        modified_lte=modified_lte,
        channel=channel,
        group=group.public_id if group else None,
    )
    types = Counter(item.content_type or "unknown" for item in found.items)
    words = [plural(count, word(name).replace("_", " ")) for name, count in types.most_common(3)]
    by_type = words if len(types) > 1 else []
    return list_answer(
        found,
        lambda item: content_row(item, detail),
        one="content item",
        many="content items",
        scope=scope_of(for_the_group=group.name if group else None),
        stands_out=by_type + content_facts(found.items),
        narrow="search, content_type, is_archived, is_hidden, dates, channel, group",
    )


def content_facts(items: list[ContentItem]) -> list[str]:
    """What stands out among content items: archived, hidden, never assigned, rated badly."""
    return [
        counted(sum(bool(item.is_archived) for item in items), "archived"),
        counted(sum(bool(item.is_hidden) for item in items), "hidden"),
        counted(sum(item.total_assignments == 0 for item in items), "never assigned"),
        counted(
            sum(item.avg_feedback_rating is not None and item.avg_feedback_rating < 3 for item in items),
            "rated below 3",
        ),
    ]


@operation(toolset="content", title="Get one content item", effect=Effect.READ)
async def get_content_item(call: Call, content_item: ItemArg) -> ItemAnswer[ContentRow]:
    """Show one content item of any type: description, access groups, archived or hidden, duration, rating, how often
    assigned and completed. To find items use search_content."""
    return ItemAnswer[ContentRow](summary=described(content_item), item=full(ContentRow, content_item))


def described(item: ContentItem) -> str:
    """A content item in one sentence."""
    flags = [word for word, true in (("archived", item.is_archived), ("hidden", item.is_hidden)) if true]
    groups = item.groups or []
    access = f", only for {listed([quoted(group.name) for group in groups])}" if groups else ""
    done = f"{plural(item.total_assignments or 0, 'assignment')}, {item.completed_assignments_count or 0:,} completed"
    kind = ", ".join([word(item.content_type or "content"), *flags])
    return f"{quoted(item.name)}: {kind}{access}; {done}."


@operation(toolset="content", title="Change a content item", effect=Effect.CHANGE, may_confirm=True)
async def update_content_item(
    call: Call,
    content_item: ItemArg,
    name: Annotated[NameArg, Field(description="New title.")] | None = None,
    is_hidden: Annotated[bool, Field(description="true takes it out of the catalogue; a link still opens it.")]
    | None = None,
    groups: AccessGroupsArg | None = None,
) -> Plan:
    """Rename, hide or show any content item, or set which groups may open it; only given fields change. groups replaces
    the whole list; [] opens it to everyone and needs confirm_token. For an article's duration use update_article; to
    take an item out of use archive_content_items."""
    asked: dict[str, Any] = {}
    if name is not None:
        asked["name"] = name
    if is_hidden is not None:
        asked["is_hidden"] = is_hidden
    names = {group.public_id: group.name for group in [*(content_item.groups or []), *(groups or [])]}
    if groups is not None:
        asked["groups"] = sorted({group.public_id for group in groups})
    if not asked:
        raise InvalidArgument("Nothing to change: give at least one of name, is_hidden, groups.", field_errors={})
    before = _comparable(content_item)
    opens = groups == [] and before["groups"] != []

    async def send() -> Mapping[str, Any]:
        body = {field: value for field, value in asked.items() if before[field] != value}
        written = await call.api.write("update_content_item", ContentItem, body, public_id=content_item.public_id)
        names.update({group.public_id: group.name for group in written.value.groups or []})
        return _comparable(written.value)

    def shown(field: str, value: Any) -> Any:
        return [names.get(one, one) for one in value] if field == "groups" and value is not None else value

    return update_plan(
        target=target_of(content_item),
        tool="update_content_item",
        reference="content_item",
        before=before,
        asked=asked,
        send=send,
        shown=shown,
        check=check_of(content_item),
        effects=["Everybody can open it then, as far as its channel allows."] if opens else [],
        confirm=opens,
    )


def _comparable(item: ContentItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "is_hidden": item.is_hidden,
        # Not said is not the same as open to everyone.
        "groups": None if item.groups is None else sorted(group.public_id for group in item.groups),
    }


@operation(toolset="content", title="Delete a content item for good", effect=Effect.DESTROY)
async def delete_content_item(call: Call, content_item: ItemArg) -> Plan:
    """Delete a content item for good, with everybody's assignments, completions and reports of it. Irreversible:
    previews what is lost, then needs confirm_token. Almost always archive_content_items is meant: it takes an item out
    of use, keeps the history and can be undone."""
    assignments = await call.api.page("list_assignments", Assignment, content_item=content_item.public_id, page_size=1)
    item = content_item

    async def apply() -> Done:
        written = await call.api.erase("delete_content_item", public_id=item.public_id)
        again = " It was gone when asked a second time." if written.attempts > 1 else ""
        return Done(
            summary=f"Deleted {quoted(item.name)} for good.{again}",
            changes={"exists": [True, False]},
            undo_note="A deleted item cannot be brought back, nor its history.",
        )

    return Plan(
        target=target_of(item),
        summary=f"Delete the {word(item.content_type or 'content_item')} {quoted(item.name)} for good.",
        apply=apply,
        state=[item.name, item.modified, assignments.total_count],
        effects=[
            f"Lost with it: {plural(assignments.total_count, 'assignment')}, of them "
            f"{item.completed_assignments_count or 0:,} completed, and all reports on it.",
            "archive_content_items takes it out of use and keeps all of that; it can be undone.",
        ],
        irreversible=True,
        check=check_of(item),
    )


def target_of(item: ContentItem) -> Named:
    """A content item as an answer's target."""
    return Named(kind=item.content_type or "content_item", public_id=item.public_id, name=item.name)


def check_of(item: ContentItem) -> ToolCall:
    """The call that shows what a content item is now."""
    return ToolCall(tool="get_content_item", arguments={"content_item": item.public_id})


BATCH = 100
"""Items a request, the API's maximum (documented)."""

UNDO_LIMIT = 800
"""Items that fit, as ids, into an undo call within an answer's size."""

NAMED_LIMIT = 25


@operation(toolset="content", title="Archive content items", effect=Effect.DESTROY)
async def archive_content_items(call: Call, items: ItemsArg) -> ManyPlan:
    """Archive content items: take old courses, articles or other content out of use; people find them no longer,
    history and reports stay. Previews which, then needs confirm_token. Undone by unarchive_content_items. To erase one
    for good there is delete_content_item; to only hide it from the catalogue update_content_item."""
    return _plan(call, items, archive=True)


@operation(toolset="content", title="Unarchive content items", effect=Effect.CHANGE)
async def unarchive_content_items(call: Call, items: ItemsArg) -> ManyPlan:
    """Bring archived content items back into use, at once and without a preview. Says which were archived; the others
    stay as they are. The reverse of archive_content_items."""
    return _plan(call, items, archive=False)


def _plan(call: Call, items: list[ContentItem], *, archive: bool) -> ManyPlan:
    once = list({item.public_id: item for item in items}.values())
    moving = [item for item in once if bool(item.is_archived) is not archive]
    there = len(once) - len(moving)
    state = f"{'is' if there == 1 else 'are'} {'archived already' if archive else 'not archived'}"
    if len(once) == 1:
        nothing_to_do = "The item is archived already." if archive else "The item is not archived."
    else:
        all_are, none_is = (
            f"All {len(once):,} items are archived already.",
            f"None of the {len(once):,} items is archived.",
        )
        nothing_to_do = all_are if archive else none_is

    async def apply() -> Done:
        moving_ids = {item.public_id for item in moving}
        outcomes = [_outcome(item, "unchanged") for item in once if item.public_id not in moving_ids]
        for start in range(0, len(moving), BATCH):
            try:
                outcomes += await _send(call, moving[start : start + BATCH], archive=archive)
            except PlusPlusError as error:
                if start == 0:
                    raise
                rest = moving[start:]
                if isinstance(error, ServerFailure) and error.maybe_applied:
                    outcomes += [_outcome(item, "unknown", str(error)) for item in rest[:BATCH]]
                    rest = rest[BATCH:]
                outcomes += [_outcome(item, "failed", f"not sent: {error}") for item in rest]
                break
        moved = [one.public_id for one in outcomes if one.status == "succeeded"]
        undo = "unarchive_content_items" if archive else "archive_content_items"
        unknown = [one for one in outcomes if one.status == "unknown"]
        summary = f"{'Archived' if archive else 'Unarchived'} {plural(len(moved), 'item')}."
        failed = [one for one in outcomes if one.status == "failed"]
        if failed:
            summary += f" {plural(len(failed), 'item')} failed."
        if unknown:
            summary += f" Of {plural(len(unknown), 'item')} no answer came: look with get_content_item."
        return Done(
            summary=summary,
            changes={"is_archived": [not archive, archive]} if moved else {},
            undo=ToolCall(tool=undo, arguments={"items": moved}) if 0 < len(moved) <= UNDO_LIMIT else None,
            undo_note=f"Undoing it takes a list of {len(moved):,} items, too long for one answer: use your own list."
            if len(moved) > UNDO_LIMIT
            else None,
            outcomes=outcomes,
        )

    assigned = sum(item.total_assignments or 0 for item in moving)
    finished = sum(item.completed_assignments_count or 0 for item in moving)
    events = [item for item in moving if item.content_type in {"event", "scheduled_track"}]
    names = listed([f"{quoted(item.name)} ({word(item.content_type)})" for item in moving], NAMED_LIMIT)
    return ManyPlan(
        target=Named(kind="content_items", name=plural(len(once), "item")),
        summary=f"{'Archive' if archive else 'Unarchive'} {plural(len(moving), 'content item')}"
        + (f"; {there:,} {state}." if there else "."),
        apply=apply,
        state=sorted([item.public_id, item.name, bool(item.is_archived), item.modified] for item in once),
        effects=[
            f"Items: {names or 'none'}.",
            f"{plural(assigned, 'assignment')} of them, {assigned - finished:,} not completed, stay in the reports.",
            *(
                [f"{plural(len(events), 'event')} among them: cancel events in PlusPlus, archiving tells nobody."]
                if archive and events
                else []
            ),
        ],
        reach=len(moving),
        touches=tuple(item.public_id for item in once),
        unchanged=None if moving else nothing_to_do,
        check=ToolCall(tool="search_content", arguments={"is_archived": archive}),
    )


async def _send(call: Call, batch: list[ContentItem], *, archive: bool) -> list[Outcome]:
    """One request of the batch; what it did to each item, as the API named it."""
    operation_name = "archive_content_items" if archive else "unarchive_content_items"
    try:
        answer = await call.api.bulk(operation_name, [item.public_id for item in batch])
    except AnswerLost:
        return [_outcome(item, "unknown", "no answer came") for item in batch]
    by_id = {one.public_id: one for one in answer.items}
    outcomes: list[Outcome] = []
    for item in batch:
        one = by_id.get(item.public_id)
        if one is None or one.status == "unknown":
            outcomes.append(_outcome(item, "unknown", "the answer does not name it"))
        elif one.status == "failed":
            outcomes.append(_outcome(item, "failed", one.error_message or "no reason given"))
        else:
            outcomes.append(_outcome(item, "succeeded"))
    return outcomes


def _outcome(item: ContentItem, status: OutcomeStatus, reason: str | None = None) -> Outcome:
    told = {"reason": reason} if reason else {}
    return Outcome(public_id=item.public_id, name=item.name, status=status, **told)

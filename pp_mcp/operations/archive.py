"""Archiving content items and bringing them back, up to a thousand in a call."""

from __future__ import annotations

from pp_mcp.answers import Named, Outcome, OutcomeStatus, ToolCall
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import AnswerLost, PlusPlusError, ServerFailure
from pp_mcp.models import ContentItem
from pp_mcp.operations.params import ItemsArg
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.text import listed, plural, quoted, word

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
        writes=len(moving),
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

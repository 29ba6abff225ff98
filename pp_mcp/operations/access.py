"""Who can open a content item, and who would gain or lose that."""

from __future__ import annotations

from pp_mcp.api.walk import PAGE_SIZE, drain
from pp_mcp.declare import Call
from pp_mcp.models import ContentItem, Group, User
from pp_mcp.operations.lists import count, count_outstanding
from pp_mcp.text import plural

MOST_PAGES = 25
"""Pages that are read for a count; where it would take more, the answer goes without it."""


async def hiding(call: Call, item: ContentItem, is_hidden: bool | None) -> list[str]:
    """What hiding or showing the item means for people who still have to do it; empty where it concerns nobody."""
    if is_hidden is None or is_hidden is item.is_hidden:
        return []
    outstanding = await count_outstanding(call, content_item=item.public_id)
    if not outstanding:
        return []
    then = "is no longer in the catalogue; a link still opens it" if is_hidden else "is in the catalogue again"
    return [f"It has {plural(outstanding, 'outstanding assignment')}. It {then}."]


async def opening(call: Call, item: ContentItem, groups: list[Group] | None) -> list[str]:
    """Who gains and who loses access, by count, when these become the item's access groups."""
    if groups is None:
        return []
    new = {group.public_id for group in groups}
    old = None if item.groups is None else {group.public_id for group in item.groups}
    if new == old:
        return []
    everyone = await count(call, "list_users", User, is_active=True)
    after, before = await _people(call, new), await _people(call, old or set())
    has = "Active people with access, as far as the channel allows:"
    if after is None or before is None:
        return [f"{has} too many to count, of {everyone:,} in all."]
    if old is None:
        return [f"{has} {len(after) if new else everyone:,} afterwards. PlusPlus does not say who has it now."]
    if not new:
        return [f"Everyone can then open it. {has} {everyone - len(before):,} gain it, nobody loses it."]
    if not old:
        return [f"Until now everyone could open it. {has} nobody gains it, {everyone - len(after):,} lose it."]
    return [f"{has} {len(after - before):,} gain it, {len(before - after):,} lose it, {len(after & before):,} keep it."]


async def _people(call: Call, groups: set[str]) -> set[str] | None:
    """Ids of the active people in any of these groups; None where reading them takes too many pages."""
    sizes = [await count(call, "list_users", User, group=group, is_active=True) for group in sorted(groups)]
    if sum(-(-size // PAGE_SIZE) for size in sizes) > MOST_PAGES:
        return None
    found: set[str] = set()
    for group in sorted(groups):
        people = await drain(call.api, "list_users", User, filters={"group": group, "is_active": True})
        found |= {user.public_id for user in people}
    return found

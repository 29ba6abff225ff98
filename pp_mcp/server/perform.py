"""Carrying out a plan: braked, recorded before and after, and never left without a word when it breaks off."""

from __future__ import annotations

import logging
from typing import Any

import anyio

from pp_mcp.answers import Named
from pp_mcp.audit import Entry
from pp_mcp.errors import PlusPlusError, Refused
from pp_mcp.plan import Done, Plan
from pp_mcp.server.brake import Brake
from pp_mcp.server.carry_out import Consent, status_of
from pp_mcp.server.explain import code_of, may_have_happened

log = logging.getLogger("pp_mcp.server")


async def perform(
    plan: Plan, consent: Consent, brake: Brake, entry: Entry | None, resolved: dict[str, Named], request_ids: list[str]
) -> Done:
    """Does what the plan says. `request_ids` grows while it is done.

    Raises:
        Refused: the hourly limit is reached, or the audit log cannot be written; nothing was sent.
    """
    brake.take(plan.writes)
    seen = len(request_ids)
    if entry is not None:
        await entry.write(
            "intended",
            consent=consent,
            target=plan.target.model_dump(exclude_none=True),
            resolved={name: named.public_id for name, named in resolved.items()} or None,
            before=plan.state,
        )
    try:
        done = await plan.apply()
    except BaseException as error:
        known = isinstance(error, PlusPlusError) and not may_have_happened(error)
        code = code_of(error) if isinstance(error, PlusPlusError) else type(error).__name__
        await _record(entry, outcome="failed" if known else "unknown", error=code, request_ids=request_ids[seen:])
        raise
    unclear = [one.model_dump(exclude_none=True) for one in done.outcomes or [] if one.status in ("failed", "unknown")]
    await _record(
        entry,
        outcome=status_of(done),
        target=(done.target or plan.target).model_dump(exclude_none=True),
        changes=done.changes,
        not_applied=done.not_applied or None,
        not_sent=done.not_sent or None,
        counts=_counts(done),
        items=unclear or None,
        request_ids=request_ids[seen:],
    )
    return done


def _counts(done: Done) -> dict[str, int] | None:
    if done.outcomes is None:
        return None
    counts: dict[str, int] = {}
    for one in done.outcomes:
        counts[one.status] = counts.get(one.status, 0) + 1
    return counts


async def _record(entry: Entry | None, **facts: Any) -> None:
    """Writes the outcome, even while the call is being cancelled. It cannot be refused any more: it is done."""
    if entry is None:
        return
    with anyio.CancelScope(shield=True):
        try:
            await entry.write("outcome", **facts)
        except Refused:
            log.error("A change was made and its outcome could not be recorded: %s %s", entry.tool, entry.call)

"""What many writes take and what became of them, in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pp_mcp.answers import ToolCall
from pp_mcp.bulk.engine import AT_ONCE, Run
from pp_mcp.plan import Done
from pp_mcp.text import listed, plural, quoted

EXAMPLES = 5
"""Things that a preview names."""

UNDO_LIMIT = 800
"""Ids that an undo call may hold, so that the answer stays short enough for every client."""

UNDO_LIMIT_DATES = 600
"""The same where each has a date of its own."""

Undo = tuple[ToolCall | None, str | None]
"""The call that reverses what was done, and a word about it; or why there is none."""


def cost(calls: int, undo_limit: int | None, seconds_each: float = 0.3) -> list[str]:
    """What carrying it out takes, for the preview; an estimate. `undo_limit`: how many an undo call could hold."""
    seconds = max(1, round(calls * seconds_each / AT_ONCE))
    words = [f"Takes {plural(calls, 'request')}, about {plural(seconds, 'second')} or more if PlusPlus is slow."]
    if undo_limit is not None and calls > undo_limit:
        words.append(f"Too many for an undo call, which holds {undo_limit:,}: smaller calls keep that way back.")
    return words


def told(
    run: Run,
    did: str,
    *,
    already: int,
    undo: Undo,
    changes: dict[str, list[Any]],
    so: tuple[str, str] = ("was so already", "were so already"),
) -> Done:
    """A run in words, and what it leaves to do. `already`: how many were so before and not begun, and `so` how to say
    that of one and of many; `changes`: what happened to each that succeeded."""
    summary = did
    unchanged = len(run.of("unchanged")) + already
    if unchanged:
        summary += f" {unchanged:,} {so[unchanged > 1]}."
    failed, unknown = run.of("failed"), run.of("unknown")
    if failed:
        reasons = Counter(one.reason or "" for one in failed).most_common()
        whys = [f"{count:,} with " * (len(reasons) > 1) + quoted(why, 120) for why, count in reasons]
        summary += f" {len(failed):,} failed: {listed(whys, 3)}."
    if unknown:
        them = "it" if len(unknown) == 1 else "them"
        summary += f" For {len(unknown):,} no answer came: PlusPlus may have done {them} or not."
    if run.stopped:
        summary += f" Stopped: {run.stopped}; {run.not_sent:,} not sent."
    if run.stopped or unknown:
        summary += " The same call, previewed anew, does what is missing and nothing twice."
    call, note = undo
    if call is not None and unknown:
        note = f"{note or ''} Without the {len(unknown):,} that no answer came for.".strip()
    return Done(
        summary=summary,
        changes=changes if run.of("succeeded") else {},
        not_sent=run.not_sent,
        undo=call,
        undo_note=note,
        outcomes=run.outcomes,
    )

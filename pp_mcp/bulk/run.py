"""Carrying out many writes: concurrently, within the call's time, stopping where going on makes no sense.

Nothing is stored. What a run did before it broke off shows in the tenant's state, so the same call made again plans
only what is left: nothing is done twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pp_mcp.answers import Outcome, OutcomeStatus, ToolCall
from pp_mcp.api.walk import OUT_OF_TIME, RESERVE, for_each
from pp_mcp.declare import Call
from pp_mcp.errors import (
    AnswerLost,
    Forbidden,
    InvalidArgument,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    ServerFailure,
    Unauthenticated,
)
from pp_mcp.plan import Done
from pp_mcp.text import listed, plural, quoted

MOST = 1_000
"""Items in one call; more are refused with how to split them."""

AT_ONCE = 8
"""Writes under way at once, so at most that many end after it is time to stop."""

FAILURES_IN_A_ROW = 10
"""Failures of the service, one after another, after which it is left alone."""

EXAMPLES = 5
"""Things that a preview names as examples."""

NAMED = 25
"""People named with each reason why nothing is done for them."""

Undo = tuple[ToolCall | None, str | None]
"""The call that reverses what was done, and a word about it; or why there is none."""


class Item(Protocol):
    """A thing to write to."""

    @property
    def public_id(self) -> str: ...


ItemT = TypeVar("ItemT", bound=Item)


@dataclass
class Run:
    """How far a run came."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    not_sent: int = 0
    stopped: str | None = None
    """Why it ended early."""

    def of(self, status: OutcomeStatus) -> list[Outcome]:
        """The outcomes of one kind."""
        return [one for one in self.outcomes if one.status == status]


async def carry_out(
    call: Call, items: Sequence[ItemT], label: Callable[[ItemT], str], write: Callable[[ItemT], Awaitable[bool]]
) -> Run:
    """Writes to each item once. `write` answers whether it changed something; `label` names an item in the answer.

    Ends early, with a reason, when the token is refused, when the service fails ten times in a row, when the rate limit
    or the time for one call is used up; items not begun are counted and untouched. An item begun is brought to its end.
    """
    run = Run()
    failing = 0

    async def work(item: ItemT) -> bool:
        nonlocal failing
        if run.stopped is None and call.api.remaining < RESERVE:
            run.stopped = OUT_OF_TIME
        if run.stopped is not None:
            return False
        try:
            status, reason = ("succeeded" if await write(item) else "unchanged"), None
        except PlusPlusError as error:
            if (why := _stops(error)) is not None:
                run.stopped = run.stopped or why
                return False
            failing = failing + 1 if isinstance(error, AnswerLost | ServerFailure | NotReached) else 0
            status, reason = _outcome(error)
        else:
            failing = 0
        because = {"reason": reason} if reason else {}
        run.outcomes.append(Outcome(public_id=item.public_id, name=label(item), status=status, **because))
        if failing >= FAILURES_IN_A_ROW:
            run.stopped = run.stopped or f"PlusPlus failed {FAILURES_IN_A_ROW} times in a row"
        await call.report(len(run.outcomes), len(items), f"{len(run.outcomes):,} of {len(items):,} done")
        return True

    await for_each(items, work, workers=AT_ONCE)
    run.not_sent = len(items) - len(run.outcomes)
    return run


def _stops(error: PlusPlusError) -> str | None:
    """Why nothing more should be sent after this error, which says that the item was not written; else None."""
    match error:
        case Unauthenticated() | Forbidden():
            return f"PlusPlus refused the API token or its rights (HTTP {error.status})"
        case RateLimited():
            return f"the rate limit is used up for {error.retry_after:.0f} seconds"
        case OutOfTime():
            return OUT_OF_TIME
        case _:
            return None


def _outcome(error: PlusPlusError) -> tuple[OutcomeStatus, str]:
    match error:
        case AnswerLost():
            return "unknown", f"no readable answer came ({error.detail})"
        case ServerFailure():
            return "unknown" if error.maybe_applied else "failed", f"PlusPlus failed (HTTP {error.status})"
        case _:
            return "failed", error.message


def too_many(count: int, how: str) -> InvalidArgument:
    """The refusal of a set that is larger than one call takes."""
    return InvalidArgument(
        f"{count:,} are too many for one call; {MOST:,} is the most. Split them: {how}. Nothing was changed.",
        field_errors={},
    )


def cost(requests: int, seconds_each: float = 0.3) -> str:
    """What carrying it out takes, for the preview; an estimate."""
    seconds = max(1, round(requests * seconds_each / AT_ONCE))
    return f"Takes {plural(requests, 'request')}, about {plural(seconds, 'second')} or more if PlusPlus is slow."


def told(run: Run, did: str, *, already: int, so: str, undo: Undo, changes: dict[str, list[Any]]) -> Done:
    """A run in words, and what it leaves to do. `already`: how many needed nothing, so were not begun; `so` says why;
    `changes`: what happened to each that succeeded."""
    summary = did
    failed, unknown, unchanged = run.of("failed"), run.of("unknown"), len(run.of("unchanged")) + already
    if unchanged:
        summary += f" {unchanged:,} {so}, skipped."
    if failed:
        reasons = Counter(one.reason or "" for one in failed).most_common()
        whys = [f"{count:,} with " * (len(reasons) > 1) + quoted(why, 120) for why, count in reasons]
        summary += f" {len(failed):,} failed: {listed(whys, 3)}."
    if unknown:
        summary += f" {len(unknown):,} {'has' if len(unknown) == 1 else 'have'} an unknown outcome: no answer came."
    if run.stopped:
        summary += f" Stopped: {run.stopped}; {run.not_sent:,} not sent."
    if run.stopped or unknown:
        summary += " The same call, previewed again, does the rest and nothing twice."
    call, note = undo
    if call is not None and unknown:
        note = f"{note or ''} It leaves out the {len(unknown):,} with an unknown outcome.".strip()
    return Done(
        summary=summary,
        changes=changes if run.of("succeeded") else {},
        not_sent=run.not_sent,
        undo=call,
        undo_note=note,
        outcomes=run.outcomes,
    )

"""Carrying out many writes: concurrently, within the call's time, stopping where going on makes no sense.

Nothing is stored. What a broken-off run did shows in the tenant's state, so the same call made again plans only what is
left: nothing is done twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

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
"""Items one call takes; more are refused with how to split."""

AT_ONCE = 8
"""Writes under way at most, whatever the client would allow: so many more may be sent when it is time to stop."""

FAILURES_IN_A_ROW = 10
"""Failures of the service, one after another, after which it is left alone."""

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Step(Generic[ItemT]):
    """One write of many: what it is done to, and the deed, which answers whether anything changed."""

    public_id: str
    name: str
    item: ItemT


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


async def carry_out_all(call: Call, steps: Sequence[Step[ItemT]], deed: Callable[[ItemT], Awaitable[bool]]) -> Run:
    """Does the deed to each item once. `deed` answers whether it changed something.

    Ends early, with a reason, when the token is refused, when the service fails ten times in a row, when the rate limit
    or the time for one call is used up; items not begun are counted and untouched. An item begun is brought to its end.
    """
    run = Run()
    failing = 0

    async def work(step: Step[ItemT]) -> bool:
        nonlocal failing
        if run.stopped is None and call.api.remaining < RESERVE:
            run.stopped = OUT_OF_TIME
        if run.stopped is not None:
            return False
        outcome, cause = await _one(step, deed)
        if outcome is None:
            run.stopped = run.stopped or cause
            return False
        run.outcomes.append(outcome)
        failing = failing + 1 if cause == "service" else 0
        if failing >= FAILURES_IN_A_ROW:
            run.stopped = run.stopped or f"PlusPlus failed {FAILURES_IN_A_ROW} times in a row"
        await call.report(len(run.outcomes), len(steps), f"{len(run.outcomes):,} of {len(steps):,} done")
        return True

    await for_each(steps, work, workers=AT_ONCE)
    run.not_sent = len(steps) - len(run.outcomes)
    return run


async def _one(step: Step[ItemT], deed: Callable[[ItemT], Awaitable[bool]]) -> tuple[Outcome | None, str]:
    """One item's outcome, and what it says of the service; no outcome where nothing was sent and nothing will be."""
    try:
        changed = await deed(step.item)
    except (Unauthenticated, Forbidden) as error:
        return None, f"PlusPlus refused the API token or its rights (HTTP {error.status})"
    except RateLimited as error:
        return None, f"the rate limit is used up for {error.retry_after:.0f} seconds"
    except OutOfTime:
        return None, OUT_OF_TIME
    except AnswerLost as error:
        return _outcome(step, "unknown", f"no readable answer came ({error.detail})"), "service"
    except ServerFailure as error:
        status: OutcomeStatus = "unknown" if error.maybe_applied else "failed"
        return _outcome(step, status, f"PlusPlus failed (HTTP {error.status})"), "service"
    except NotReached as error:
        return _outcome(step, "failed", error.message), "service"
    except PlusPlusError as error:
        return _outcome(step, "failed", error.message), "item"
    return _outcome(step, "succeeded" if changed else "unchanged"), "fine"


def _outcome(step: Step[ItemT], status: OutcomeStatus, reason: str | None = None) -> Outcome:
    told = {"reason": reason} if reason else {}
    return Outcome(public_id=step.public_id, name=step.name, status=status, **told)


def too_many(count: int, how: str) -> InvalidArgument:
    """The refusal of a set that is larger than one call takes."""
    return InvalidArgument(
        f"{count:,} are too many for one call; {MOST:,} is the most. Split them: {how}. Nothing was changed.",
        field_errors={},
    )


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

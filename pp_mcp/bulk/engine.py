"""Carrying out many writes: concurrently, within the call's time, stopping where going on makes no sense.

Nothing is stored. What a broken-off run did shows in the tenant's state, so the same call made again plans only what is
left: nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pp_mcp.answers import Outcome, OutcomeStatus
from pp_mcp.api.walk import OUT_OF_TIME, RESERVE
from pp_mcp.api.workers import for_each
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

"""Carrying out many writes: concurrently, within the call's time, stopping where going on makes no sense.

A run that stops early says what is left, and its caller can go on with that. What it did shows in the tenant's state,
so the same call made again does nothing twice either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import anyio

from pp_mcp.answers import Named, Outcome, OutcomeStatus, ToolCall
from pp_mcp.api.walk import OUT_OF_TIME, RESERVE, for_each
from pp_mcp.declare import Call
from pp_mcp.errors import (
    AnswerLost,
    ApiError,
    Forbidden,
    InvalidArgument,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    ServerFailure,
    Unauthenticated,
)
from pp_mcp.plan import Done, Rest
from pp_mcp.text import listed, plural, quoted

MOST = 1_000
"""Items in one call; more are refused with how to split them."""

AT_ONCE = 8
"""Items under way at once, so at most that many end after it is time to stop."""

FAILURES_IN_A_ROW = 10
"""Failures of the service, one after another, after which it is left alone."""

REFUSALS_IN_A_ROW = 3
"""Answers 403 with nothing succeeding between, after which the right is taken to be missing altogether."""

LAST_SECONDS = 8.0
"""Seconds that writes under way are given to end when the call is cancelled or the server stops."""

EXAMPLES = 5
"""Things that a preview names as examples."""

NAMED = 25
"""People named with each reason why nothing is done for them, and rows shown with what changes."""

Undo = tuple[ToolCall | list[ToolCall] | None, str | None]
"""The call or calls that reverse what was done, and a word about it; or why there is none."""


class Item(Protocol):
    """A thing to write to."""

    @property
    def public_id(self) -> str: ...


ItemT = TypeVar("ItemT", bound=Item)


class ChangedMeanwhile(PlusPlusError):
    """The item is no longer as the preview showed it, so it was left alone."""


class NotTaken(PlusPlusError):
    """The API accepted a change and answers as if there had been none."""


@dataclass
class Run(Generic[ItemT]):
    """How far a run came."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    left: list[ItemT] = field(default_factory=list[ItemT])
    """Items that were not begun."""
    stopped: str | None = None
    """Why it ended early."""

    def of(self, status: OutcomeStatus) -> list[Outcome]:
        """The outcomes of one kind."""
        return [one for one in self.outcomes if one.status == status]


async def carry_out(
    call: Call,
    items: Sequence[ItemT],
    label: Callable[[ItemT], str],
    write: Callable[[ItemT], Awaitable[bool]],
    look: Callable[[ItemT], Awaitable[bool]] | None = None,
) -> Run[ItemT]:
    """Writes to each item once. `look` answers whether there is anything to write, by a read just before; `write`
    whether it changed something; `label` names an item in the answer.

    Ends early, with a reason, when the token is refused, three times in a row for a missing right, when the service
    fails ten times in a row, when the rate limit or the time for one call is used up, and when the call is cancelled or
    the server stops: then too it returns, so that what was done can be recorded. No item is begun after that; one whose
    write has begun is brought to its end.
    """
    run = _Run[ItemT](call, len(items), label, write, look)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(run.watch, call.stopping, STOPPING)
            group.start_soon(run.watch, call.cancelled, CANCELLED)
            await for_each(items, run.one, workers=AT_ONCE)
            run.over = True
            group.cancel_scope.cancel()
    except anyio.get_cancelled_exc_class():
        # Not raised again here: it comes back at the next wait, after the outcome is recorded.
        run.stop(CANCELLED)
    run.left = [one for one in items if id(one) not in run.begun]
    return run


CANCELLED = "the call was cancelled"
STOPPING = "the server is stopping"


class _Run(Run[ItemT]):
    """A run under way."""

    def __init__(
        self,
        call: Call,
        count: int,
        label: Callable[[ItemT], str],
        write: Callable[[ItemT], Awaitable[bool]],
        look: Callable[[ItemT], Awaitable[bool]] | None,
    ) -> None:
        super().__init__()
        self._call, self._count, self._label, self._write, self._look = call, count, label, write, look
        self._failures = self._refusals = 0
        self._under_way: set[anyio.CancelScope] = set()
        self._looking: set[anyio.CancelScope] = set()
        self.begun: set[int] = set()
        self.over = False

    def stop(self, why: str) -> None:
        """Begins nothing more."""
        self.stopped = self.stopped or why

    async def watch(self, event: anyio.Event, why: str) -> None:
        """Stops the run at the event, or when the call is cancelled, and gives writes under way little time."""
        reason = CANCELLED
        try:
            await event.wait()
            reason = why
        finally:
            if not self.over:
                self.stop(reason)
                for scope in self._looking:
                    scope.cancel()
                for scope in self._under_way:
                    scope.deadline = anyio.current_time() + LAST_SECONDS

    async def one(self, item: ItemT) -> bool:
        """Brings one item to its end; false where no other is to be begun."""
        # A cancellation, or the watch, gets its turn even where nothing in between waits.
        await anyio.lowlevel.checkpoint()
        if self._call.api.remaining < RESERVE:
            self.stop(OUT_OF_TIME)
        try:
            async with self._call.item():
                needed = self.stopped is None and await self._needed(item)
                if self.stopped is not None:
                    return False
                status, reason = await self._written(item) if needed else ("unchanged", None)
        except PlusPlusError as error:
            if (why := _stops(error)) is not None:
                self.stop(why)
                return False
            status, reason = _outcome(error)
            self._count_failure(error)
        else:
            self._failures = self._failures if status == "unknown" else 0
            self._refusals = 0 if status == "succeeded" else self._refusals
        self.begun.add(id(item))
        because = {"reason": reason} if reason else {}
        self.outcomes.append(Outcome(public_id=item.public_id, name=self._label(item), status=status, **because))
        done = len(self.outcomes)
        await self._call.report(done, self._count, f"changing {done:,} of {self._count:,}")
        return True

    async def _needed(self, item: ItemT) -> bool:
        if self._look is None:
            return True
        with anyio.CancelScope() as scope:
            self._looking.add(scope)
            try:
                return await self._look(item)
            finally:
                self._looking.discard(scope)
        return False

    async def _written(self, item: ItemT) -> tuple[OutcomeStatus, str | None]:
        with anyio.CancelScope(shield=True) as scope:
            self._under_way.add(scope)
            try:
                return ("succeeded" if await self._write(item) else "unchanged"), None
            finally:
                self._under_way.discard(scope)
        return "unknown", f"no answer came before it ended: {self.stopped}"

    def _count_failure(self, error: PlusPlusError) -> None:
        if isinstance(error, ChangedMeanwhile):
            return
        failed = isinstance(error, NotReached | AnswerLost) or error.may_have_happened or _status(error) >= 500
        self._failures = self._failures + 1 if failed else 0
        self._refusals += isinstance(error, Forbidden)
        if self._failures >= FAILURES_IN_A_ROW:
            self.stop(f"PlusPlus failed {FAILURES_IN_A_ROW} times in a row")
        if self._refusals >= REFUSALS_IN_A_ROW:
            self.stop(f"PlusPlus refused the rights {REFUSALS_IN_A_ROW} times in a row (HTTP 403)")


def _status(error: PlusPlusError) -> int:
    return error.status if isinstance(error, ApiError) else 0


def _stops(error: PlusPlusError) -> str | None:
    """Why nothing more should be sent after this error, which says that the item was not written; else None."""
    match error:
        case Unauthenticated():
            return f"PlusPlus refused the API token (HTTP {error.status})"
        case RateLimited():
            return f"the rate limit is used up for {error.retry_after:.0f} seconds"
        case OutOfTime():
            return OUT_OF_TIME
        case _:
            return None


def _outcome(error: PlusPlusError) -> tuple[OutcomeStatus, str]:
    status: OutcomeStatus = "unknown" if error.may_have_happened else "failed"
    match error:
        case ChangedMeanwhile():
            return "skipped", error.message
        case AnswerLost():
            return status, f"no readable answer came ({error.detail})"
        case ServerFailure():
            return status, f"PlusPlus failed (HTTP {error.status})"
        case _:
            return status, error.message


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


def told(
    run: Run[Any],
    did: str,
    *,
    already: int,
    so: str,
    undo: Undo,
    changes: dict[str, list[Any]],
    target: Named | None = None,
    rest: Rest | None = None,
) -> Done:
    """A run in words, and what it leaves to do. `already`: how many needed nothing, so were not begun; `so` says why;
    `changes`: what happened to each that succeeded; `rest`: the call that does what is left."""
    summary = did
    failed, unknown, skipped = run.of("failed"), run.of("unknown"), run.of("skipped")
    unchanged = len(run.of("unchanged")) + already
    if unchanged:
        summary += f" {unchanged:,} {so}."
    if skipped:
        summary += f" {len(skipped):,} changed meanwhile, left as {'it is' if len(skipped) == 1 else 'they are'}."
    if failed:
        reasons = Counter(one.reason or "" for one in failed).most_common()
        whys = [f"{count:,} with " * (len(reasons) > 1) + quoted(why, 120) for why, count in reasons]
        summary += f" {len(failed):,} failed: {listed(whys, 3)}."
    if unknown:
        summary += f" {len(unknown):,} {'has' if len(unknown) == 1 else 'have'} an unknown outcome: no answer came."
    if run.stopped:
        summary += f" Stopped: {run.stopped}; {len(run.left):,} not sent."
    if rest is not None:
        summary += " The call in continue does the rest, nothing twice, without asking again."
    elif unknown:
        summary += " The same call, previewed again, does what is missing and nothing twice."
    call, note = undo
    if call is not None and unknown:
        note = f"{note or ''} It leaves out the {len(unknown):,} with an unknown outcome.".strip()
    return Done(
        summary=summary,
        changes=changes if run.of("succeeded") else {},
        not_sent=len(run.left),
        undo=call,
        undo_note=note,
        target=target,
        outcomes=run.outcomes,
        rest=rest,
    )

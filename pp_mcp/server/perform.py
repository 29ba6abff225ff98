"""Carrying out a plan: braked, recorded before and after, and never left without a word when it breaks off."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anyio

from pp_mcp.answers import Named
from pp_mcp.api import Client
from pp_mcp.audit import AuditLog, Entry
from pp_mcp.errors import OutOfTime, PlusPlusError, Refused
from pp_mcp.plan import Done, Plan
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.explain import code_of, may_have_happened
from pp_mcp.server.writes import Consent, status_of
from pp_mcp.text import plural

HOUR = 3_600.0
"""Seconds."""


class Brake:
    """Counts the writes of the last hour, of this process. `most` is none for no limit."""

    def __init__(self, most: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._taken: deque[tuple[float, int]] = deque()
        self._count = 0

    def take(self, writes: int) -> None:
        """Counts `writes` more.

        Raises:
            Refused: they would be more than an hour may have; none of them is counted.
        """
        if self._most is None:
            return
        now = self._now()
        while self._taken and self._taken[0][0] <= now - HOUR:
            self._count -= self._taken.popleft()[1]
        if self._count + writes > self._most:
            wait = round((self._taken[0][0] + HOUR - now) / 60) + 1 if self._taken else 0
            when = f" Room comes back from {plural(wait, 'minute')} on." if wait else ""
            raise Refused(
                f"This would make {self._count + writes:,} writes within an hour; {self._most:,} are allowed "
                f"(PP_MAX_WRITES_PER_HOUR), {self._count:,} were made.{when} Nothing was sent. If this many is meant, "
                "a person has to raise the limit."
            )
        self._taken.append((now, writes))
        self._count += writes


_WRITTEN_KEPT = 20_000
"""Things whose last write is remembered; what was read before an older one counts as old."""


@dataclass
class Runtime:
    """One client of the API, one confirmer, and the locks that keep two writes to one thing apart."""

    client: Client
    confirmer: Confirmer
    brake: Brake = field(default_factory=lambda: Brake(None))
    audit: AuditLog | None = None
    secrets_dir: Path = field(default_factory=Path.cwd)
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    stopping: anyio.Event = field(default_factory=anyio.Event)
    """Is set when the server is told to stop."""
    _writing: int = 0
    _idle: anyio.Event | None = None
    _moment: int = 0
    _forgotten: int = 0
    _written: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    _locks: WeakValueDictionary[str, anyio.Lock] = field(default_factory=lambda: WeakValueDictionary[str, anyio.Lock]())

    @contextmanager
    def writing(self) -> Generator[None]:
        """Marks a call that may write, so that a stopping server lets it end."""
        if not self._writing:
            self._idle = anyio.Event()
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
            if not self._writing and self._idle is not None:
                self._idle.set()

    async def writes_done(self) -> None:
        """Returns when no call that may write is under way."""
        while self._writing and self._idle is not None:
            await self._idle.wait()

    @asynccontextmanager
    async def alone_with(self, public_ids: Collection[str], seconds: float) -> AsyncGenerator[None]:
        """Holds the locks of these things, for which it waits `seconds` at most.

        Keeps writes through this process apart. Other replicas, and people in PlusPlus, are not held off.

        Raises:
            OutOfTime: other writes hold them all the time.
        """
        async with AsyncExitStack() as stack:
            with anyio.move_on_after(seconds) as waiting:
                for public_id in sorted(set(public_ids)):
                    await stack.enter_async_context(self._locks.setdefault(public_id, anyio.Lock()))
            if waiting.cancelled_caught:
                raise OutOfTime(
                    "Other changes to the same thing took all the time. Nothing was changed.", seconds=seconds
                )
            yield

    def moment(self) -> int:
        """Now, as `written_since` counts: by the writes so far."""
        return self._moment

    def note_write(self, public_ids: Collection[str]) -> None:
        """Remembers that these things were just written, or may have been."""
        self._moment += 1
        for public_id in public_ids:
            self._written[public_id] = self._moment
            self._written.move_to_end(public_id)
        while len(self._written) > _WRITTEN_KEPT:
            self._forgotten = self._written.popitem(last=False)[1]

    def written_since(self, moment: int, public_ids: Collection[str]) -> bool:
        """Whether any of these things may have been written after that moment, so that what was read then is old."""
        return moment < self._forgotten or any(self._written.get(one, 0) > moment for one in public_ids)


log = logging.getLogger("pp_mcp.server")


async def perform(
    plan: Plan, consent: Consent, brake: Brake, entry: Entry | None, resolved: dict[str, Named], request_ids: list[str]
) -> Done:
    """Does what the plan says. `request_ids` grows while it is done.

    Raises:
        Refused: the hourly limit is reached, or the audit log cannot be written; nothing was sent.
    """
    brake.take(plan.reach)
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
    items = [one.model_dump(exclude_none=True, exclude={"name"}) for one in done.outcomes or []]
    await _record(
        entry,
        outcome=status_of(done),
        target=(done.target or plan.target).model_dump(exclude_none=True),
        changes=done.changes,
        not_applied=done.not_applied or None,
        not_sent=done.not_sent or None,
        counts=_counts(done),
        items=items or None,
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

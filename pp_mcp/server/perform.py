"""Carrying out a plan: one at a time, braked, recorded before and after, never left without a word when it fails."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio

from pp_mcp.answers import Named, Status
from pp_mcp.api import Client
from pp_mcp.audit import AuditLog, Entry
from pp_mcp.declare import Call
from pp_mcp.errors import OutOfTime, PlusPlusError, Refused
from pp_mcp.plan import Done, Plan
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.explain import code_of
from pp_mcp.text import plural

log = logging.getLogger("pp_mcp.server")

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
            Refused: they would exceed the hourly limit; none of them is counted.
        """
        if self._most is None:
            return
        now = self._now()
        while self._taken and self._taken[0][0] <= now - HOUR:
            self._count -= self._taken.popleft()[1]
        if self._count + writes > self._most:
            wait = round((self._taken[0][0] + HOUR - now) / 60) + 1 if self._taken else 0
            when = f" Try again in {plural(wait, 'minute')}." if wait else ""
            raise Refused(
                f"This would make {self._count + writes:,} writes within an hour; {self._most:,} are allowed "
                f"(PP_MAX_WRITES_PER_HOUR), {self._count:,} were made.{when} Nothing was sent. If this many writes are "
                "intended, a person has to raise the limit."
            )
        self._taken.append((now, writes))
        self._count += writes


@dataclass
class Runtime:
    """What all calls of a process share: the client of the API, the confirmer, the brake, and the order of writes."""

    client: Client
    confirmer: Confirmer
    brake: Brake = field(default_factory=lambda: Brake(None))
    audit: AuditLog | None = None
    secrets_dir: Path | None = None
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    writes: int = 0
    """Plans carried out so far. A plan that was begun before the latest one ended may rest on what is no longer so."""
    stopping: anyio.Event = field(default_factory=anyio.Event)
    """Is set when the server is told to stop."""
    _writing: int = 0
    _idle: anyio.Event | None = None
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    def call(self, progress: Callable[[float, float | None, str], Awaitable[None]] | None = None) -> Call:
        """What one tool call works with; its time begins now."""
        return Call(
            api=self.client.call(),
            today=self.today(),
            secrets_dir=self.secrets_dir,
            progress=progress,
            stopping=self.stopping,
        )

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

    @property
    def is_writing(self) -> bool:
        """Whether a call that may write is in progress."""
        return self._writing > 0

    async def writes_done(self) -> None:
        """Returns when no call that may write is under way."""
        while self._writing and self._idle is not None:
            await self._idle.wait()

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncGenerator[None]:
        """Keeps every other write of this process waiting. Waits at most `seconds` for its own turn.

        Other replicas, and people in PlusPlus, are not kept waiting.

        Raises:
            OutOfTime: other writes took all the time.
        """
        with anyio.move_on_after(seconds) as waiting:
            await self._turn.acquire()
        if waiting.cancelled_caught:
            raise OutOfTime("Other changes took all the time. Nothing was changed.", seconds=seconds)
        try:
            yield
        finally:
            self._turn.release()

    async def perform(
        self,
        plan: Plan,
        *,
        consent: str,
        entry: Entry | None,
        resolved: dict[str, Named],
        request_ids: list[str],
    ) -> Done:
        """Does what the plan says. `request_ids` grows while it is done.

        Raises:
            Refused: the audit log cannot be written; nothing was sent.
        """
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
            known = isinstance(error, PlusPlusError) and not error.may_have_happened
            code = code_of(error) if isinstance(error, PlusPlusError) else type(error).__name__
            await _record(entry, outcome="failed" if known else "unknown", error=code, request_ids=request_ids[seen:])
            raise
        finally:
            self.writes += 1
        outcomes = done.outcomes or []
        items = [one.model_dump(exclude_none=True, exclude={"name"}) for one in outcomes]
        await _record(
            entry,
            outcome=status_of(done),
            target=(done.target or plan.target).model_dump(exclude_none=True),
            changes=done.changes,
            not_applied=done.not_applied or None,
            not_sent=done.not_sent or None,
            counts=dict(Counter(one.status for one in outcomes)) if done.outcomes is not None else None,
            items=items or None,
            request_ids=request_ids[seen:],
        )
        return done


def status_of(done: Done) -> Status:
    """How a write came out."""
    outcomes = {one.status for one in done.outcomes or []}
    if done.not_applied or done.not_sent or outcomes & {"skipped", "failed", "unknown"}:
        return "partial"
    return "done" if done.changes or "succeeded" in outcomes else "unchanged"


async def _record(entry: Entry | None, **facts: Any) -> None:
    """Writes the outcome, even while the call is being cancelled. It can no longer be refused: it is done."""
    if entry is None:
        return
    with anyio.CancelScope(shield=True):
        try:
            await entry.write("outcome", **facts)
        except Refused:
            log.error("A change was made and its outcome could not be recorded: %s %s", entry.tool, entry.call)

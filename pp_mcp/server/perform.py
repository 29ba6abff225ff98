"""Carrying out a plan: one at a time, braked, recorded before and after, never left without a word when it fails."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

import anyio

from pp_mcp.answers import Named, Status
from pp_mcp.api import Client
from pp_mcp.audit import AuditLog, Entry
from pp_mcp.declare import Call
from pp_mcp.errors import OutOfTime, PlusPlusError, Refused
from pp_mcp.plan import Done, Plan
from pp_mcp.server.clients import CallerClients
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.explain import code_of
from pp_mcp.text import plural

log = logging.getLogger("pp_mcp.server")

HOUR = 3_600.0
"""Seconds."""


class LastHour:
    """Counts the changes of the last hour, in this process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._taken: deque[tuple[float, int]] = deque()

    @property
    def count(self) -> int:
        """How many there were."""
        while self._taken and self._taken[0][0] <= self._now() - HOUR:
            self._taken.popleft()
        return sum(changes for _, changes in self._taken)

    @property
    def again(self) -> str:
        """When the count goes down, as a sentence; nothing where it is 0."""
        wait = round((self._taken[0][0] + HOUR - self._now()) / 60) + 1 if self.count else 0
        return f" Try again in {plural(wait, 'minute')}." if wait else ""

    def add(self, changes: int) -> None:
        """Counts so many more."""
        self._taken.append((self._now(), changes))


class Brake:
    """Limits the changes of each principal's hour; people or things changed, not requests. None: no limit."""

    def __init__(self, most: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._hours: defaultdict[str, LastHour] = defaultdict(lambda: LastHour(now))

    def take(self, principal: str, changes: int) -> None:
        """Counts `changes` more.

        Raises:
            Refused: they would exceed the hourly limit; none of them is counted.
        """
        hour = self._hours[principal]
        made = hour.count
        if self._most is not None and made + changes > self._most:
            raise Refused(
                f"This would make {made + changes:,} changes within an hour; {self._most:,} are allowed "
                f"(PP_MAX_WRITES_PER_HOUR), {made:,} were made.{hour.again} Nothing was sent. If this many "
                "changes are intended, a person has to raise the limit."
            )
        hour.add(changes)

    def give_back(self, principal: str, changes: int) -> None:
        """So many of them were not made: the call had to stop, and what is left counts when it is done."""
        self._hours[principal].add(-changes)


class Pace:
    """Limits the changes that each principal makes within an hour without confirmation."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._hours: defaultdict[str, LastHour] = defaultdict(lambda: LastHour(now))

    def allows(self, principal: str, changes: int) -> bool:
        """Whether so many more need no confirmation."""
        return self._hours[principal].count + changes <= self.most

    def add(self, principal: str, changes: int) -> None:
        """Counts changes that were not confirmed."""
        self._hours[principal].add(changes)


class Turns:
    """Writes of this process one after the other. The items of bulk work are written side by side, and other writes go
    on between them; each of those waits only for the items under way."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._items = 0
        self._no_items = anyio.Event()

    @asynccontextmanager
    async def alone(self, seconds: float) -> AsyncGenerator[None]:
        """Keeps all others waiting. Waits at most `seconds` itself.

        Other replicas, and people in PlusPlus, are not kept waiting.

        Raises:
            OutOfTime: other writes took all the time.
        """
        async with AsyncExitStack() as held:
            with anyio.move_on_after(seconds) as waiting:
                await held.enter_async_context(self._lock)
                while self._items:
                    await self._no_items.wait()
            if waiting.cancelled_caught:
                raise OutOfTime("Other changes took all the time. Nothing was changed.", seconds=seconds)
            yield

    @asynccontextmanager
    async def item(self) -> AsyncGenerator[None]:
        """Keeps single writes waiting, but not other items."""
        async with self._lock:
            if not self._items:
                self._no_items = anyio.Event()
            self._items += 1
        try:
            yield
        finally:
            self._items -= 1
            if not self._items:
                self._no_items.set()


@dataclass
class Runtime:
    """What all calls of a process share: the client of the API, the confirmer, the brake, and the order of writes."""

    client: Client
    confirmer: Confirmer
    callers: CallerClients | None = None
    """The clients of the API with the callers' own tokens; None where all calls act with the server's."""
    brake: Brake = field(default_factory=lambda: Brake(None))
    pace: Pace = field(default_factory=lambda: Pace(50))
    turns: Turns = field(default_factory=Turns)
    audit: AuditLog | None = None
    secrets_dir: Path | None = None
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    zone: tzinfo = UTC
    writes: int = 0
    """Plans carried out so far. A plan that was begun before the latest one ended may rest on what is no longer so."""
    stopping: anyio.Event = field(default_factory=anyio.Event)
    """Is set when the server is told to stop."""
    _writing: int = 0
    _idle: anyio.Event | None = None

    def call(
        self, progress: Callable[[float, float | None, str], Awaitable[None]] | None = None, caller: str = ""
    ) -> Call:
        """What one tool call works with; its time begins now. `caller` is whose share its requests count under."""
        return Call(
            api=self.client_of_caller.call(caller=caller),
            today=self.today(),
            zone=self.zone,
            secrets_dir=self.secrets_dir,
            progress=progress,
            stopping=self.stopping,
        )

    @property
    def client_of_caller(self) -> Client:
        """The client of the API for the request that is being answered; raises Refused where it brought no token."""
        return self.client if self.callers is None else self.callers.client()

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

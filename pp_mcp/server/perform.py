"""Carrying out a plan: one at a time, braked, recorded before and after, never left without a word when it fails."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import httpx2
from pydantic import SecretStr

from pp_mcp import __version__
from pp_mcp.answers import Named, Status
from pp_mcp.api import ROUTES, SYSTEM_CLOCK, Client, Clock, override
from pp_mcp.audit import AuditLog, Entry
from pp_mcp.config import Settings
from pp_mcp.declare import Call
from pp_mcp.errors import OutOfTime, PlusPlusError, Refused
from pp_mcp.plan import Done, Plan
from pp_mcp.server.clients import CallerClients
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.explain import code_of
from pp_mcp.server.principal import tenant_in_use
from pp_mcp.server.store import Count, ProcessStore, Store, store_of
from pp_mcp.text import plural

log = logging.getLogger("pp_mcp.server")

HOUR = 3_600.0
"""Seconds."""


class Brake:
    """Limits the changes of each principal's hour; people or things changed, not requests. None: no limit."""

    def __init__(self, most: int | None, store: Store | None = None) -> None:
        self._most = most
        self._store = store or ProcessStore()

    async def take(self, principal: str, changes: int) -> None:
        """Counts `changes` more.

        Raises:
            Refused: they would exceed the hourly limit; none of them is counted.
        """
        if self._most is None:
            return
        hour = await self._store.count(_key("brake", principal), changes, self._most, HOUR)
        if not hour.taken:
            minutes = round(hour.wait / 60) + 1
            again = f" Try again in {plural(minutes, 'minute')}." if hour.before else ""
            raise Refused(
                f"This would make {hour.before + changes:,} changes within an hour; {self._most:,} are allowed "
                f"(PP_MAX_WRITES_PER_HOUR), {hour.before:,} were made.{again} Nothing was sent. If this many "
                "changes are intended, a person has to raise the limit."
            )

    async def give_back(self, principal: str, changes: int) -> None:
        """So many of them were not made: the call had to stop, and what is left counts when it is done."""
        if self._most is not None and changes:
            await self._store.count(_key("brake", principal), -changes, self._most, HOUR)


class Pace:
    """Limits the changes that each principal makes within an hour without confirmation."""

    def __init__(self, most: int, store: Store | None = None) -> None:
        self.most = most
        self._store = store or ProcessStore()

    async def allows(self, principal: str, changes: int) -> bool:
        """Whether so many more need no confirmation."""
        return (await self._count(principal, 0)).before + changes <= self.most

    async def take(self, principal: str, changes: int) -> bool:
        """Counts changes that are not confirmed; False where they need to be."""
        return (await self._count(principal, changes)).taken

    async def _count(self, principal: str, changes: int) -> Count:
        return await self._store.count(_key("pace", principal), changes, self.most, HOUR)


def _key(what: str, principal: str) -> str:
    """What the store counts under, which shows nobody's name."""
    return f"{what}:{hashlib.sha256(principal.encode()).hexdigest()[:32]}"


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
    """What all calls of a process share: the client of the API, the confirmer, the brake, the store behind them, and
    the order of writes."""

    client: Client
    confirmer: Confirmer
    store: Store = field(default_factory=ProcessStore)
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

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        secrets_dir: Path | None = None,
        clock: Clock | None = None,
    ) -> Runtime:
        """What these settings ask for.

        Raises:
            Refused: the audit log cannot be appended to, PP_ROUTES names what is no route, or PP_REDIS_URL cannot be
                used.
        """
        try:
            routes = override(ROUTES, settings.routes)
        except ValueError as error:
            raise Refused(f"PP_ROUTES: {error}") from error

        store = store_of(settings)

        def make_client(base_url: str, token: SecretStr) -> Client:
            return Client(
                base_url=base_url,
                token=token,
                timeout=settings.timeout,
                max_concurrency=settings.max_concurrency,
                max_pause=settings.max_pause,
                routes=routes,
                transport=transport,
                clock=clock or SYSTEM_CLOCK,
                user_agent=f"pp-mcp/{__version__}",
                shared=store.rate_budget(
                    f"{base_url} {token.get_secret_value()}", timeout=settings.timeout, max_pause=settings.max_pause
                ),
            )

        zone = ZoneInfo(settings.timezone)
        return cls(
            # While the address is missing, or callers bring it, no call gets as far as this client.
            client=make_client(settings.base_url or "https://missing.invalid", settings.api_token),
            callers=CallerClients(make_client) if settings.caller_tokens else None,
            confirmer=Confirmer(settings.signing_keys, settings.base_url, settings.confirm, store=store),
            store=store,
            brake=Brake(settings.max_writes_per_hour or None, store),
            pace=Pace(settings.unconfirmed_writes, store),
            audit=_audit_log(settings),
            secrets_dir=secrets_dir,
            today=lambda: datetime.now(zone).date(),
            zone=zone,
        )

    async def aclose(self) -> None:
        """Closes the connections to PlusPlus and to the store."""
        await self.client.aclose()
        await self.store.aclose()
        if self.callers is not None:
            await self.callers.trim(0)

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


def _audit_log(settings: Settings) -> AuditLog | None:
    """The audit log of these settings, ready to be written; none where none is asked for.

    Raises:
        Refused: its file cannot be appended to.
    """
    if not settings.audit_log:
        return None
    audit = AuditLog(settings.audit_log, lambda: tenant_in_use(settings.base_url), records_reads=settings.audit_reads)
    try:
        audit.check()
    except OSError as error:
        raise Refused(f"PP_AUDIT_LOG: {settings.audit_log} cannot be appended to ({error.strerror}).") from error
    return audit


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

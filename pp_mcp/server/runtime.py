"""What all tool calls of one server process share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from weakref import WeakValueDictionary

import anyio

from pp_mcp.api import Client
from pp_mcp.audit import AuditLog
from pp_mcp.errors import OutOfTime
from pp_mcp.server.brake import Brake
from pp_mcp.server.confirm import Confirmer

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

"""What all tool calls of one server process share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from weakref import WeakValueDictionary

import anyio

from pp_mcp.api import Client
from pp_mcp.audit import AuditLog
from pp_mcp.server.brake import Brake
from pp_mcp.server.confirm import Confirmer


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
    async def alone_with(self, public_ids: list[str]) -> AsyncGenerator[bool]:
        """Holds the locks of these things; answers whether it had to wait for one, so that what was read before is old.

        Keeps writes through this process apart. Other replicas, and people in PlusPlus, are not held off.
        """
        waited = False
        async with AsyncExitStack() as stack:
            for public_id in sorted(set(public_ids)):
                lock = self._locks.get(public_id)
                if lock is None:
                    lock = anyio.Lock()
                    self._locks[public_id] = lock
                waited = waited or lock.locked()
                await stack.enter_async_context(lock)
            yield waited

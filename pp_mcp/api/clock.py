"""Time, as the client sees it: a seam, so that tests never wait."""

from typing import Protocol

import anyio


class Clock(Protocol):
    """Monotonic seconds, and waiting for some."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class _SystemClock:
    def now(self) -> float:
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


SYSTEM_CLOCK: Clock = _SystemClock()
"""The running event loop's clock."""

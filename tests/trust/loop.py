"""Time that passes only while everybody waits, and then at once."""

from __future__ import annotations

import asyncio
from typing import Any

THREADS = 5
"""Real seconds that a thread may take where nothing else is left to wait for."""


class NobodyWillCome(AssertionError):
    """Everything waits, and nothing is left that could end the waiting: on a real clock this would hang for ever."""


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it.

    All of the server, its client and the tenant run on it, timeouts and latency included: what takes 45 seconds takes none,
    and what would hang raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000.0
        self._look: Any = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now

    def _jump(self, timeout: float | None) -> Any:
        events = self._look(0)
        if not events:
            if timeout is not None:
                self._now += max(timeout, 0.0)
            elif not (events := self._look(THREADS)):
                raise NobodyWillCome
        return events
